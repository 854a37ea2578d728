"""Measures lengths in tokens, or in characters when the config names no tokenizer."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from data_mix.errors import InputError
from data_mix.files import reason
from data_mix.hub import is_hub_id, missing_part

if TYPE_CHECKING:
    import pyarrow as pa


class LengthCounter:
    """Measures lengths of texts; `unit` is `tokens` or `characters`.

    `tokenizer` is a folder or a hub id: owner/name, or one without a slash such as `gpt2`, which only the hub can assign.

    Raises:
        InputError: when the tokenizer cannot be loaded. What looks like a local path is not looked up on the hub.
    """

    def __init__(self, tokenizer: str | None) -> None:
        self.unit, self.tokenizer = "characters", None
        if tokenizer is not None:
            if "/" in tokenizer and not os.path.exists(os.path.expanduser(tokenizer)) and not is_hub_id(tokenizer):
                where = f"{missing_part(tokenizer)} is missing"
                raise InputError(f"tokenizer '{tokenizer}': no such folder, and not a hub id (owner/name); {where}")
            from transformers import AutoTokenizer

            try:
                path = os.path.expanduser(tokenizer)
                # With None, the default, transformers asks on the terminal whether to run code that comes with a tokenizer.
                self.unit, self.tokenizer = "tokens", AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            except Exception as error:  # a broken file also raises KeyError, TypeError, AttributeError, ...
                raise InputError(f"tokenizer '{tokenizer}': cannot be loaded ({reason(error)})") from None

    def completions(self, texts: Sequence[str]) -> list[int]:
        """The length of each text, without special tokens."""
        if self.tokenizer is None:
            return [len(text) for text in texts]
        return [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

    def column(self, texts) -> "pa.Array":
        """The length of each text of an Arrow column, int64."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.tokenizer is None:
            return pc.cast(pc.utf8_length(texts), pa.int64())
        return pa.array(self.completions(texts.to_pylist()), pa.int64())

    def rows(self, prompts: Sequence[str | list[dict]], completions: Sequence[str | list[dict]]) -> list[int]:
        """Tokens of each row as SFT sees it: prompt and completion with the chat template's tokens or the end token."""
        rows = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
        if isinstance(prompts[0], str):
            return [len(ids) + 1 for ids in self.tokenizer(rows)["input_ids"]]
        if self.tokenizer.chat_template is None:
            name = self.tokenizer.name_or_path
            raise InputError(f"tokenizer '{name}' has no chat template; set `prompt_format: plain`, or use an instruct model's")
        texts = self.tokenizer.apply_chat_template(rows, tokenize=False)
        return [len(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]
