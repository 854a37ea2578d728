"""Lengths in tokens, by the tokenizer that the config names; in characters where it names none."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_mix.errors import InputError
from data_mix.hub import is_hub_id, missing_part

if TYPE_CHECKING:
    import pyarrow as pa


class Counter:
    """Counts the lengths of texts; `unit` says in what.

    `tokenizer` is a folder or a hub id: owner/name, or a name without a slash such as `gpt2`, which only the hub gives out.

    Raises:
        InputError: when the tokenizer cannot be loaded; the hub is not asked for what looks like a local path.
    """

    def __init__(self, tokenizer: str | None) -> None:
        self.unit, self.tokenizer = "characters", None
        if tokenizer is not None:
            if "/" in tokenizer and not Path(tokenizer).expanduser().exists() and not is_hub_id(tokenizer):
                where = f"{missing_part(tokenizer)} is missing"
                raise InputError(f"tokenizer '{tokenizer}': no such folder, and not a hub id (owner/name); {where}")
            from transformers import AutoTokenizer

            try:
                self.unit, self.tokenizer = "tokens", AutoTokenizer.from_pretrained(os.path.expanduser(tokenizer))
            except (OSError, ValueError) as error:
                raise InputError(f"tokenizer '{tokenizer}': cannot be loaded ({str(error).splitlines()[0]})") from None

    def completions(self, texts: Sequence[str]) -> list[int]:
        """The length of each text, no special token counted."""
        if self.tokenizer is None:
            return [len(text) for text in texts]
        return [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

    def column(self, texts) -> "pa.Array":
        """The length of each text of an arrow column, int64."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.tokenizer is None:
            return pc.cast(pc.utf8_length(texts), pa.int64())
        return pa.array(self.completions(texts.to_pylist()), pa.int64())

    def rows(self, prompts: Sequence[str | list[dict]], completions: Sequence[str | list[dict]]) -> list[int]:
        """Tokens of each whole row as SFT sees it: prompt, completion, the chat template's tokens or the end token."""
        if isinstance(prompts[0], str):
            whole = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
            return [len(ids) + 1 for ids in self.tokenizer(whole)["input_ids"]]
        if self.tokenizer.chat_template is None:
            raise InputError(f"tokenizer '{self.tokenizer.name_or_path}': no chat template, and the prompts are chats")
        chats = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
        texts = self.tokenizer.apply_chat_template(chats, tokenize=False)
        return [len(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]
