"""Runs a micro-batch of GRPO as one row of tokens, in which each prompt occurs once.

    prompt A, completion 1
    prompt A, completion 2
    prompt A, completion 3   ->   prompt A, prompt B, completion 1, completion 2, ..., completion 5
    prompt B, completion 4
    prompt B, completion 5

The row has no padding. A prompt attends to itself, and a completion to its prompt and itself, at the positions that they have
in rows of their own. So the log-probs are the same up to rounding, and a single forward pass scores the micro-batch, under any
wrapper of the model. The last token of a prompt is repeated for each completion, since it predicts its first token.

Attention runs in two calls of PyTorch's scaled dot-product attention, one for prompts and one for completions: with a mask over
the row, it takes more than twice as long (tests/bench/README.md). FlexAttention takes that mask, and skips what it hides.

Prefix sharing for GRPO: PrefixGrouper, arXiv 2506.05433. An alternative is a KV cache of the prompts, expanded to their
completions; it needs two passes, which wrappers of sharded models do not expect, and gradient checkpointing turns caches off.
"""

import inspect
from dataclasses import dataclass

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

IMPLEMENTATIONS = ("sdpa", "flex_attention")  # of attention, which can do this
SAVING = 0.9  # a row must cost less than this share of an ordinary micro-batch


@dataclass(frozen=True)
class Spans:
    """Where prompts and completions are in a row of tokens; an index is a place in the row, or 0 for padding.

    Attributes:
        prompts: (prompts, columns), index of their tokens, padded on the right.
        completions: (completions, columns), the same.
        prompt_of: (completions,), the prompt of each.
        mask: (completions, 1, columns, columns of prompts + columns), which keys of its prompt and of itself a token sees.
        row: (tokens,), where the row's tokens are in prompts and completions, flattened one after the other.
    """

    prompts: torch.Tensor
    completions: torch.Tensor
    prompt_of: torch.Tensor
    mask: torch.Tensor
    row: torch.Tensor


