"""Between text and tokens: prompts to ids, generated ids to completions, and the tokens that end them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from data_mix.errors import InputError

# Every token that ends a completion in the Llama and SmolLM2 families. A base model may emit either of Llama's two.
END_TOKENS = ("<|end_of_text|>", "<|eot_id|>", "<|im_end|>")


@dataclass(frozen=True)
class Completion:
    """One completion: its text, its length in tokens (end token not counted), and whether the token limit ended it."""

    text: str
    n_tokens: int
    truncated: bool


def encode_prompts(tokenizer, prompts: Sequence[str | list[dict]]) -> list[list[int]]:
    """Token ids of each prompt: message lists through the chat template (which brings its own BOS), strings as they are.

    Raises:
        InputError: for message lists and a tokenizer without a chat template, as base models have.
    """
    if isinstance(prompts[0], str):
        return tokenizer(list(prompts))["input_ids"]
    if tokenizer.chat_template is None:
        fix = "build the mixture with `prompt_format: plain`, or give the SFT a chat_template_path"
        raise InputError(f"{tokenizer.name_or_path}: no chat template, and the mixture has chat prompts; {fix}")
    encoded = tokenizer.apply_chat_template(list(prompts), add_generation_prompt=True, tokenize=True, return_dict=True)
    return encoded["input_ids"]


def context_length(config) -> int:
    """The longest sequence the model takes, in tokens."""
    return getattr(config, "max_position_embeddings", None) or config.n_positions


def decode(tokenizer, ids: Sequence[int], end_ids: Collection[int], stop: Sequence[str] = ()) -> Completion:
    """A completion from generated ids; whatever follows the first end token or stop text does not count."""
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


def end_ids(tokenizer) -> list[int]:
    """The ids of all tokens that end a completion, the tokenizer's own end token first."""
    vocabulary = tokenizer.get_vocab()
    more = [vocabulary[t] for t in END_TOKENS if t in vocabulary and t != tokenizer.eos_token]
    return [tokenizer.eos_token_id, *more]
