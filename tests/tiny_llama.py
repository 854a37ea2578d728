"""A random Llama of 0.2 M parameters with a byte-level tokenizer and Llama 3's special tokens, BOS and chat template."""

from pathlib import Path

SPECIAL = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|finetune_right_pad_id|>",
)
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def save_tiny_llama(folder: Path, instruct: bool, **shape: object) -> str:
    """Saves model and tokenizer; the instruct one ends its turns with <|eot_id|>, the base one with <|end_of_text|>.

    `shape` has fields of LlamaConfig that override the small ones; `vocab_size` adds words that no text contains.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    unused = [f"<|unused-{i}|>" for i in range(shape.get("vocab_size", 0) - len(alphabet) - len(SPECIAL))]
    vocabulary = {token: i for i, token in enumerate([*alphabet, *SPECIAL, *unused])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    bos = SPECIAL[0]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, vocabulary[bos])])
    end = "<|eot_id|>" if instruct else "<|end_of_text|>"
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=end)
    if instruct:
        fast.chat_template = TEMPLATE
    set_seed(0)
    fields = {
        "vocab_size": len(fast),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 4096,
        "bos_token_id": fast.bos_token_id,
        "eos_token_id": fast.eos_token_id,
    }
    config = LlamaConfig(**fields | shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return str(folder)
