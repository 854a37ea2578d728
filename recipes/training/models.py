"""Models and tokenizers: from scratch (AutoConfig fields in YAML, a character tokenizer) or from a checkpoint."""

from typing import Any

from data_mix.errors import InputError, nearest
from eval import model_folder
from eval.generation.machine import stored_dtype
from eval.generation.tokens import end_ids
from rewards.functions import text_of

# The first is Llama 3.1's. A pad token that is also an end token is avoided: masking padding would mask the end as well.
PAD_TOKENS = ("<|finetune_right_pad_id|>", "<|endoftext|>", "<unk>")


def character_tokenizer(characters: str):
    """A tokenizer with the tokens `<pad>` (0), `<end>` (1) and one per character (2, 3, ... in the given order)."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    if len(set(characters)) != len(characters) or not characters:
        raise InputError(f"tokenizer_characters {characters!r} is empty or repeats a character", "list each character once")
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<end>", *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")  # `.` does not match a newline
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", padding_side="left")


def characters_of(rows: list[dict]) -> str:
    """The characters of the rows' prompts and completions, each once, in the order of their code points."""
    return "".join(sorted(set().union(*(text_of(row[column]) for row in rows for column in ("prompt", "completion")))))


def make_config(fields: dict[str, Any], tokenizer):
    """An AutoConfig from its fields (`model_type: llama`, ...), with the tokenizer's vocabulary size and special tokens."""
    from transformers import CONFIG_MAPPING, AutoConfig

    fields = dict(fields)
    model_type = fields.pop("model_type")
    if model_type not in CONFIG_MAPPING:
        raise InputError(f"model_config: transformers has no model_type '{model_type}'{nearest(model_type, CONFIG_MAPPING)}")
    known = CONFIG_MAPPING[model_type]
    known = {*known().to_dict(), *known.attribute_map}
    if unknown := [name for name in fields if name not in known]:
        raise InputError(f"model_config: {model_type} has no field '{unknown[0]}'{nearest(unknown[0], known)}")
    tokens = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    try:
        return AutoConfig.for_model(model_type, vocab_size=len(tokenizer), **tokens, **fields)
    except Exception as error:  # huggingface_hub's own types, too
        raise InputError(f"model_config: {' '.join(str(error).split())[:200]}") from None


def load_tokenizer(path: str):
    """The checkpoint's tokenizer; its pad token is not an end token if the vocabulary has another candidate."""
    tokenizer = model_folder.load_tokenizer(path, "model_name_or_path")
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        vocabulary = tokenizer.get_vocab()
        spare = [t for t in PAD_TOKENS if t in vocabulary and t != tokenizer.eos_token]
        tokenizer.pad_token = spare[0] if spare else tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def load_model(source, tokenizer, model_args):
    """A model in the dtype and with the attention of `model_args`, whose generation config stops at every end token.

    Args:
        source: checkpoint folder or hub id, or an AutoConfig for random weights.
        tokenizer: the model's.
        model_args: TRL's ModelConfig.

    Raises:
        InputError: for weights that are NaN or infinite.
    """
    from transformers import AutoModelForCausalLM

    load = AutoModelForCausalLM.from_pretrained if isinstance(source, str) else AutoModelForCausalLM.from_config
    model = load(source, dtype=model_args.dtype, attn_implementation=model_args.attn_implementation)
    keep_rope_exact(model)
    broken = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
    if broken:
        raise InputError(f"model_name_or_path {source}: {broken[0]} has NaN or infinite weights", "use another checkpoint")
    # vLLM and TRL read the end tokens from here
    model.generation_config.eos_token_id = end_ids(tokenizer)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
    return model


def keep_rope_exact(model) -> None:
    """Computes RoPE's default frequencies again where DeepSpeed's zero.Init has rounded them: with bf16, it rounds new tensors.

    vLLM's are exact, so the two would not agree on the angle of a position.
    """
    import torch

    for module in model.modules():
        if getattr(module, "rope_type", None) == "default" and module.inv_freq.dtype != torch.float32:
            exact, _ = module.compute_default_rope_parameters(module.config)
            module.inv_freq = module.original_inv_freq = torch.nn.Buffer(exact.to(module.inv_freq.device), persistent=False)


def weight_dtype(config, model_args) -> str:
    """The dtype of the weights in memory: that of `model_args`, or the checkpoint's for `auto`."""
    if model_args.dtype not in (None, "auto"):
        return model_args.dtype
    return stored_dtype(config) or "float32"


def compute_dtype(config, args, model_args) -> str:
    """The dtype that the trainer and the sampler compute in: that of autocast (`bf16`, `fp16`), else that of the weights."""
    return model_folder.compute_dtype(vars(args)) or weight_dtype(config, model_args)


def base_model(accelerator, model):
    """The PreTrainedModel under an accelerator's wrappers and adapters."""
    model = accelerator.unwrap_model(model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model
