"""Runs a micro-batch of GRPO as one row of tokens, in which each prompt occurs once.

    prompt A, completion 1
    prompt A, completion 2
    prompt A, completion 3   ->   prompt A, prompt B, completion 1, completion 2, ..., completion 5
    prompt B, completion 4
    prompt B, completion 5

The row has no padding. A prompt attends to itself, and a completion to its prompt and itself, at the positions that they have
in rows of their own. So the log-probs are the same up to rounding, and a single forward pass scores the micro-batch, under any
wrapper of the model. The last token of a prompt is repeated for each completion, since it predicts its first token.

Attention is called once for prompts, and once or twice for completions (long and short ones, to pad less): with a mask over
the row, it takes about twice as long (tests/bench/README.md). FlexAttention takes that mask, and skips what it hides.

Prefix sharing for GRPO: PrefixGrouper, arXiv 2506.05433. An alternative is a KV cache of the prompts, expanded to their
completions; it needs two passes, which wrappers of sharded models do not expect, and gradient checkpointing turns caches off.
"""

import inspect
import math
from dataclasses import dataclass

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from recipes.training.trainers import cpu_attention

IMPLEMENTATIONS = ("sdpa", "flex_attention")  # of attention, which can do this
SAVING = 0.9  # a row must cost less than this share of an ordinary micro-batch


@dataclass(frozen=True)
class Part:
    """Prompts, or completions of similar length, for one call of attention.

    Attributes:
        shape: their number, and the columns of the longest.
        prompt_of: (completions,), the prompt of each; None for prompts.
        mask: (completions, 1, columns, columns of prompts + columns), which keys of its prompt and of itself a token sees; None
            for prompts.
    """

    shape: tuple[int, int]
    prompt_of: torch.Tensor | None = None
    mask: torch.Tensor | None = None


@dataclass(frozen=True)
class Spans:
    """Where prompts and completions are in a row of tokens.

    Attributes:
        parts: the prompts, then the completions in one or two parts.
        padded: (places,), the token at each place, or -1 for padding. The places are those of the parts, padded on the
            right and flattened, one after the other.
        row: (tokens,), the inverse: the place of each token.
    """

    parts: tuple[Part, ...]
    padded: torch.Tensor
    row: torch.Tensor


