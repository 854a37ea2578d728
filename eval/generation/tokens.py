"""Tokenizes prompts, decodes completions, and finds the tokens that end a completion."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from data_mix.errors import InputError

# The end tokens of the Llama and SmolLM2 families. A Llama base model may emit either of the first two.
END_TOKENS = ("<|end_of_text|>", "<|eot_id|>", "<|im_end|>")


@dataclass(frozen=True)
class Completion:
    """A completion: text, length in tokens (without the end token), and whether it was cut by the token limit."""

    text: str
    n_tokens: int
    truncated: bool


def encode_prompts(tokenizer, prompts: Sequence[str | list[dict]]) -> list[list[int]]:
    """Token ids of each prompt. Message lists go through the chat template, which adds its own BOS.

    Raises:
        InputError: for message lists when the tokenizer has no chat template, as with base models.
    """
    if isinstance(prompts[0], str):
        return tokenizer(list(prompts))["input_ids"]
    if tokenizer.chat_template is None:
        fix = "build the mixture with `prompt_format: plain`, or give the SFT a chat_template_path"
        raise InputError(f"{tokenizer.name_or_path}: no chat template, but the mixture has chat prompts", fix)
    encoded = tokenizer.apply_chat_template(list(prompts), add_generation_prompt=True, tokenize=True, return_dict=True)
    return encoded["input_ids"]


def context_length(config) -> int:
    """The model's maximum sequence length, in tokens."""
    return config.max_position_embeddings


def decode(tokenizer, ids: Sequence[int], end_ids: Collection[int], stop: Sequence[str] = ()) -> Completion:
    """Decodes generated ids up to the first end token or stop text."""
    end = next((i for i, token in enumerate(ids) if token in end_ids), None)
    body = list(ids[:end])
    text = tokenizer.decode(body, skip_special_tokens=True)
    places = [place for place in map(text.find, stop) if place >= 0]
    if not places:
        return Completion(text, len(body), end is None)
    text = text[: min(places)]
    while body and len(tokenizer.decode(body[:-1], skip_special_tokens=True)) >= len(text):
        body.pop()
    return Completion(text, len(body), False)


def end_ids(tokenizer, model: str | None = None) -> list[int]:
    """The ids of all tokens that end a completion, the tokenizer's EOS first.

    Args:
        tokenizer: its EOS counts, and every token of `END_TOKENS` in its vocabulary.
        model: checkpoint folder or hub id; adds the EOS tokens of its generation_config.json, else of its config.json.
    """
    vocabulary = tokenizer.get_vocab()
    ids = [tokenizer.eos_token_id, *(vocabulary[token] for token in END_TOKENS if token in vocabulary)]
    if model is not None:
        from transformers import GenerationConfig

        from eval.model_folder import load_config

        try:
            configured = GenerationConfig.from_pretrained(model).eos_token_id
        except OSError:  # no generation_config.json
            configured = getattr(load_config(model), "eos_token_id", None)
        ids += configured if isinstance(configured, list) else [configured]
    return [token for token in dict.fromkeys(ids) if token is not None]
