"""GRPOTrainer with what TRL does not have: a choice of baseline, and groups without spread drawn anew (see algorithms.py)."""

import random

import torch
import trl
from transformers import TrainerState

from recipes.training.algorithms import Algorithm


def compute_advantages(rewards: torch.Tensor, group: int, baseline: str) -> torch.Tensor:
    """Rewards less their baseline.

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


def limited_shares(ratio: torch.Tensor, mask: torch.Tensor, highest: float) -> dict[str, float]:
    """Share of tokens that the importance-sampling limits dropped or held down, for the longer and the shorter completions.

    Args:
        ratio: (completions, tokens) or (completions, 1), after the limits: 0 where dropped, `highest` where held down.
        mask: (completions, tokens), 1 for the completion's own tokens.
        highest: the upper limit.
    """
    limited = ((ratio <= 0) | (ratio >= highest)).expand_as(mask) * mask
    lengths = mask.sum(dim=1)
    longer = lengths > lengths.float().median()
    halves = {"longer": longer, "shorter": ~longer}
    return {
        f"limited/{name}": (limited[half].sum() / mask[half].sum()).item() for name, half in halves.items() if mask[half].any()
    }


class PolicyTrainer(trl.GRPOTrainer):
    """GRPOTrainer with a choice of baseline, and groups without spread replaced by those of other problems."""

    def __init__(self, *args, algorithm: Algorithm, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.algorithm = algorithm
        self.passes_done = 0

    def train(self, resume_from_checkpoint: str | None = None):
        """TRL's, which asks for the sampler on its way."""
        if resume_from_checkpoint:
            state = TrainerState.load_from_json(f"{resume_from_checkpoint}/trainer_state.json")
            self.passes_done = int(state.epoch)
        return super().train(resume_from_checkpoint=resume_from_checkpoint)

    def _get_train_sampler(self, dataset=None):
        """TRL's, as far on as the passes that a resumed run has behind it: one generator shuffles them all."""
        sampler = super()._get_train_sampler(dataset)
        for _ in range(self.passes_done):
            torch.randperm(sampler.num_samples, generator=sampler.generator)
        return sampler

    def _generate_and_score_completions(self, inputs: list[dict]) -> dict:
        self._rows = inputs
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
        ratio = batch.get("importance_sampling_ratio")
        if ratio is not None:
            highest = self.vllm_importance_sampling_clip_max or float("inf")
            for name, value in limited_shares(ratio, batch["completion_mask"], highest).items():
                self._metrics["train"][name].append(value)
        return batch

    def _calculate_rewards(self, *args, **kwargs) -> torch.Tensor:
        self._rewards = super()._calculate_rewards(*args, **kwargs)
        return self._rewards

    def _generate(self, prompts: list) -> tuple:
        generated = super()._generate(prompts)
        if self.algorithm.resamples and self.model.training:
            self._replace_flat_groups(prompts, generated)
        return generated

    def _replace_flat_groups(self, prompts: list, generated: tuple) -> None:
        """Puts groups of other problems in the place of those without spread, in `prompts`, `generated` and the rows alike.

        Processes draw in step, as many groups as the neediest of them lacks: generating is a collective operation.
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
        """Where the groups begin whose completions all earn the same."""
        _, completion_ids, _, completions, *_ = generated
        columns = {name: [row[name] for row in rows] for name in rows[0] if name != "prompt"}
        quiet = {"log_metric": lambda *_: None, "log_extra": lambda *_: None}
        earned = torch.tensor(
            [f(completions=completions, completion_ids=completion_ids, **columns, **quiet) for f in self.reward_funcs]
        )
        rewards = (earned * self.reward_weights.cpu().unsqueeze(1)).sum(dim=0).view(-1, self.num_generations)
        spread = rewards.max(dim=1).values > rewards.min(dim=1).values
        return [group * self.num_generations for group, has in enumerate(spread.tolist()) if not has]
