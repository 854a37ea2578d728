"""GRPOTrainer with a choice of baseline, dynamic sampling of zero-variance groups (see algorithms.py), and less to compute.

TRL runs every completion through the model once more before it trains, to correct the vLLM-trainer log-prob mismatch. Where a
step trains on everything that was generated for it, the training pass has the same weights, so the correction is taken from
there, and rows are grouped into micro-batches of similar length (see batches.py).
"""

import contextlib
import random
from collections.abc import Iterator

import torch
import trl
from transformers import TrainerState

from recipes.training.trainers.algorithms import Algorithm
from recipes.training.trainers.batching import by_length
from recipes.training.trainers.correction import clipped_ratio, clipped_shares, clipped_tokens, describe

COLUMNS = {
    "prompt_mask": ("prompt_ids",),
    "completion_mask": ("completion_ids", "sampling_per_token_logps", "ref_per_token_logps"),
}


def compute_advantages(rewards: torch.Tensor, group: int, baseline: str) -> torch.Tensor:
    """Rewards minus their baseline.

    Args:
        rewards: (completions,), the groups one after another.
        group: completions a group.
        baseline: one of BASELINES.
    """
    if baseline == "batch":
        return rewards - rewards.mean()
    grouped = rewards.view(-1, group)
    advantages = grouped - grouped.mean(dim=1, keepdim=True)
    if baseline == "leave_one_out":  # r - (sum - r) / (n - 1) = (r - mean) n / (n - 1)
        advantages = advantages * group / (group - 1)
    return advantages.flatten()