class Rearrange(torch.autograd.Function):
    """Gathers along the first dimension; -1 gathers any entry. The backward pass gathers, too: faster than a scatter-add."""

    @staticmethod
    def forward(ctx, entries: torch.Tensor, index: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
        """(entries, ...) and (places,) → (places, ...); `inverse` is the place of each entry, or -1."""
        ctx.inverse = inverse
        return entries.index_select(0, index.clamp(min=0))

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple:
        """(places, ...) → (entries, ...), zero for entries without a place."""
        absent = (ctx.inverse < 0).view(-1, *[1] * (gradient.ndim - 1))
        return gradient.index_select(0, ctx.inverse.clamp(min=0)).masked_fill_(absent, 0), None, None


def attend(module, query, key, value, attention_mask, shared_prompts: Spans | None = None, **kwargs) -> tuple:
    """Attention within a row with shared prompts. Without spans, it is `sdpa` (cpu_attention.py), whose arguments it takes.

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
        return cpu_attention.attend(module, query, key, value, attention_mask, **kwargs)

    def split(states: torch.Tensor) -> list[torch.Tensor]:
        """(1, heads, tokens, head size) → the same of each part, (number, heads, columns, head size)."""
        places = Rearrange.apply(states[0].transpose(0, 1), spans.padded, spans.row)
        pieces = places.split([math.prod(part.shape) for part in spans.parts])
        return [
            piece.view(*part.shape, *piece.shape[1:]).transpose(1, 2) for part, piece in zip(spans.parts, pieces, strict=True)
        ]

    queries, keys, values = map(split, (query, key, value))
    outputs = []
    for part, *of_part in zip(spans.parts, queries, keys, values, strict=True):
        if part.prompt_of is not None:
            of_part[1:] = (
                torch.cat([prompts.index_select(0, part.prompt_of), own], dim=2)
                for prompts, own in zip((keys[0], values[0]), of_part[1:], strict=True)
            )
        outputs.append(_attend_part(module, *of_part, part.mask, **kwargs).flatten(0, 1))
    return Rearrange.apply(torch.cat(outputs), spans.row, spans.padded).unsqueeze(0), None


def _attend_part(module, query, key, value, mask: torch.Tensor | None, scaling=None, dropout=0.0, **kwargs) -> torch.Tensor:
    """Attention of one part, (number, columns, heads, head size)."""
    if query.device.type != "cpu" or dropout:
        return sdpa_attention_forward(module, query, key, value, mask, scaling=scaling, dropout=dropout, **kwargs)[0]
    return cpu_attention.causal_attention(query, key, value, mask, scaling or query.shape[-1] ** -0.5).transpose(1, 2)


def register_attention() -> None:
    """Makes transformers' `sdpa` take spans, in any model. Nothing changes without them."""
    AttentionInterface.register("sdpa", attend)


@dataclass(frozen=True)
class Packed:
    """A micro-batch as one row: `first` prompt tokens, then the completions' tokens, the longest completion first.

    Attributes:
        input_ids: (1, tokens).
        position_ids: (1, tokens).
        labels: (1, tokens), the completion token that each one predicts; -100 for prompts.
        spans: of the row.
        prompt_of: (completions,), the prompt of each.
        token: completion and column of each token after the first ones, both (tokens - first,).
        first: number of prompt tokens.
        shape: number of completions, and their columns before packing.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    labels: torch.Tensor
    spans: Spans
    prompt_of: torch.Tensor
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

        tokens, columns = self.input_ids.shape[1], self.spans.parts[0].shape[1]
        prompt, completion = self.spans.row // max(columns, 1), torch.full_like(self.spans.row, -1)
        prompt[self.first :], completion[self.first :] = self.prompt_of[self.token[0]], self.token[0]

        def sees(row, head, query, key):
            same = (completion[key] == -1) | (completion[key] == completion[query])
            return (key <= query) & (prompt[key] == prompt[query]) & same

        return create_block_mask(sees, None, None, tokens, tokens, device=self.input_ids.device)

    def cost(self, hidden: int) -> int:
        """What a forward pass costs; see the function `cost`."""
        (prompts, before), *completions = [part.shape for part in self.spans.parts]
        attention = prompts * before**2 + sum(attention_cost(*shape, before) for shape in completions)
        return self.input_ids.shape[1] * 6 * hidden + attention


def cost(rows: int, columns: int, hidden: int) -> int:
    """What an ordinary pass costs, up to a factor: per token and layer, 24 h^2 operations, and 4 h for each key in its row."""
    return rows * columns * (6 * hidden + columns)


def attention_cost(completions: int, columns: int, before: int) -> int:
    """Query and key pairs of completions after `before` columns of prompts."""
    return completions * columns * (before + columns)


def cut(lengths: list[int], before: int) -> int:
    """Where to cut descending lengths in two so that attention costs least; at the end if that does not save enough."""
    costs = {
        i: attention_cost(i, lengths[0], before) + attention_cost(len(lengths) - i, lengths[i], before)
        for i in range(1, len(lengths))
    }
    best, whole = min(costs, key=costs.get, default=0), attention_cost(len(lengths), lengths[0], before)
    return best if costs and costs[best] < SAVING * whole else len(lengths)


def pack(input_ids: torch.Tensor, attention_mask: torch.Tensor, completion_columns: int) -> Packed | None:
    """Packs a micro-batch as TRL makes it; None if it has no completion tokens, as when all are truncated and masked.

    Args:
        input_ids: (completions, columns): prompts padded on the left, then completions padded on the right.
        attention_mask: the same shape, 1 for tokens and 0 for padding.
        completion_columns: columns of the completions.
    """
    device, before = input_ids.device, input_ids.shape[1] - completion_columns - 1
    lengths = attention_mask[:, before + 1 :].sum(dim=1)
    if not lengths.any():
        return None
    prompt_of = same_prompts(input_ids[:, :before], attention_mask[:, :before])
    rows = torch.arange(len(input_ids), device=device)
    leaders = prompt_of.new_zeros(int(prompt_of.max()) + 1).scatter(0, prompt_of, rows)  # a row with each prompt
    prompt_lengths = attention_mask[leaders, :before].sum(dim=1)
    prompt_mask = token_mask(prompt_lengths)
    parts, masks = [Part(tuple(prompt_mask.shape))], [prompt_mask.flatten()]
    completions, columns = [], []

    by_length = lengths.argsort(descending=True, stable=True)
    first_part = cut(lengths[by_length].tolist(), prompt_mask.shape[1])
    for part in (by_length[:first_part], by_length[first_part:]):
        part_mask = token_mask(lengths[part])
        if part_mask.numel():
            width = part_mask.shape[1]
            sees_prompt = prompt_mask[prompt_of[part]].unsqueeze(1).expand(-1, width, -1)
            sees_own = torch.ones(width, width, dtype=torch.bool, device=device).tril().expand(len(part), -1, -1)
            mask = torch.cat([sees_prompt, sees_own], dim=2).unsqueeze(1)
            parts.append(Part(tuple(part_mask.shape), prompt_of[part], mask))
            masks.append(part_mask.flatten())
            of_part, column = part_mask.nonzero(as_tuple=True)
            completions.append(part[of_part])
            columns.append(column)

    places = torch.cat(masks)  # of which some are padding
    completion, column = torch.cat(completions), torch.cat(columns)
    prompt_ids = input_ids[leaders, :before][attention_mask[leaders, :before].bool()]
    labels = input_ids[completion, before + 1 + column]
    return Packed(
        input_ids=torch.cat([prompt_ids, input_ids[completion, before + column]]).unsqueeze(0),
        position_ids=torch.cat([prompt_mask.nonzero()[:, 1], prompt_lengths[prompt_of][completion] + column]).unsqueeze(0),
        labels=torch.cat([torch.full_like(prompt_ids, -100), labels]).unsqueeze(0),
        spans=Spans(tuple(parts), padded=torch.where(places, places.cumsum(0) - 1, -1), row=places.nonzero().squeeze(1)),
        prompt_of=prompt_of,
        token=(completion, column),
        first=len(prompt_ids),
        shape=(len(input_ids), completion_columns),
    )


def token_mask(lengths: torch.Tensor) -> torch.Tensor:
    """True for tokens, False for padding, of sequences padded on the right: (sequences, longest length)."""
    return torch.arange(int(lengths.max()) if len(lengths) else 0, device=lengths.device) < lengths.unsqueeze(1)


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
