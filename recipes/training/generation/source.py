"""The source of a run's completions: what TRL's trainers, held-out evaluation and star.py generate with."""

import faulthandler
import hashlib
import os
import sys
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from trl.generation.vllm_generation import VLLMGeneration

from eval.generation.engines import NEUTRAL
from eval.generation.server import Sample
from recipes.training.generation.generators import ROLLOUTS


class Source(VLLMGeneration):
    """TRL's VLLMGeneration, and completions whose seeds depend on the run's seed, the weights and the prompt's number alone.

    Attributes:
        step: returns the step of the trainer's current weights.
        wrapped_model: returns the trainer's model as it is prepared for training: with DDP, sharded, or neither.
        weights_step: the step of the weights that completions come from; -1 before the first push.
    """

    def __init__(self, *args, seed: int, sync_timeout: float, **kwargs) -> None:
        """`sync_timeout`: seconds that a weight push may take."""
        self.seed, self.sync_timeout = seed, sync_timeout
        self.step: Callable[[], int] = lambda: 0
        self.wrapped_model: Callable[[], Any] = lambda: self.model
        self.weights_step = -1
        self._calls = 0  # of `generate` since the weights were pushed
        super().__init__(*args, **kwargs)

    def sync_weights(self) -> None:
        """Pushes the trainer's current weights; called in every process. Ends the process when it takes too long."""
        step = self.step()
        with _timeout(self.sync_timeout):
            self.push(step)
        self.weights_step, self._calls = step, 0

    def sync_new_weights(self) -> None:
        """Pushes the trainer's weights unless those of this step are there."""
        if self.weights_step != self.step():
            self.sync_weights()

    @abstractmethod
    def push(self, step: int) -> None:
        """Makes the engines have the trainer's weights of this step; called in every process."""

    @abstractmethod
    def complete(self, prompts: Sequence[list[int]], numbers: Sequence[int], settings: dict, purpose: int) -> list[Sample]:
        """One completion of each prompt of this process; called in every process.

        Args:
            prompts: token ids of each.
            numbers: of the prompts, different in all processes; with the purpose, they determine the seeds.
            settings: vLLM's sampling parameters; length and end tokens are those of the run.
            purpose: HELD_OUT, or ROLLOUTS plus the number of calls before with these weights.
        """

    def describe(self, prompts: Sequence[list[int]]) -> tuple[range, dict, int]:
        """Numbers, settings and purpose (see `complete`) of the next rollouts, which are those of `prompts` in this process."""
        settings = {name: getattr(self, name) for name in NEUTRAL} | {"temperature": self.temperature, "logprobs": 0}
        settings["min_p"] = settings["min_p"] or 0.0
        first = self.accelerator.process_index * len(prompts)
        self._calls += 1
        return range(first, first + len(prompts)), settings, ROLLOUTS + self._calls - 1

    @staticmethod
    def as_trl(prompts: list[list[int]], samples: Sequence[Sample]) -> tuple:
        """What TRL's `generate` returns."""
        return prompts, [sample.ids for sample in samples], [[[logp] for logp in sample.logps] for sample in samples], None

    def first_seed(self, purpose: int) -> int:
        """The seed of prompt 0; that of prompt n is n more."""
        # hashed because torch's generator on CPU uses the lower 32 bits alone
        digest = hashlib.sha256(f"{self.seed}/{self.weights_step}/{purpose}".encode()).digest()
        return int.from_bytes(digest[:6])


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """Ends the process with one line, and the stacks of all threads, when the block takes longer.

    Otherwise all processes would wait forever for a dead server, or for a process that does not take part.
    """

    def abort() -> None:
        print(f"error: the weights have not reached vLLM within {seconds:g} s (sync_timeout); aborting", file=sys.stderr)
        faulthandler.dump_traceback()
        os._exit(1)

    timer = threading.Timer(seconds, abort)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
