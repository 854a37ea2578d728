"""EvalConfig: the options of `python -m eval run`, and their validation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_mix.errors import InputError
from data_mix.mixture_folder import check_folder
from eval import benchmarks
from eval.generation.server_engine import check_urls
from eval.model_folder import check_model_path


@dataclass(frozen=True)
class EvalConfig:
    """What to evaluate. Set exactly one of `mixture` and `tasks`.

    Attributes:
        model: checkpoint folder or hub id.
        out: the eval folder to write; with `tasks`, the parent of one eval folder per task.
        mixture: mixture folder whose test problems are used.
        tasks: names of benchmarks, or paths of YAML files like eval/benchmarks/*.yaml.
        prompt: prompt format of the tasks: chat (the default), plain or few-shot.
        data: folder with local copies of the tasks' data (`DATA/gsm8k/test.jsonl`); None downloads from the hub.
        samples: completions per problem.
        temperature: 0 is greedy.
        max_tokens: length limit of a completion; None takes the task's, for a mixture twice its longest reference solution.
        max_truncated: largest share of truncated completions that is not an error.
        problems: use only this many test problems, taken from each source in proportion; None uses all.
        seed: sampling seed.
        base_url: running vLLM servers of the model; none starts an engine in this process.
        token_file: file with their access token.
    """

    model: str
    out: str
    mixture: str | None = None
    tasks: Sequence[str] = ()
    prompt: str | None = None
    data: str | None = None
    samples: int = 1
    temperature: float = 0.0
    max_tokens: int | None = None
    max_truncated: float = 0.5
    problems: int | None = None
    seed: int = 0
    base_url: Sequence[str] = ()
    token_file: str | None = None

    def check(self) -> None:
        """Validates everything that can be validated before a model is loaded.

        Raises:
            InputError: for a value out of range, options that exclude each other, or a missing model, mixture or task.
        """
        self.check_values()
        if self.mixture:
            check_folder(self.mixture)
        for name in self.tasks:
            benchmarks.check(name)
        check_model_path(self.model, "--model", "give a folder that a recipe saved, or a hub id")

    def check_values(self) -> None:
        """Validates what needs no files.

        Raises:
            InputError: for a value out of range, or options that exclude each other.
        """
        if bool(self.mixture) == bool(self.tasks):
            raise InputError("nothing to evaluate, or both a mixture and tasks; give either --mixture or --tasks")
        if self.mixture and (self.prompt or self.data):
            raise InputError("--prompt and --data go with --tasks; a mixture has its own prompt format and data")
        check_urls(self.base_url, "--base-url")
        if self.token_file and not self.base_url:
            raise InputError("--token-file goes with --base-url")
        if self.prompt and self.prompt not in benchmarks.PROMPTS:
            raise InputError(f"--prompt {self.prompt} is unknown; use {', '.join(benchmarks.PROMPTS)}")
        stems = [Path(name).stem for name in self.tasks]
        if twice := [name for name in self.tasks if stems.count(Path(name).stem) > 1]:
            raise InputError(f"--tasks {' '.join(twice)} have the same name, so their evals would share a folder; rename one")
        for option, value, valid, allowed in (
            ("--samples", self.samples, self.samples >= 1, "at least 1"),
            ("--temperature", self.temperature, 0 <= self.temperature < math.inf, "finite and at least 0"),
            ("--max-tokens", self.max_tokens, self.max_tokens is None or self.max_tokens >= 1, "at least 1"),
            ("--max-truncated", self.max_truncated, 0 <= self.max_truncated <= 1, "between 0 and 1"),
            ("--problems", self.problems, self.problems is None or self.problems >= 1, "at least 1"),
        ):
            if not valid:
                raise InputError(f"{option} {value} is out of range; it must be {allowed}")
        if self.samples > 1 and self.temperature == 0:
            raise InputError(f"--samples {self.samples} at temperature 0 would be identical; add --temperature 1.0")
