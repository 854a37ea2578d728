"""Runs a micro-batch of GRPO as one row of tokens, in which each prompt occurs once.

    prompt A, completion 1
    prompt A, completion 2
    prompt A, completion 3   ->   prompt A, prompt B, completion 1, completion 2, ..., completion 5
    prompt B, completion 4
    prompt B, completion 5

The row has no padding. A prompt attends to itself, and a completion to its prompt and itself, at the positions that they have
in rows of their own. So the log-probs are the same up to rounding, and a single forward pass scores the micro-batch, under any
wrapper of the model. The last token of a prompt is repeated for each completion, since it predicts its first token.

Attention is called once for prompts, and once or twice for completions (long and short ones, to pad less). FlexAttention takes
a mask over the row, and skips what it hides.

Prefix sharing for GRPO: PrefixGrouper, arXiv 2506.05433. An alternative is a KV cache of the prompts, expanded to their
completions; it needs two passes, which wrappers of sharded models do not expect, and gradient checkpointing turns caches off.
"""

from dataclasses import dataclass

import torch

from recipes.training.trainers.packed_rows import Part, Spans, attention_cost, cut, token_mask


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
        """Keyword arguments of the model, for the attention implementation `sdpa` or `flex_attention`."""
        inputs = {"input_ids": self.input_ids, "position_ids": self.position_ids}
        if implementation == "flex_attention":
            return inputs | {"attention_mask": self.block_mask()}
        # spans need no mask; given one of four dimensions, transformers makes none
        placeholder = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=self.input_ids.device)
        return inputs | {"attention_mask": placeholder, "spans": self.spans}

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
    parts, masks = [Part(tuple(prompt_mask.shape))], [prompt_mask]
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
            masks.append(part_mask)
            of_part, column = part_mask.nonzero(as_tuple=True)
            completions.append(part[of_part])
            columns.append(column)

    completion, column = torch.cat(completions), torch.cat(columns)
    prompt_ids = input_ids[leaders, :before][attention_mask[leaders, :before].bool()]
    labels = input_ids[completion, before + 1 + column]
    return Packed(
        input_ids=torch.cat([prompt_ids, input_ids[completion, before + column]]).unsqueeze(0),
        position_ids=torch.cat([prompt_mask.nonzero()[:, 1], prompt_lengths[prompt_of][completion] + column]).unsqueeze(0),
        labels=torch.cat([torch.full_like(prompt_ids, -100), labels]).unsqueeze(0),
        spans=Spans.of(parts, masks),
        prompt_of=prompt_of,
        token=(completion, column),
        first=len(prompt_ids),
        shape=(len(input_ids), completion_columns),
    )


def same_prompts(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A number for each row, (rows,), equal where the tokens are; both arguments (rows, columns)."""
    if ids.shape[1] == 0:
        return torch.zeros(len(ids), dtype=torch.long, device=ids.device)
    return torch.cat([mask, ids * mask], dim=1).unique(dim=0, return_inverse=True)[1]
