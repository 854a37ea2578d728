"""Packs a micro-batch of GRPO so that a prompt goes through the model once for several completions, not once for each.

A packed row has a prompt and as many of its completions as fit:

    prompt A, completion 1        prompt A, completion 1
    prompt A, completion 2        prompt A, completion 2, completion 3
    prompt A, completion 3   ->   prompt B, completion 4, completion 5
    prompt B, completion 4
    prompt B, completion 5

An attention mask lets each completion see its prompt and itself, at the positions that it has in a row of its own. So the
log-probs are the same up to rounding, and a single forward pass scores the micro-batch, under any wrapper of the model. The
last token of the prompt is repeated for each completion, since it predicts the completion's first token.

Prefix sharing for GRPO: PrefixGrouper, arXiv 2506.05433. An alternative is a KV cache of the prompts, expanded to their
completions. It was as fast with SmolLM2-135M, and up to 1.4 times as fast with parity's small Llama (tests/bench/README.md).
But it needs two passes, which wrappers of sharded models do not expect, and gradient checkpointing turns caches off.
"""

import inspect
from collections import defaultdict
from dataclasses import dataclass

import torch

MASKS = ("sdpa", "eager", "flex_attention")  # attention implementations that take such a mask
SAVING = 0.9  # a packed micro-batch must cost less than this share of an ordinary one


@dataclass(frozen=True)
class Packed:
    """A packed micro-batch.

    Attributes:
        input_ids: (rows, columns).
        position_ids: (rows, columns).
        labels: (rows, columns), the completion token that each position predicts, or -100.
        segments: (rows, columns), 0 for prompts, 1, 2, ... for completions and -1 for padding.
        place: row and column of each label, both (tokens,).
        token: the completion that each label is from, and its column there, both (tokens,).
        shape: number of completions, and their columns before packing.
        first: the first column after the prompts.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    labels: torch.Tensor
    segments: torch.Tensor
    place: tuple[torch.Tensor, torch.Tensor]
    token: tuple[torch.Tensor, torch.Tensor]
    shape: tuple[int, int]
    first: int

    def unpack(self, values: torch.Tensor) -> torch.Tensor:
        """One value per label, (tokens,), at the place of its token, (completions, columns); 0 for padding."""
        return values.new_zeros(self.shape).index_put(self.token, values)

    def inputs(self, implementation: str) -> dict:
        """Keyword arguments of the model, for an attention implementation of `MASKS`."""
        return {
            "input_ids": self.input_ids,
            "position_ids": self.position_ids,
            "attention_mask": attention_mask(self.segments, implementation),
        }


def attention_mask(segments: torch.Tensor, implementation: str):
    """A token sees those before it that are of the prompt or of its own segment, (rows, 1, columns, columns).

    Padding sees padding, because a row of the mask must not be empty.

    Returns:
        Booleans for sdpa, numbers to add for eager attention, a BlockMask for FlexAttention.
    """

    def sees(row, head, query, key):
        of_key = segments[row, key]
        return (key <= query) & ((of_key == 0) | (of_key == segments[row, query]))

    rows, columns = segments.shape
    if implementation == "flex_attention":
        from torch.nn.attention.flex_attention import create_block_mask

        return create_block_mask(sees, rows, None, columns, columns, device=segments.device)
    column = torch.arange(columns, device=segments.device)
    mask = sees(torch.arange(rows, device=segments.device).view(-1, 1, 1, 1), 0, column.view(-1, 1), column)
    if implementation == "sdpa":
        return mask
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, torch.finfo(torch.float32).min)


@dataclass(frozen=True)
class Plan:
    """Where completions go.

    Attributes:
        rows: packed row of each completion.
        starts: its first column in that row, after the prompt.
        leaders: for each packed row, a completion whose prompt it has.
        columns: columns of the packed rows.
    """

    rows: list[int]
    starts: list[int]
    leaders: list[int]
    columns: int

    @classmethod
    def of_width(cls, lengths: list[int], prompts: list[int], before: int, width: int) -> "Plan":
        """First fit, longest first, into rows of at most `width` completion tokens."""
        rows, starts, leaders, used = [0] * len(lengths), [0] * len(lengths), [], []
        rows_of = defaultdict(list)
        for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            if not lengths[i]:
                continue  # a truncated completion that is masked
            row = next((row for row in rows_of[prompts[i]] if used[row] + lengths[i] <= width), None)
            if row is None:
                row = len(used)
                rows_of[prompts[i]].append(row)
                leaders.append(i)
                used.append(0)
            rows[i], starts[i] = row, used[row]
            used[row] += lengths[i]
        return cls(rows, starts, leaders, before + max(used))

    def cost(self, hidden: int) -> int:
        """See the function `cost`."""
        return cost(len(self.leaders), self.columns, hidden)


def cost(rows: int, columns: int, hidden: int) -> int:
    """What a forward pass costs, up to a factor: per token and layer, 24 h^2 operations, and 4 h for each key in its row."""
    return rows * columns * (6 * hidden + columns)


def plan(input_ids: torch.Tensor, attention_mask: torch.Tensor, completion_columns: int, hidden: int) -> Plan | None:
    """The cheapest plan for a micro-batch as TRL makes it, or None where packing saves too little.

    Args:
        input_ids: (completions, columns): prompts padded on the left, then completions padded on the right.
        attention_mask: the same shape, 1 for tokens and 0 for padding.
        completion_columns: columns of the completions.
        hidden: the model's hidden size.
    """
    before = input_ids.shape[1] - completion_columns - 1
    lengths = attention_mask[:, before + 1 :].sum(dim=1).tolist()
    if not any(lengths):
        return None
    prompts = same_prompts(input_ids[:, :before], attention_mask[:, :before]).tolist()
    totals = defaultdict(int)
    for prompt, length in zip(prompts, lengths, strict=True):
        totals[prompt] += length
    widths = [max(lengths)]
    while widths[-1] < max(totals.values()):
        widths.append(2 * widths[-1])
    plans = [Plan.of_width(lengths, prompts, before, width) for width in widths]
    best = min(plans, key=lambda plan: plan.cost(hidden))
    return best if best.cost(hidden) < SAVING * cost(*input_ids.shape, hidden) else None


def same_prompts(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A number for each row, (rows,), equal where the tokens are; both arguments (rows, columns)."""
    if ids.shape[1] == 0:
        return ids.new_zeros(len(ids))
    return torch.cat([mask, ids * mask], dim=1).unique(dim=0, return_inverse=True)[1]


