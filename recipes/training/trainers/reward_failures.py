"""Stops a run whose own reward function fails, after a checkpoint of the last completed step."""

import random

import numpy as np
import torch
from accelerate.utils import gather_object

from recipes.training.checkpoints.atomic import AtomicCheckpoints
from recipes.training.errors import TrainingError
from rewards.own import RewardError


class StopOnFailedReward:
    """Mixin for TRL's GRPOTrainer. All processes stop together, although the reward may fail in one of them only."""

    def _generate_and_score_completions(self, inputs: list[dict]) -> dict:
        """As in TRL; keeps random state and token count of the last completed step, from which the checkpoint has to resume."""
        if self._step % self.args.gradient_accumulation_steps == 0:
            self._random_state, self._tokens_seen = _random_state(), self.state.num_input_tokens_seen
        return super()._generate_and_score_completions(inputs)

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids) -> torch.Tensor:
        """TRL's rewards, (completions of all processes, rewards). A process whose reward fails gathers infinity instead.

        Raises:
            TrainingError: in every process, if a reward failed in one.
        """
        message = None
        try:
            rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids)
        except RewardError as error:
            message = str(error)
            failed = torch.full((len(prompts), len(self.reward_funcs)), torch.inf, device=self.accelerator.device)
            rewards = self.accelerator.gather(failed)
        if not rewards.isinf().any():
            return rewards
        message = next(text for text in gather_object([message]) if text)
        step = self.state.global_step
        kept = f"checkpoint-{step} is complete" if self._save_last_step() else "the last complete checkpoint is kept"
        kept = kept if step else "no step is completed"
        raise TrainingError(f"step {step + 1}: {message}; {kept}: correct the function, and the same command resumes the run")

    def _save_last_step(self) -> bool:
        """Writes a checkpoint of the last completed step, unless there is none or it is not at a generation boundary."""
        checkpoints = [c for c in self.callback_handler.callbacks if isinstance(c, AtomicCheckpoints)]
        if self.state.global_step == 0 or not checkpoints or self.args.save_only_model:
            return False
        if checkpoints[0].has(self.args, self.state):
            return True
        self.control.should_save = True
        checkpoints[0].on_step_end(self.args, self.state, self.control)
        if not self.control.should_save:
            return False
        _set_random_state(*self._random_state)
        self.state.num_input_tokens_seen = self._tokens_seen
        self._save_checkpoint(self.model, trial=None)
        checkpoints[0].on_save(self.args, self.state, self.control)
        return True


def _random_state() -> tuple:
    """The states of what transformers' Trainer saves: Python, numpy, torch, and the GPUs, if any."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), gpus


def _set_random_state(python, numpy, cpu, gpus) -> None:
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(cpu)
    if gpus is not None:
        torch.cuda.set_rng_state_all(gpus)
