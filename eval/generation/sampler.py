"""Sampling through transformers' `generate` with one seed per completion. Seed for seed, it samples what vLLM does on CPU."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from eval.generation.server import Sample

FIRST_ROUND = 32  # tokens


def draw(logits: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Samples one token per row from softmax(logits), by inverting the cumulative distribution.

    Args:
        logits: (rows, vocabulary), float32; -inf excludes a token.
        uniform: (rows,), random numbers from [0, 1).

    Returns:
        (rows,) token ids, int64.
    """
    # float32 sums would lose improbable tokens to rounding; on CPU torch accumulates them in float64 anyway
    cumulative = logits.softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64 if logits.is_cuda else None)
    total = cumulative[:, -1:]
    below_total = torch.nextafter(total, torch.zeros_like(total))  # if uniform * total rounds up to total
    drawn = torch.minimum(uniform.to(total).unsqueeze(1) * total, below_total)
    # right=True finds the first cumulative sum strictly above, so a token of probability zero is never drawn.
    return torch.searchsorted(cumulative, drawn, right=True).squeeze(1)


def make_filters(top_k: int, top_p: float, min_p: float | None) -> LogitsProcessorList:
    """vLLM's sampling filters in its order: min-p, then top-k and top-p. They take logits divided by the temperature.

    `top_k` 0 or -1, `top_p` 1 and `min_p` None or 0 are off.
    """
    filters = LogitsProcessorList()
    if min_p:
        filters.append(MinPLogitsWarper(min_p))
    if top_k > 0:
        filters.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        filters.append(TopPLogitsWarper(top_p))
    return filters


class Sampler(LogitsProcessor):
    """Samples each row's next token with the row's own seed, and masks all others, so that `generate` has to take it.

    Attributes:
        logps: (rows,) for each call so far, the chosen tokens' log-probs under the distribution that they were drawn from.
    """

    def __init__(self, seeds: Sequence[int], settings: dict[str, Any], sampled: int = 0) -> None:
        """As in `complete`, for one batch whose rows have `sampled` tokens already."""
        self.sampled = sampled
        self.temperature = settings["temperature"]
        self.filters = make_filters(settings["top_k"], settings["top_p"], settings["min_p"])
        self.logps: list[torch.Tensor] = []
        if self.temperature > 0:
            generators = [torch.Generator().manual_seed(seed) for seed in seeds]
            # (rows, tokens); as vLLM draws them, one after the other
            self.uniform = torch.stack([torch.rand(settings["max_tokens"], generator=one) for one in generators])

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Logits, (rows, vocabulary), that are -inf but for the chosen tokens."""
        if self.temperature > 0:
            logps = self.filters(input_ids, scores / self.temperature).log_softmax(dim=-1)
            tokens = draw(logps, self.uniform[:, self.sampled + len(self.logps)])
        else:
            logps = scores.log_softmax(dim=-1)
            tokens = logps.argmax(dim=-1)
        tokens = tokens.unsqueeze(1)
        self.logps.append(logps.gather(1, tokens).squeeze(1))
        return torch.full_like(scores, -torch.inf).scatter(1, tokens, 0.0)


def complete(
    model,
    tokenizer,
    prompts: Sequence[list[int]],
    seeds: Sequence[int],
    settings: dict[str, Any],
    batch_size: int,
    synced: bool = False,
) -> Iterator[tuple[int, Sample]]:
    """Yields (position, completion) of each prompt, in batches of prompts of similar length, shorter ones first.

    A completion depends on its prompt and seed alone, up to rounding, and ends with its end token, if it has one. A batch takes
    as long as its longest completion, so it stops after 32, 64, 128, ... tokens and continues without those that have ended.

    Args:
        model: in eval mode.
        tokenizer: the model's.
        prompts: token ids of each.
        seeds: of each completion.
        settings: vLLM's sampling parameters: those of `engines.NEUTRAL`, temperature, max_tokens, stop_token_ids and stop.
            The repetition penalty is not applied.
        batch_size: completions at a time.
        synced: the weights are sharded, so every process keeps generating until the last one has finished.
    """
    ends, most = settings["stop_token_ids"], settings["max_tokens"]
    options = {"do_sample": False, "repetition_penalty": 1.0, "synced_gpus": synced}
    pad_id = 0 if tokenizer.pad_token_id is None else tokenizer.pad_token_id  # never seen: it is masked, or after the end
    options |= {"eos_token_id": list(ends), "pad_token_id": pad_id}
    if settings.get("stop"):
        options |= {"stop_strings": list(settings["stop"]), "tokenizer": tokenizer}
    # processes with sharded weights must make the same calls; and `generate` does not say which rows met a stop text
    in_one_round = synced or settings.get("stop")
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), batch_size):
        running, sampled, limit = order[start : start + batch_size], 0, most if in_one_round else FIRST_ROUND
        samples = {i: Sample([], []) for i in running}
        while running:
            until = min(limit, most)
            rows = [[*prompts[i], *samples[i].ids] for i in running]
            batch = _pad(rows, pad_id, model.device)
            sampler = Sampler([seeds[i] for i in running], settings, sampled)
            options |= {"max_new_tokens": until - sampled, "logits_processor": LogitsProcessorList([sampler])}
            with torch.no_grad():
                out = model.generate(**batch, **options)
            new, logps = out[:, batch["input_ids"].shape[1] :].tolist(), torch.stack(sampler.logps, dim=1).tolist()
            for i, ids, ids_logps in zip(running, new, logps, strict=True):
                end = next((n for n, token in enumerate(ids, 1) if token in ends), len(ids))
                samples[i] = Sample(samples[i].ids + ids[:end], samples[i].logps + ids_logps[:end])
            running = [i for i in running if until < most and samples[i].ids[-1] not in ends]
            sampled, limit = until, 2 * limit
        yield from samples.items()


def _pad(rows: list[list[int]], pad_id: int, device: torch.device) -> dict[str, torch.Tensor]:
    """The rows as `input_ids` and `attention_mask` of shape (rows, longest), padded on the left."""
    width = max(map(len, rows))
    padded = [[pad_id] * (width - len(row)) + row for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return {
        "input_ids": torch.tensor(padded, dtype=torch.long, device=device),
        "attention_mask": torch.tensor(mask, dtype=torch.long, device=device),
    }
