"""Log-probs and entropies of completions: with shared prompts (shared_prompts.py), and under sampling filters (filters.py)."""

import torch
from tqdm.auto import tqdm

from recipes.training.models import base_model
from recipes.training.trainers import packed_rows, shared_prompts
from recipes.training.trainers.filters import Filters, filtered_logps


class ScoresCompletions:
    """Mixin for TRL's GRPOTrainer; a prompt goes through the model once for several completions where that saves time.

    Before the first step, a few random tokens are scored both ways. If the log-probs differ, prompts are never shared.
    """

    def __init__(self, *args, share_prompts: bool = True, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.filters = Filters(self.top_k, self.top_p, self.min_p)
        packed_rows.register()
        self.shares_prompts: bool | None = None if share_prompts else False  # None: undecided before the first step

    def training_step(self, model, inputs, num_items_in_batch):
        """As in TRL; before the first step, decides whether prompts are shared."""
        if self.shares_prompts is None:
            reason = packed_rows.why_not_here(self, model, self._score_both_ways, "sdpa", "flex_attention")
            self.shares_prompts = reason is None
            if reason and self.accelerator.is_main_process:
                tqdm.write(f"prompts are not shared between completions: {reason}")
        return super().training_step(model, inputs, num_items_in_batch)

    def cost(self, batch: dict) -> int:
        """What a forward pass over a micro-batch costs, up to a factor."""
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
        packed = self._pack(ids, mask, batch["completion_ids"].shape[1])
        return packed.cost(self._hidden_size) if packed else shared_prompts.cost(*ids.shape, self._hidden_size)

    def _pack(self, input_ids, attention_mask, logits_to_keep: int) -> shared_prompts.Packed | None:
        """A micro-batch with shared prompts; None where they save too little."""
        packed = shared_prompts.pack(input_ids, attention_mask, logits_to_keep) if self.shares_prompts else None
        limit = packed_rows.SAVING * shared_prompts.cost(*input_ids.shape, self._hidden_size)
        return packed if packed and packed.cost(self._hidden_size) < limit else None

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, compute_entropy=False, **more
    ) -> tuple:
        """As in TRL, micro-batch by micro-batch, each packed if that saves time."""
        if any(value is not None and value is not False for value in more.values()):  # images, or the auxiliary loss of an MoE
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **more
            )
        scored = []
        for ids, mask in zip(*(t.split(batch_size or len(t)) for t in (input_ids, attention_mask)), strict=True):
            packed = self._pack(ids, mask, logits_to_keep)
            if packed is None:
                scored.append(self._score_rows(model, ids, mask, logits_to_keep, compute_entropy))
            else:
                scored.append(self._score_packed(model, packed, compute_entropy))
        logps, entropies = zip(*scored, strict=True)
        return torch.cat(logps), torch.cat(entropies) if compute_entropy else None, None

    @property
    def _hidden_size(self) -> int:
        return base_model(self.accelerator, self.model).config.get_text_config().hidden_size

    def _score_rows(self, model, input_ids, attention_mask, logits_to_keep: int, compute_entropy: bool) -> tuple:
        """Log-probs and entropies, (completions, columns), in the ordinary way."""
        if not self.filters:
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, compute_entropy=compute_entropy
            )[:2]
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "logits_to_keep": logits_to_keep + 1}
        with self.accelerator.autocast():
            logits = model(**inputs).logits[:, :-1]
        tokens = input_ids[:, -logits_to_keep:]
        scored = filtered_logps((logits / self.temperature).flatten(0, 1), tokens.flatten(), self.filters)
        return tuple(values.view(tokens.shape) for values in scored)

    def _score_packed(self, model, packed: shared_prompts.Packed, compute_entropy: bool) -> tuple:
        """The same for a packed micro-batch."""
        inputs = packed.inputs(base_model(self.accelerator, model).config.get_text_config()._attn_implementation)
        labels = packed.labels[0, packed.first :]
        if self.filters:  # they need all logits of a token, which TRL's fused LM head never holds
            with self.accelerator.autocast():
                logits = model(**inputs, logits_to_keep=len(labels)).logits[0]
            logps, entropies = filtered_logps(logits / self.temperature, labels, self.filters)
        else:
            with self.accelerator.autocast():
                outputs = model(**inputs, shift_labels=packed.labels, fused_lm_head=True)
            logps = outputs.log_probs[0, packed.first :]
            entropies = outputs.entropy[0, packed.first :] if compute_entropy else None
        return packed.unpack(logps), packed.unpack(entropies) if compute_entropy else None

    @torch.no_grad()
    def _score_both_ways(self, model, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probs of random tokens, packed and in the ordinary way."""
        prompts, completions = torch.tensor([5, 5, 5, 8, 8, 8]), torch.tensor([6, 3, 1, 2, 4, 4])  # lengths
        column = torch.arange(8 + 6)
        mask = ((column >= 8 - prompts.unsqueeze(1)) & (column < 8 + completions.unsqueeze(1))).long()
        ids = torch.randint(vocabulary, mask.shape, generator=torch.Generator().manual_seed(0))
        ids[:, :8] = ids[[0, 0, 0, 3, 3, 3], :8]
        ids, mask = (ids * mask).to(self.accelerator.device), mask.to(self.accelerator.device)
        ordinary, _ = self._score_rows(model, ids, mask, 6, compute_entropy=False)
        packed, _ = self._score_packed(model, shared_prompts.pack(ids, mask, 6), compute_entropy=False)
        scored = mask[:, 8:].bool()
        return packed[scored], ordinary[scored]
