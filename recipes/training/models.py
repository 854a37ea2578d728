"""Models and tokenizers: from scratch (an AutoConfig in YAML, a tokenizer of single characters) or from a checkpoint."""

from typing import Any

from data_mix.errors import InputError
from eval import model_folder
from eval.generation.machine import stored_dtype
from eval.generation.tokens import end_ids

# Reserved by Llama 3.1 and later for padding; a pad token that is also an end token would hide ends from whoever masks pads.
PAD_TOKENS = ("<|finetune_right_pad_id|>", "<|endoftext|>", "<unk>")


def character_tokenizer(characters: str):
    """A tokenizer whose tokens are `<pad>` (0), `<end>` (1) and the given characters (2, 3, ... in order); nothing else."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    if len(set(characters)) != len(characters) or not characters:
        raise InputError(f"tokenizer_characters {characters!r}: must name each character once, and at least one")
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<end>", *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", padding_side="left")


def make_config(fields: dict[str, Any], tokenizer):
    """An AutoConfig from its fields (`model_type: llama`, ...); vocabulary size and special tokens are the tokenizer's."""
    from transformers import AutoConfig

    fields = dict(fields)
    model_type = fields.pop("model_type", None)
    tokens = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    try:
        return AutoConfig.for_model(model_type, vocab_size=len(tokenizer), **tokens, **fields)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"model_config: {' '.join(str(error).split())[:200]}") from None


def load_tokenizer(path: str):
    """The checkpoint's tokenizer, with a pad token that does not end text wherever its vocabulary has one."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise InputError(f"model_name_or_path {path}: no tokenizer there ({str(error).splitlines()[0]})") from None
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        vocabulary = tokenizer.get_vocab()
        spare = [t for t in PAD_TOKENS if t in vocabulary and t != tokenizer.eos_token]
        tokenizer.pad_token = spare[0] if spare else tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def load_model(path: str, tokenizer, model_args):
    """The checkpoint, stopping at every end token, in the dtype and with the attention that `model_args` name."""
    from transformers import AutoModelForCausalLM

    kinds = {"dtype": model_args.dtype, "attn_implementation": model_args.attn_implementation}
    model = AutoModelForCausalLM.from_pretrained(path, **kinds)
    set_end_tokens(model, tokenizer)
    return model


def weight_dtype(config, model_args) -> str:
    """What the weights are held in: what `dtype` says, and for `auto` what the checkpoint is stored in."""
    if model_args.dtype not in (None, "auto"):
        return model_args.dtype
    return stored_dtype(config) or "float32"


def compute_dtype(args, model_args) -> str:
    """What the trainer computes in: its autocast's precision, else the model's own."""
    return model_folder.compute_dtype(vars(args)) or model_args.dtype


def set_end_tokens(model, tokenizer) -> None:
    """Makes the model's generation config stop at every end token; vLLM and TRL read it from there."""
    model.generation_config.eos_token_id = end_ids(tokenizer)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