def attend(module, query, key, value, attention_mask, shared_prompts: Spans | None = None, **kwargs) -> tuple:
    """Attention within a row with shared prompts. Without spans, it is transformers' `sdpa`, whose arguments it takes.

    Args:
        module: the attention layer.
        query: (1, heads, tokens, head size); key and value alike.
        attention_mask: unused with spans.
        shared_prompts: spans of the row.

    Returns:
        (1, tokens, heads, head size), and None.
    """
    spans = shared_prompts
    if spans is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)

    def take(states: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        tokens = states[0].transpose(0, 1)
        return tokens.flatten(1)[index.flatten()].view(*index.shape, *tokens.shape[1:]).transpose(1, 2)

    keys, values = take(key, spans.prompts), take(value, spans.prompts)
    of_prompts, _ = sdpa_attention_forward(module, take(query, spans.prompts), keys, values, None, **kwargs)
    keys, values = (
        torch.cat([of_prompt[spans.prompt_of], take(states, spans.completions)], dim=2)
        for of_prompt, states in ((keys, key), (values, value))
    )
    queries = take(query, spans.completions)
    of_completions, _ = sdpa_attention_forward(module, queries, keys, values, spans.mask, **kwargs)
    both = torch.cat([of_prompts.flatten(0, 1).flatten(1), of_completions.flatten(0, 1).flatten(1)])
    return both[spans.row].view(1, -1, *of_prompts.shape[2:]), None


@dataclass(frozen=True)
class Packed:
    """A micro-batch as one row; `first` prompt tokens, then the completions' tokens, one completion after the other.

    Attributes:
        input_ids: (1, tokens).
        position_ids: (1, tokens).
        labels: (1, tokens), the completion token that each one predicts; -100 for prompts.
        spans: of the row.
        token: completion and column of each token after the first ones, both (tokens - first,).
        first: number of prompt tokens.
        shape: number of completions, and their columns before packing.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    labels: torch.Tensor
    spans: Spans
    token: tuple[torch.Tensor, torch.Tensor]
    first: int
    shape: tuple[int, int]

    def unpack(self, values: torch.Tensor) -> torch.Tensor:
        """One value per completion token, (tokens - first,), at the place of its token, (completions, columns); else 0."""
        return values.new_zeros(self.shape).index_put(self.token, values)

    def inputs(self, implementation: str) -> dict:
        """Keyword arguments of the model, for an attention implementation of `IMPLEMENTATIONS`."""
        inputs = {"input_ids": self.input_ids, "position_ids": self.position_ids}
        if implementation == "flex_attention":
            return inputs | {"attention_mask": self.block_mask()}
        # `attend` needs no mask; given one of four dimensions, transformers makes none
        placeholder = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=self.input_ids.device)
        return inputs | {"attention_mask": placeholder, "shared_prompts": self.spans}

    def block_mask(self):
        """The row's mask for FlexAttention, a BlockMask."""
        from torch.nn.attention.flex_attention import create_block_mask

        columns, tokens = self.spans.prompts.shape[1], self.input_ids.shape[1]
        prompt, completion = self.spans.row // max(columns, 1), torch.full_like(self.spans.row, -1)
        prompt[self.first :], completion[self.first :] = self.spans.prompt_of[self.token[0]], self.token[0]

        def sees(row, head, query, key):
            same = (completion[key] == -1) | (completion[key] == completion[query])
            return (key <= query) & (prompt[key] == prompt[query]) & same

        return create_block_mask(sees, None, None, tokens, tokens, device=self.input_ids.device)

    def cost(self, hidden: int) -> int:
        """What a forward pass costs; see the function `cost`."""
        (prompts, before), (completions, columns) = self.spans.prompts.shape, self.spans.completions.shape
        attention = prompts * before**2 + completions * columns * (before + columns)
        return self.input_ids.shape[1] * 6 * hidden + attention


def cost(rows: int, columns: int, hidden: int) -> int:
    """What an ordinary pass costs, up to a factor: per token and layer, 24 h^2 operations, and 4 h for each key in its row."""
    return rows * columns * (6 * hidden + columns)


def pack(input_ids: torch.Tensor, attention_mask: torch.Tensor, completion_columns: int) -> Packed | None:
    """Packs a micro-batch as TRL makes it; None if it has no completion tokens, as when all are truncated and masked.

    Args:
        input_ids: (completions, columns): prompts padded on the left, then completions padded on the right.
        attention_mask: the same shape, 1 for tokens and 0 for padding.
        completion_columns: columns of the completions.
    """
    device, before = input_ids.device, input_ids.shape[1] - completion_columns - 1
    lengths = attention_mask[:, before + 1 :].sum(dim=1)
    columns = int(lengths.max())
    if not columns:
        return None
    prompt_of = same_prompts(input_ids[:, :before], attention_mask[:, :before])
    rows = torch.arange(len(input_ids), device=device)
    leaders = prompt_of.new_zeros(int(prompt_of.max()) + 1).scatter(0, prompt_of, rows)  # a row with each prompt
    prompt_lengths = attention_mask[leaders, :before].sum(dim=1)
    of_prompts = torch.arange(int(prompt_lengths.max()), device=device) < prompt_lengths.unsqueeze(1)
    of_completions = torch.arange(columns, device=device) < lengths.unsqueeze(1)
    first = int(prompt_lengths.sum())
    completion, column = of_completions.nonzero(as_tuple=True)

    def places(used: torch.Tensor, start: int) -> torch.Tensor:
        """Index of the tokens of each line: the tokens of all lines follow one another."""
        return torch.zeros(used.shape, dtype=torch.long, device=device).masked_scatter(
            used, torch.arange(start, start + int(used.sum()), device=device)
        )

    visible = of_prompts[prompt_of].unsqueeze(1).expand(-1, columns, -1)
    own = torch.ones(columns, columns, dtype=torch.bool, device=device).tril().expand(len(lengths), -1, -1)
    spans = Spans(
        prompts=places(of_prompts, 0),
        completions=places(of_completions, first),
        prompt_of=prompt_of,
        mask=torch.cat([visible, own], dim=2).unsqueeze(1),
        row=torch.cat([of_prompts.flatten(), of_completions.flatten()]).nonzero().squeeze(1),
    )
    prompt_ids = input_ids[leaders, :before][attention_mask[leaders, :before].bool()]
    labels = input_ids[completion, before + 1 + column]
    return Packed(
        input_ids=torch.cat([prompt_ids, input_ids[completion, before + column]]).unsqueeze(0),
        position_ids=torch.cat([of_prompts.nonzero()[:, 1], prompt_lengths[prompt_of][completion] + column]).unsqueeze(0),
        labels=torch.cat([torch.full_like(prompt_ids, -100), labels]).unsqueeze(0),
        spans=spans,
        token=(completion, column),
        first=first,
        shape=(len(input_ids), completion_columns),
    )


def same_prompts(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A number for each row, (rows,), equal where the tokens are; both arguments (rows, columns)."""
    if ids.shape[1] == 0:
        return torch.zeros(len(ids), dtype=torch.long, device=ids.device)
    return torch.cat([mask, ids * mask], dim=1).unique(dim=0, return_inverse=True)[1]


def why_not(model) -> str | None:
    """Why a model cannot score such rows, or None if nothing speaks against it.

    Args:
        model: a PreTrainedModel, without wrappers.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    parameters = inspect.signature(type(model).forward).parameters
    if set(getattr(config, "layer_types", None) or ()) - {"full_attention"}:
        return f"not all layers of {config.model_type} have full attention"
    if window and window < config.max_position_embeddings:
        return f"the model's attention has a sliding window of {window} tokens"
    if "position_ids" not in parameters:
        return f"{config.model_type} takes no positions"
    if not any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return f"{config.model_type} passes nothing on to its attention"
    if config._attn_implementation not in IMPLEMENTATIONS:
        return f"attn_implementation {config._attn_implementation} cannot do it (sdpa can)"
    return None