class CotmixGRPOTrainer(trl.GRPOTrainer):
    """GRPOTrainer with a choice of baseline, and with dynamic sampling: zero-variance groups are replaced by other problems."""

    def __init__(self, *args, algorithm: Algorithm, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.algorithm = algorithm
        self.passes_done = 0
        self._uncorrected: dict | None = None  # the micro-batch whose log-probs are computed now
        self._corrected: list[tuple[torch.Tensor, ...]] = []  # what the correction did to a generation's micro-batches

    def train(self, resume_from_checkpoint: str | None = None):
        """TRL's; remembers the completed epochs for the sampler."""
        if resume_from_checkpoint:
            state = TrainerState.load_from_json(f"{resume_from_checkpoint}/trainer_state.json")
            self.passes_done = int(state.epoch)
        return super().train(resume_from_checkpoint=resume_from_checkpoint)

    def _get_train_sampler(self, dataset=None):
        """TRL's, advanced by the epochs that a resumed run has completed: one generator shuffles them all."""
        sampler = super()._get_train_sampler(dataset)
        for _ in range(self.passes_done):
            torch.randperm(sampler.num_samples, generator=sampler.generator)
        return sampler

    @property
    def _is_on_policy(self) -> bool:
        """Whether an optimizer step trains on all that was generated for it, once."""
        return self.args.gradient_accumulation_steps % (self.args.steps_per_generation * self.num_iterations) == 0

    def _prepare_inputs(self, generation_batch) -> dict:
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self._buffered_inputs is before or not self._is_on_policy:
            return inputs
        self._buffered_inputs = by_length(self._buffered_inputs, COLUMNS)
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    def _generate_and_score_completions(self, inputs: list[dict]) -> dict:
        self._rows = inputs
        with self._corrected_later() if self.model.training and self._is_on_policy else contextlib.nullcontext():
            batch = super()._generate_and_score_completions(inputs)
        if self.algorithm.baseline != "group":
            rewards = (self._rewards * self.reward_weights.to(self._rewards.device)).sum(dim=1)
            advantages = compute_advantages(rewards, self.num_generations, self.algorithm.baseline)
            first = self.accelerator.process_index * len(inputs)
            batch["advantages"] = advantages[first : first + len(inputs)]
            logged = self._logs["advantages"]
            for _ in range(min(len(logged), len(advantages))):
                logged.pop()
            logged.extend(advantages.tolist())
        if "importance_sampling_ratio" in batch:
            mask, highest = batch["completion_mask"], self.vllm_importance_sampling_clip_max
            self._log_shares(clipped_tokens(batch["importance_sampling_ratio"], mask, highest), mask.sum(dim=1))
        return batch

    @contextlib.contextmanager
    def _corrected_later(self) -> Iterator[None]:
        """Without TRL's forward pass over what was generated."""
        corrected, self.vllm_importance_sampling_correction = self.vllm_importance_sampling_correction, False
        try:
            yield
        finally:
            self.vllm_importance_sampling_correction = corrected

    def _compute_loss(self, model, inputs: dict) -> torch.Tensor:
        corrected = self.use_vllm and self.vllm_importance_sampling_correction
        later = corrected and "importance_sampling_ratio" not in inputs
        self._uncorrected = inputs if later else None
        return super()._compute_loss(model, inputs)

    def _get_per_token_logps_and_entropies(self, *args, **kwargs) -> tuple:
        scored = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if self._uncorrected is not None:
            self._correct(self._uncorrected, scored[0].detach())
            self._uncorrected = None
        return scored

    def _correct(self, inputs: dict, logps: torch.Tensor) -> None:
        """Gives a micro-batch its importance-sampling ratio; after the last one of a generation, logs what TRL logs."""
        own, mode = inputs["completion_mask"].bool(), self.vllm_importance_sampling_mode
        lowest, highest = self.vllm_importance_sampling_clip_min, self.vllm_importance_sampling_clip_max
        difference = logps - inputs["sampling_per_token_logps"]
        # NaN where vLLM has no log-prob: there is nothing to correct
        ratio = inputs["importance_sampling_ratio"] = clipped_ratio(
            torch.nan_to_num(difference, nan=0.0) * own, mode, lowest, highest
        )
        logp_gap = difference[own & ~difference.isnan()].abs()
        ratios = ratio[own] if ratio.shape == own.shape else ratio.flatten()
        self._corrected.append((logp_gap, ratios, clipped_tokens(ratio, own, highest), own.sum(dim=1)))
        if len(self._corrected) < self.args.steps_per_generation:
            return
        logp_gap, ratios, clipped, lengths = (torch.cat(parts) for parts in zip(*self._corrected, strict=True))
        self._corrected.clear()
        for name, value in describe(logp_gap, ratios).items():
            everywhere = self.accelerator.gather(value.float())
            self._metrics["train"][name].append(getattr(everywhere, name.rsplit("/")[-1])().item())
        self._log_shares(clipped, lengths)

    def _log_shares(self, clipped: torch.Tensor, lengths: torch.Tensor) -> None:
        for name, value in clipped_shares(clipped, lengths).items():
            self._metrics["train"][name].append(value)

    def _calculate_rewards(self, *args, **kwargs) -> torch.Tensor:
        self._rewards = super()._calculate_rewards(*args, **kwargs)
        return self._rewards

    def _generate(self, prompts: list) -> tuple:
        generated = super()._generate(prompts)
        if self.algorithm.resamples and self.model.training:
            self._replace_flat_groups(prompts, generated)
        return generated

    def _replace_flat_groups(self, prompts: list, generated: tuple) -> None:
        """Replaces zero-variance groups by groups of other problems, in `prompts`, `generated` and the rows alike.

        All processes draw as many groups as the process that lacks most: generation is a collective operation.
        """
        rank, size = self.accelerator.process_index, self.num_generations
        draw = random.Random(f"{self.args.seed}/{self.state.global_step}/{rank}")
        flat = self._flat_groups(self._rows, generated)
        drawn = 0
        for _ in range(self.algorithm.resamples):
            most = int(self.accelerator.gather(torch.tensor([len(flat)], device=self.accelerator.device)).max())
            if most == 0:
                break
            drawn += most
            rows = [self.train_dataset[draw.randrange(len(self.train_dataset))] for _ in range(most)]
            rows = [row for row in rows for _ in range(size)]
            fresh = super()._generate([row["prompt"] for row in rows])
            useless = set(self._flat_groups(rows, fresh))
            useful = [start for start in range(0, len(rows), size) if start not in useless]
            for old, new in zip(list(flat), useful, strict=False):
                flat.remove(old)
                self._rows[old : old + size] = rows[new : new + size]
                prompts[old : old + size] = [row["prompt"] for row in rows[new : new + size]]
                for mine, theirs in zip(generated, fresh, strict=True):
                    if isinstance(mine, list) and mine:
                        mine[old : old + size] = theirs[new : new + size]
        self._metrics["train"]["groups_drawn_anew"].append(drawn / (len(prompts) // size))

    def _flat_groups(self, rows: list[dict], generated: tuple) -> list[int]:
        """Where the zero-variance groups begin: those whose completions all earn the same."""
        _, completion_ids, _, completions, *_ = generated
        columns = {name: [row[name] for row in rows] for name in rows[0] if name != "prompt"}
        quiet = {"log_metric": lambda *_: None, "log_extra": lambda *_: None}
        earned = torch.tensor(
            [f(completions=completions, completion_ids=completion_ids, **columns, **quiet) for f in self.reward_funcs]
        )
        rewards = (earned * self.reward_weights.cpu().unsqueeze(1)).sum(dim=0).view(-1, self.num_generations)
        spread = rewards.max(dim=1).values > rewards.min(dim=1).values
        return [group * self.num_generations for group, has in enumerate(spread.tolist()) if not has]
