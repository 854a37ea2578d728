"""GRPOTrainer with a choice of baseline, dynamic sampling of zero-variance groups, and fewer forward passes.

To correct the vLLM-trainer log-prob mismatch, TRL runs each completion through the model once more before training. When an
optimizer step trains on everything that was generated for it, the training pass has the same weights. Then the correction
(correction.py) is computed there, and rows are regrouped into micro-batches of the same prompts or of similar length, whichever
is cheaper (batching.py). A prompt goes through the model once for several completions (scoring.py, shared_prompts.py).

Private methods of TRL 1.16.0 that are overridden, and when to remove each override:

    _get_train_sampler                  A resumed run continues the shuffled order. Remove when: the order depends on the epoch
                                        alone, not on the state of one generator.
    _generate_and_score_completions     Baselines; no extra forward pass; in ahead.py, asynchronous rollouts. Remove when:
                                        GRPOConfig offers them.
    _calculate_rewards                  Keeps the rewards for the baseline; stops when one fails (reward_failures.py). Remove
                                        with: the baselines; when TRL saves a checkpoint then.
    _generate                           Dynamic sampling. Remove when: GRPOConfig offers it.
    _compute_loss                       } The correction from the training pass. Remove when: TRL skips its extra forward
    _get_per_token_logps_and_entropies  } pass for on-policy steps. Also, in scoring.py, shared prompts and log-probs under
                                        top-k, top-p and min-p. Remove when: TRL offers both.
    _prepare_inputs                     Micro-batches of the same prompts or similar length. Remove when: TRL makes such.

They use TRL's private `_buffered_inputs` and `_step` (micro-batches), `_logs` (advantages in the completions table), and
`_log_metric` and `_log_completion_extra` (rewards during dynamic sampling are not logged).
tests/test_patches.py fails when one of these names disappears.
"""

import random
import time

import torch
import trl
from transformers import TrainerState

from recipes.training.checkpoints.card import OwnCard
from recipes.training.patches.trl import add_metrics
from recipes.training.trainers.ahead import GeneratesAhead
from recipes.training.trainers.algorithms import Algorithm
from recipes.training.trainers.batching import rebatch_by_length
from recipes.training.trainers.correction import clipped_ratio, clipped_shares, clipped_tokens, summarize
from recipes.training.trainers.finite import StopOnNonFinite
from recipes.training.trainers.reward_failures import StopOnFailedReward
from recipes.training.trainers.scoring import ScoresCompletions

COLUMNS = {
    "prompt_mask": ("prompt_ids",),
    "completion_mask": ("completion_ids", "sampling_per_token_logps", "ref_per_token_logps"),
}


def compute_advantages(rewards: torch.Tensor, group: int, baseline: str) -> torch.Tensor:
    """Rewards minus their baseline, (completions,).

    A completion without a reward (NaN) has the advantage 0 and does not count in the baseline of others, as in TRL.

    Args:
        rewards: (completions,), ordered by group.
        group: completions per group.
        baseline: one of BASELINES.
    """
    grouped = rewards.view(-1, len(rewards) if baseline == "batch" else group)
    advantages = grouped - grouped.nanmean(dim=1, keepdim=True)
    if baseline == "leave_one_out":  # r - (sum - r) / (n - 1) = (r - mean) n / (n - 1)
        counted = grouped.isfinite().sum(dim=1, keepdim=True)
        advantages = advantages * counted / (counted - 1).clamp(min=1)
    return advantages.nan_to_num(0.0).flatten()


