"""Attention within a row of tokens that holds several sequences, without padding, and the rows of SFT.

Everything but attention treats tokens alike, so it takes a row of many sequences, and no time for padding. Attention is called
for sequences of similar length, padded for that call: with a mask over the row, it takes about twice as long
(tests/bench/README.md).
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from recipes.training.models import base_model
from recipes.training.trainers.batching import Batch
from recipes.training.trainers.cpu_attention import causal_attention

SAVING = 0.9  # a cheaper way must cost less than this share of what it replaces
# How far log-probs may be from those of an ordinary pass on average, in standard deviations. With SmolLM2-135M, rounding moves
# them by 2e-6 in float32 and by 0.009 to 0.022 in bfloat16; ignoring positions or mask by 0.27 or more.
FLOAT32_LIMIT, HALF_LIMIT = 1e-3, 0.1


@dataclass(frozen=True)
class Part:
    """Sequences of similar length, for one call of attention.

    Attributes:
        shape: their number, and the columns of the longest.
        prompt_of: (sequences,), for completions: the prompt of each, which are the sequences of the first part. Otherwise None.
        mask: (sequences, 1, columns, columns of prompts + columns), for completions: which keys of its prompt and of itself a
            token sees. Otherwise None.
    """

    shape: tuple[int, int]
    prompt_of: torch.Tensor | None = None
    mask: torch.Tensor | None = None


@dataclass(frozen=True)
class Spans:
    """Where sequences are in a row of tokens.

    Attributes:
        parts: the sequences, in the order of the row.
        padded: (places,), the token at each place, or -1 for padding. The places are those of the parts, padded on the
            right and flattened, one after the other.
        row: (tokens,), the inverse: the place of each token.
    """

    parts: tuple[Part, ...]
    padded: torch.Tensor
    row: torch.Tensor

    @classmethod
    def of(cls, parts: list[Part], masks: list[torch.Tensor]) -> "Spans":
        """From parts and the mask of each, of its shape: true for tokens, false for padding."""
        places = torch.cat([mask.flatten() for mask in masks])
        return cls(tuple(parts), padded=torch.where(places, places.cumsum(0) - 1, -1), row=places.nonzero().squeeze(1))


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


def attend(module, query, key, value, attention_mask, spans: Spans | None = None, **kwargs) -> tuple:
    """transformers' `sdpa`, whose arguments it takes; with spans, within each sequence of a row.

    Args:
        module: the attention layer.
        query: (1, heads, tokens, head size); key and value alike, with their own numbers of heads and sizes.
        attention_mask: unused with spans.
        spans: of the row.

    Returns:
        (1, tokens, heads, head size), and None.
    """
    if spans is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)

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
    is_half = torch.is_autocast_enabled("cpu") or query.dtype != torch.float32
    if query.device.type != "cpu" or dropout or not is_half:
        return sdpa_attention_forward(module, query, key, value, mask, scaling=scaling, dropout=dropout, **kwargs)[0]
    return causal_attention(query, key, value, mask, scaling or query.shape[-1] ** -0.5).transpose(1, 2)


def register() -> None:
    """Makes `attend` transformers' `sdpa`, in any model. Without spans, nothing changes."""
    AttentionInterface.register("sdpa", attend)


def attention_cost(sequences: int, columns: int, before: int) -> int:
    """Query and key pairs of sequences after `before` columns of prompts."""
    return sequences * columns * (before + columns)


def cut(lengths: list[int], before: int) -> int:
    """Where to cut descending lengths in two so that attention costs least; at the end if that does not save enough."""
    costs = {
        i: attention_cost(i, lengths[0], before) + attention_cost(len(lengths) - i, lengths[i], before)
        for i in range(1, len(lengths))
    }
    best, whole = min(costs, key=costs.get, default=0), attention_cost(len(lengths), lengths[0], before)
    return best if costs and costs[best] < SAVING * whole else len(lengths)


def token_mask(lengths: torch.Tensor) -> torch.Tensor:
    """True for tokens, False for padding, of sequences padded on the right: (sequences, longest length)."""
    return torch.arange(int(lengths.max()) if len(lengths) else 0, device=lengths.device) < lengths.unsqueeze(1)


def without_padding(batch: Batch) -> Batch:
    """The rows of an SFT micro-batch as one row without padding.

    Without an attention mask, TRL counts the tokens by their positions, and transformers makes a mask of them for models that
    do not use spans.

    Args:
        batch: input_ids, labels and attention_mask, (rows, columns), padded on the right, the longest row first.

    Returns:
        input_ids, labels and position_ids, (1, tokens), and spans.
    """
    tokens = batch["attention_mask"].bool()
    lengths = tokens.sum(dim=1)
    masks = [token_mask(part) for part in lengths.tensor_split([cut(lengths.tolist(), 0)]) if len(part)]
    labels = batch["labels"].clone()
    labels[:, 0] = -100  # the row before it must not predict it
    return {
        "input_ids": batch["input_ids"][tokens].unsqueeze(0),
        "labels": labels[tokens].unsqueeze(0),
        "position_ids": tokens.nonzero()[:, 1].unsqueeze(0),
        "spans": Spans.of([Part(tuple(mask.shape)) for mask in masks], masks),
    }


def why_not(model, *implementations: str) -> str | None:
    """Why a model cannot take such rows, or None if nothing speaks against it.

    Args:
        model: a PreTrainedModel, without wrappers.
        implementations: of attention that the caller supports.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    parameters = inspect.signature(type(model).forward).parameters
    if set(getattr(config, "layer_types", None) or ()) - {"full_attention"}:
        return f"not all layers of {config.model_type} have full attention"
    if window and window < getattr(config, "max_position_embeddings", math.inf):
        return f"the model's attention has a sliding window of {window} tokens"
    if "position_ids" not in parameters:
        return f"{config.model_type} takes no positions"
    if not any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return f"{config.model_type} passes nothing on to its attention"
    if config._attn_implementation not in implementations:
        return f"attn_implementation {config._attn_implementation} cannot do it (sdpa can)"
    return None


def why_not_here(trainer, model, run_both_ways: Callable, *implementations: str) -> str | None:
    """Why a trainer's model cannot take such rows: as `why_not`, and by trying.

    Args:
        trainer: a Trainer.
        model: its model, with wrappers.
        run_both_ways: the model and its vocabulary's size → log-probs or logits of random tokens, packed and not.
        implementations: as for `why_not`.
    """
    if trainer.args.torch_compile:
        return "torch_compile was not tried with packed rows"
    base = base_model(trainer.accelerator, model)
    if reason := why_not(base, *implementations):
        return reason
    packed, ordinary = run_both_ways(model, base.config.get_text_config().vocab_size)
    is_half = trainer.args.bf16 or trainer.args.fp16 or base.dtype != torch.float32
    limit = HALF_LIMIT if is_half else FLOAT32_LIMIT
    found = ((packed - ordinary).abs().mean() / ordinary.std()).item()
    if found <= limit:
        return None
    return f"log-probs would differ by {found:.2g} standard deviations from those of an ordinary pass (limit {limit:g})"
