"""Rollouts from vLLM servers that load the current weights from files (`weight_push: files`).

The main process talks to the servers; the others hand it their prompts and get their completions. A completion depends on the
run's seed, the step of the weights and the prompt's number alone: neither on the number of processes or servers, nor on
servers that were lost on the way.
"""

import secrets
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list, gather_object

from data_mix.errors import InputError
from eval.generation import server_folder
from eval.generation.server import Sample, ServerError
from eval.generation.server_engine import check_servers, complete_all
from eval.generation.servers import Servers
from recipes.training.errors import TrainingError
from recipes.training.generation import weight_files
from recipes.training.generation.source import Source


def connect(sampling, output_dir: str, model: str, dtype: str, length: int, folder: Path | None) -> Servers:
    """Waits for a run's servers and checks them; called in every process.

    Args:
        sampling: the run's config with `server_urls` and `vllm_server_timeout`.
        output_dir: of the run.
        model: the checkpoint that the run starts from.
        dtype: the trainer's compute dtype.
        length: prompt + completion, in tokens.
        folder: which the weights are pushed in; None if they do not reach the servers in files.

    Raises:
        InputError: if a server does not fit the run, or the folder for the files is not ours alone.
        TrainingError: if a server does not answer.
    """
    from accelerate import PartialState

    servers = Servers(sampling.server_urls, None, sampling.vllm_server_timeout)

    def prepare() -> None:
        servers.token = server_folder.create_token(output_dir)
        check_servers(servers, model, dtype, length, initial=False)
        if folder:
            weight_files.open_folder(folder)

    in_main(PartialState().is_main_process, prepare)
    return servers


def in_main(is_main: bool, work: Callable[[], Any]) -> Any:
    """The result of `work()` in the main process, or its error, in every process."""
    outcome = [None, None]
    if is_main:
        try:
            outcome = [work(), None]
        except (ServerError, InputError) as error:
            outcome = [None, error]
    result, error = broadcast_object_list(outcome)
    if error and not is_main:
        sys.exit(2 if isinstance(error, InputError) else 1)  # the main process prints it
    if isinstance(error, ServerError):
        raise TrainingError(str(error))
    if error:
        raise error
    return result


@dataclass(frozen=True)
class Ahead:
    """Completions that are generated in the background.

    Attributes:
        prompts: of this process.
        weights_step: the step of their weights.
        samples: of all processes, by number; only in the main process.
    """

    prompts: list[list[int]]
    weights_step: int
    samples: Future


class ServedSource(Source):
    """Completions through `Servers`, with weights from files."""

    def __init__(self, *args, servers: Servers, folder: Path, dtype: str, **kwargs) -> None:
        self.servers, self.folder, self.dtype = servers, folder, dtype
        self.completions_step = -1  # the step of the weights that the last completions came from
        self._planned: list[list[int]] | None = None  # prompts after those of the next call of `generate`
        self._ahead: Ahead | None = None
        super().__init__(*args, **kwargs)

    def _init_vllm(self) -> None:
        """Nothing: the servers run already, and `connect` has checked them."""

    @property
    def vllm_client(self) -> "ServedSource":
        """What TRL's trainer asks for the server's log-probs mode."""
        return self

    def get_server_info(self) -> dict:
        """The part that TRL's trainer reads, as `connect` has found it."""
        return {"model_config": {"logprobs_mode": "processed_logprobs"}}

    def sync_weights(self) -> None:
        """As in Source, once the servers are free: they have one set of weights, and one user at a time."""
        in_main(self.accelerator.is_main_process, self._wait)  # or the others would already wait for weights
        super().sync_weights()

    def push(self, step: int) -> None:
        """Writes the weights, merged and whole, and makes the servers load them."""
        name = f"step-{step:06d}-{secrets.token_hex(4)}"
        is_main = self.accelerator.is_main_process
        # under ZeRO-3, adapters are merged into gathered copies
        merges_in_place = hasattr(self.model, "merge_adapter") and not self._dist.is_zero3
        with weight_files.unchanged(self.model) if merges_in_place else nullcontext():
            weights = self._iter_named_params()
            if is_main:
                path = weight_files.write(self.folder, name, weights, self.model.config, self.dtype)
            else:
                for _ in weights:  # gathering is collective
                    pass

        def push() -> None:
            self.servers.push(path, name)
            weight_files.keep_only(self.folder, name)

        in_main(is_main, push)

    def plan(self, prompts: list[list[int]]) -> None:
        """Announces what the call of `generate` after the next one will ask for; none if it is the last.

        As soon as the next call has its completions, those of `prompts` are generated in the background, with the weights that
        the servers have then. Called in every process.
        """
        self._planned = prompts

    def generate(self, prompts: list[list[int]], images: None, num_generations: int, profiler=None) -> tuple:
        """As in TRL; a prompt's repeats are `num_generations` entries of `prompts`, over all processes."""
        planned, self._planned = self._planned, None
        with profiler or nullcontext():
            if planned is not None and self._ahead:
                samples = self._take(prompts)
            else:
                samples = self.complete(prompts, *self.describe(prompts))
                self.completions_step = self.weights_step
        if planned:
            self._ahead = Ahead(planned, self.weights_step, self._background(self._work(planned, *self.describe(planned))))
        return self.as_trl(prompts, samples)

    def _background(self, work: Callable[[], Any]) -> Future:
        """Runs `work` in a thread of the main process, which does not keep the process alive."""
        future: Future = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        if self.accelerator.is_main_process:
            threading.Thread(target=run, daemon=True).start()
        return future

    def _wait(self) -> None:
        """Waits until nothing is generated in the background."""
        if self._ahead and self.accelerator.is_main_process:
            futures.wait([self._ahead.samples])

    def _take(self, prompts: list[list[int]]) -> list[Sample]:
        """The completions that were generated ahead."""
        ahead, self._ahead = self._ahead, None
        if ahead.prompts != prompts:
            raise RuntimeError("the prompts are not those that were generated ahead")
        samples = in_main(self.accelerator.is_main_process, ahead.samples.result)
        self.completions_step = ahead.weights_step
        first = self.accelerator.process_index * len(prompts)
        return [samples[number] for number in range(first, first + len(prompts))]

    def complete(self, prompts: Sequence[list[int]], numbers: Sequence[int], settings: dict, purpose: int) -> list[Sample]:
        """See Source."""
        work = self._work(prompts, numbers, settings, purpose)
        self._wait()
        samples = in_main(self.accelerator.is_main_process, work)
        return [samples[number] for number in numbers]

    def _work(self, prompts: Sequence[list[int]], numbers: Sequence[int], settings: dict, purpose: int) -> Callable[[], Any]:
        """What the main process has to do for `complete`, called in every process; returns the samples of all by number."""
        settings = settings | {"max_tokens": self.max_completion_length, **self.generation_kwargs}
        everyones = dict(gather_object(list(zip(numbers, prompts, strict=True))))
        seed = self.first_seed(purpose)
        return lambda: complete_all(self.servers, everyones, settings, seed)
