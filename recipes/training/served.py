"""Rollouts from vLLM servers that load the current weights from files (`weight_push: files`).

The main process talks to the servers; the others hand it their prompts and get their completions. A completion depends on the
run's seed, the step of the weights and the prompt's number alone: neither on the number of processes or servers, nor on
servers that were lost on the way.
"""

import functools
import hashlib
import secrets
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list, gather_object
from trl.generation.vllm_generation import VLLMGeneration

from data_mix.errors import InputError
from eval.generation import server_folder
from eval.generation.server import Sample, ServerError, Servers
from eval.generation.server_engine import NEUTRAL, check_servers, complete_all
from recipes.training import weight_files
from recipes.training.errors import TrainingError
from recipes.training.patches import trl as trl_patches

HELD_OUT, ROLLOUTS = 0, 1  # what completions are for; never with the same seeds


def connect(args, model: str, dtype: str, length: int, push_files: bool) -> None:
    """Waits for a run's servers, checks them, and makes its trainer generate with them; called in every process.

    Args:
        args: the run's CotmixGRPOConfig.
        model: the checkpoint that the run starts from.
        dtype: the trainer's compute dtype.
        length: prompt + completion, in tokens.
        push_files: whether the weights reach the servers in files; else through TRL and NCCL.

    Raises:
        InputError: if a server does not fit the run, or the folder for the files is not ours alone.
        TrainingError: if a server does not answer.
    """
    from accelerate import PartialState

    urls, is_main = args.server_urls, PartialState().is_main_process
    servers = Servers(urls, None, args.vllm_server_timeout)
    folder = server_folder.weights_folder(args.output_dir, server_folder.hosts(urls))

    def prepare() -> None:
        servers.token = server_folder.create_token(args.output_dir)
        check_servers(servers, model, dtype, length, initial=False)
        if push_files:
            weight_files.open_folder(folder)

    in_main(is_main, prepare)
    if push_files:
        trl_patches.generate_with(
            functools.partial(ServedGeneration, servers=servers, folder=folder, dtype=dtype, seed=args.seed)
        )
    elif is_main:
        trl_patches.send_token(servers.token)
        args.vllm_server_base_url = urls[0]


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


class ServedGeneration(VLLMGeneration):
    """TRL's VLLMGeneration through `Servers`, with weights from files.

    Attributes:
        step: the step of the trainer's current weights.
        weights_step: the step of the weights that the servers have.
    """

    def __init__(self, *args, servers: Servers, folder: Path, dtype: str, seed: int, **kwargs) -> None:
        self.servers, self.folder, self.dtype, self.seed = servers, folder, dtype, seed
        self.step: Callable[[], int] = lambda: 0
        self.weights_step, self._calls = -1, 0  # calls of `generate` since the weights were pushed
        super().__init__(*args, **kwargs)

    def _init_vllm(self) -> None:
        """Nothing: the servers run already, and `connect` has checked them."""

    @property
    def vllm_client(self) -> "ServedGeneration":
        """What TRL's trainer asks for the server's log-probs mode."""
        return self

    def get_server_info(self) -> dict:
        """The part that TRL's trainer reads, as `connect` has found it."""
        return {"model_config": {"logprobs_mode": "processed_logprobs"}}

    def sync_weights(self) -> None:
        """Writes the current weights, merged and whole, and makes the servers load them; called in every process."""
        step = self.step()
        name = f"step-{step:06d}-{secrets.token_hex(4)}"
        is_main = self.accelerator.is_main_process
        with weight_files.unchanged(self.model) if hasattr(self.model, "merge_adapter") else nullcontext():
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
        self.weights_step, self._calls = step, 0

    def generate(self, prompts: list[list[int]], images: None, num_generations: int, profiler=None) -> tuple:
        """As in TRL; a prompt's repeats are `num_generations` entries of `prompts`, over all processes."""
        settings = {name: getattr(self, name) for name in NEUTRAL} | {"temperature": self.temperature, "logprobs": 0}
        settings["min_p"] = settings["min_p"] or 0.0
        first = self.accelerator.process_index * len(prompts)
        with profiler or nullcontext():
            samples = self.complete(prompts, range(first, first + len(prompts)), settings, ROLLOUTS + self._calls)
        self._calls += 1
        return prompts, [sample.ids for sample in samples], [[[logp] for logp in sample.logps] for sample in samples], None

    def complete(self, prompts: Sequence[list[int]], numbers: Sequence[int], settings: dict, purpose: int) -> list[Sample]:
        """One completion of each prompt of this process; called in every process.

        Args:
            prompts: token ids of each.
            numbers: of the prompts, different in all processes; with the purpose, they determine the seeds.
            settings: vLLM's sampling parameters; length and end tokens are those of the run.
            purpose: HELD_OUT, or ROLLOUTS plus the number of calls before.
        """
        settings = settings | {"max_tokens": self.max_completion_length, **self.generation_kwargs}
        everyones = gather_object(list(zip(numbers, prompts, strict=True)))
        # hashed because torch's generator on CPU uses the lower 32 bits alone
        digest = hashlib.sha256(f"{self.seed}/{self.weights_step}/{purpose}".encode()).digest()
        seed = int.from_bytes(digest[:6])
        samples = in_main(self.accelerator.is_main_process, lambda: complete_all(self.servers, dict(everyones), settings, seed))
        return [samples[number] for number in numbers]