def pack(plan: Plan, input_ids: torch.Tensor, attention_mask: torch.Tensor, completion_columns: int) -> Packed:
    """Packs a micro-batch; arguments as in `plan`."""
    device, before = input_ids.device, input_ids.shape[1] - completion_columns - 1
    lengths = attention_mask[:, before + 1 :].sum(dim=1)
    completion = torch.arange(len(lengths), device=device).repeat_interleave(lengths)
    column = torch.arange(len(completion), device=device) - (lengths.cumsum(0) - lengths)[completion]
    rows, starts, leaders = (torch.tensor(values, device=device) for values in (plan.rows, plan.starts, plan.leaders))
    place = rows[completion], before + starts[completion] + column

    def arrange(prompt: torch.Tensor | None, tokens: torch.Tensor, fill: int) -> torch.Tensor:
        """The prompts' values and one value per completion token, in packed rows."""
        packed = torch.full((len(leaders), plan.columns), fill, device=device)
        if prompt is not None:
            packed[:, :before] = prompt[leaders, :before]
        return packed.index_put(place, tokens)

    return Packed(
        input_ids=arrange(input_ids, input_ids[completion, before + column], 0),
        position_ids=arrange(
            (attention_mask.cumsum(dim=1) - 1).clamp(min=0), attention_mask[:, :before].sum(dim=1)[completion] + column, 0
        ),
        labels=arrange(None, input_ids[completion, before + 1 + column], -100),
        segments=arrange(attention_mask - 1, completion + 1, -1),
        place=place,
        token=(completion, column),
        shape=(len(input_ids), completion_columns),
        first=before,
    )


def why_not(model) -> str | None:
    """Why a model cannot score packed rows, or None if nothing speaks against it.

    Args:
        model: a PreTrainedModel, without wrappers.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if config._attn_implementation not in MASKS:
        return f"attn_implementation {config._attn_implementation} takes no mask for them (sdpa does)"
    if set(getattr(config, "layer_types", None) or ()) - {"full_attention"}:
        return f"not all layers of {config.model_type} have full attention"
    if window and window < config.max_position_embeddings:
        return f"the model's attention has a sliding window of {window} tokens"
    if "position_ids" not in inspect.signature(type(model).forward).parameters:
        return f"{config.model_type} takes no positions"
    return None