def _add_position_ids(model, args, kwargs: dict) -> tuple:
    """Gives a left-padded batch the positions of its tokens. TRL leaves them out, and absolute positions count the padding."""
    if kwargs.get("position_ids") is None:
        kwargs["position_ids"] = (kwargs["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
    return args, kwargs


class CotmixGRPOTrainer(OwnCard, StopOnNonFinite, StopOnFailedReward, GeneratesAhead, ScoresCompletions, trl.GRPOTrainer):
    """GRPOTrainer for any `Algorithm`; see the module docstring for what is overridden."""

    def __init__(self, *args, algorithm: Algorithm, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.algorithm = algorithm
        for model in (self.model, self.ref_model):
            if model is not None and not hasattr(model.config, "rope_parameters"):
                self.accelerator.unwrap_model(model).register_forward_pre_hook(_add_position_ids, with_kwargs=True)
        self.epochs_done = 0
        self._generate_time = 0.0  # seconds, in the optimizer step so far
        self._weights_step = 0  # of the weights that the current completions come from
        self._uncorrected: dict | None = None  # the micro-batch in `_compute_loss` if it still needs its correction
        self._corrections: list[tuple[torch.Tensor, ...]] = []  # statistics of each micro-batch of the current generation

    @property
    def _is_on_policy(self) -> bool:
        """Whether each optimizer step trains once on everything that was generated for it."""
        return self.args.gradient_accumulation_steps % (self.args.steps_per_generation * self.num_iterations) == 0

    @property
    def _has_entropy_terms(self) -> bool:
        """Whether the loss has terms that TRL computes per micro-batch, which depend on how rows are grouped."""
        return self.args.entropy_coef != 0 or self.args.use_adaptive_entropy or self.args.top_entropy_quantile < 1

    # Resumption

    def train(self, resume_from_checkpoint: str | None = None):
        """As in TRL, but the sampler skips the epochs that are done."""
        if resume_from_checkpoint:
            state = TrainerState.load_from_json(f"{resume_from_checkpoint}/trainer_state.json")
            self.epochs_done = int(state.epoch)
        return super().train(resume_from_checkpoint=resume_from_checkpoint)

    def _get_train_sampler(self, dataset=None):
        """TRL's sampler, with its generator advanced by one permutation per epoch done."""
        sampler = super()._get_train_sampler(dataset)
        for _ in range(self.epochs_done * sampler.shuffle):
            torch.randperm(sampler.num_samples, generator=sampler.generator)
        return sampler

    def training_step(self, model, inputs, num_items_in_batch):
        """As in TRL; also logs how much of its `step_time` was generation, and the step and age of the weights it came from."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self._step % self.current_gradient_accumulation_steps == 0:
            age = self.state.global_step - self._weights_step
            add_metrics(self, {"generate_time": self._generate_time, "weights_step": self._weights_step, "weights_age": age})
            self._generate_time = 0.0
        return loss

    # Scoring

    def _generate_and_score_completions(self, inputs: list[dict]) -> dict:
        self._rows = inputs
        enabled = self.vllm_importance_sampling_correction
        # without it, TRL skips its extra forward pass
        self.vllm_importance_sampling_correction = enabled and not (self.model.training and self._is_on_policy)
        try:
            batch = super()._generate_and_score_completions(inputs)
        finally:
            self.vllm_importance_sampling_correction = enabled
        if self.algorithm.baseline != "group":
            rewards = self._sum(self._rewards)
            advantages = compute_advantages(rewards, self.num_generations, self.algorithm.baseline)
            first = self.accelerator.process_index * len(inputs)
            batch["advantages"] = advantages[first : first + len(inputs)]
            logged = self._logs["advantages"]
            for _ in range(min(len(logged), len(advantages))):
                logged.pop()
            logged.extend(advantages.tolist())
        if "importance_sampling_ratio" in batch:
            mask, highest = batch["completion_mask"], self.vllm_importance_sampling_clip_max
            clipped = clipped_tokens(batch["importance_sampling_ratio"], mask, highest)
            add_metrics(self, clipped_shares(*self.accelerator.gather((clipped, mask.sum(dim=1)))))
        return batch

    def _calculate_rewards(self, *args, **kwargs) -> torch.Tensor:
        self._rewards = super()._calculate_rewards(*args, **kwargs)
        return self._rewards

    def _sum(self, rewards: torch.Tensor) -> torch.Tensor:
        """The weighted sum, (completions,). As in TRL, a reward that is None (here NaN) does not count; NaN if all are."""
        total = (rewards * self.reward_weights.to(rewards.device)).nansum(dim=1)
        return total.masked_fill(rewards.isnan().all(dim=1), torch.nan)

    # Dynamic sampling

    def _generate(self, prompts: list) -> tuple:
        began = time.perf_counter()
        generated = super()._generate(prompts)
        if self.algorithm.resamples and self.model.training:
            self._resample_zero_variance_groups(prompts, generated)
        self._generate_time += time.perf_counter() - began
        self._weights_step = self.state.global_step
        return generated

    def _resample_zero_variance_groups(self, prompts: list, generated: tuple) -> None:
        """Replaces zero-variance groups by groups of other problems, in place: in `prompts`, `generated` and `self._rows`.

        Generation is a collective operation, so every process draws as many groups as the one with the most to replace.
        """
        rank, size = self.accelerator.process_index, self.num_generations
        micro_step = self._step % self.args.gradient_accumulation_steps  # a step can have several generations
        draw = random.Random(f"{self.args.seed}/{self.state.global_step}/{micro_step}/{rank}")
        to_replace = self._zero_variance_groups(self._rows, generated)
        drawn = 0
        for _ in range(self.algorithm.resamples):
            most = int(self.accelerator.gather(torch.tensor([len(to_replace)], device=self.accelerator.device)).max())
            if most == 0:
                break
            drawn += most
            rows = [self.train_dataset[draw.randrange(len(self.train_dataset))] for _ in range(most)]
            rows = [row for row in rows for _ in range(size)]
            fresh = super()._generate([row["prompt"] for row in rows])
            rejected = set(self._zero_variance_groups(rows, fresh))
            accepted = [start for start in range(0, len(rows), size) if start not in rejected]
            for old, new in zip(list(to_replace), accepted, strict=False):
                to_replace.remove(old)
                self._rows[old : old + size] = rows[new : new + size]
                prompts[old : old + size] = [row["prompt"] for row in rows[new : new + size]]
                for values, fresh_values in zip(generated, fresh, strict=True):
                    if isinstance(values, list) and values:
                        values[old : old + size] = fresh_values[new : new + size]
        add_metrics(self, {"resampled_groups": drawn / (len(prompts) // size)})

    def _zero_variance_groups(self, rows: list[dict], generated: tuple) -> list[int]:
        """The index of the first completion of each group whose completions all have the same reward."""
        _, completion_ids, _, completions, *_ = generated
        self._log_metric = self._log_completion_extra = lambda *_: None
        try:
            rewards = super()._calculate_rewards(rows, [row["prompt"] for row in rows], completions, completion_ids)
        finally:
            del self._log_metric, self._log_completion_extra
        first = self.accelerator.process_index * len(rows)
        rewards = self._sum(rewards[first : first + len(rows)]).view(-1, self.num_generations)
        none = rewards.isnan()
        varies = rewards.masked_fill(none, -torch.inf).amax(dim=1) > rewards.masked_fill(none, torch.inf).amin(dim=1)
        return [group * self.num_generations for group, does in enumerate(varies.tolist()) if not does]

    # Importance-sampling correction

    def _compute_loss(self, model, inputs: dict) -> torch.Tensor:
        self._uncorrected = inputs if self.use_vllm and "importance_sampling_ratio" not in inputs else None
        return super()._compute_loss(model, inputs)

    def _get_per_token_logps_and_entropies(self, *args, **kwargs) -> tuple:
        scored = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if self._uncorrected is not None:
            self._correct(self._uncorrected, scored[0].detach())
            self._uncorrected = None
        return scored

    def _correct(self, inputs: dict, logps: torch.Tensor) -> None:
        """Adds the importance-sampling ratio to a micro-batch; after the last one of a generation, logs TRL's metrics of it.

        With `vllm_importance_sampling_correction: false` the loss does not use the ratio, but the log-prob gap is still logged.

        Args:
            inputs: the micro-batch.
            logps: (completions, tokens), the trainer's log-probs with the current weights.
        """
        logps = inputs.get("old_per_token_logps", logps)  # of the weights that generated, if those are no longer current
        mask, mode = inputs["completion_mask"].bool(), self.vllm_importance_sampling_mode
        lowest, highest = self.vllm_importance_sampling_clip_min, self.vllm_importance_sampling_clip_max
        difference = logps - inputs["sampling_per_token_logps"]
        # vLLM's log-prob of a token can be NaN: then it is not corrected
        ratio = clipped_ratio(torch.nan_to_num(difference, nan=0.0) * mask, mode, lowest, highest)
        inputs["importance_sampling_ratio"] = ratio
        logp_gap = difference[mask & ~difference.isnan()].abs()
        ratios = ratio[mask] if ratio.shape == mask.shape else ratio.flatten()
        self._corrections.append((logp_gap, ratios, clipped_tokens(ratio, mask, highest), mask.sum(dim=1)))
        if len(self._corrections) < self.args.steps_per_generation:
            return
        logp_gap, ratios, clipped, lengths = (torch.cat(parts) for parts in zip(*self._corrections, strict=True))
        self._corrections.clear()
        for name, value in summarize(logp_gap, ratios).items():
            gathered = self.accelerator.gather(value.float())
            add_metrics(self, {name: getattr(gathered, name.rsplit("/")[-1])().item()})
        add_metrics(self, clipped_shares(*self.accelerator.gather((clipped, lengths))))

    # Micro-batches

    def _prepare_inputs(self, generation_batch) -> dict:
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self._buffered_inputs is before or not self._is_on_policy or self._has_entropy_terms:
            return inputs
        by_length = rebatch_by_length(self._buffered_inputs, COLUMNS)
        by_prompt = rebatch_by_length(self._buffered_inputs, COLUMNS, groups="prompt_ids")
        self._buffered_inputs = min(by_length, by_prompt, key=lambda batches: sum(map(self.cost, batches)))
        return self._buffered_inputs[self._step % self.args.steps_per_generation]
