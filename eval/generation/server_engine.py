"""Running vLLM servers as an engine, with the interface of engines.py; and whether they serve the expected model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from data_mix.errors import InputError
from eval.generation.engines import Sampling, first_seed
from eval.generation.server import INITIAL, Request, Sample, ServerError
from eval.generation.servers import Servers
from eval.model_folder import choose_dtype

TIMEOUT = 240.0  # seconds to wait for a server; TRL's default for training


class ServerEngine:
    """Running servers in place of `LazyEngine` and its engine; each completion has the seed that `VLLMEngine` would give it."""

    def __init__(self, urls: Sequence[str], token: str | None) -> None:
        self.servers, self.seed = Servers(urls, token, TIMEOUT), 0

    def load(self, model: str, tokenizer, max_length: int, seed: int) -> "ServerEngine":
        """As `LazyEngine.load`: checks that the servers serve this model, in the precision that is evaluated otherwise.

        Raises:
            InputError: if a server does not, does not answer, or has been given other weights by a training run.
        """
        dtype = choose_dtype(model)
        with _one_line():
            check_servers(self.servers, model, None if dtype == "auto" else dtype, max_length, initial=True)
        self.seed = seed
        return self

    def stream(
        self, prompt_ids: Sequence[list[int]], sampling: Sampling, numbers: Sequence[int] | None = None
    ) -> Iterator[tuple[int, list[list[int]]]]:
        """As `VLLMEngine.stream`.

        Raises:
            InputError: if no server answers, or one refuses a request.
        """
        requests = {}
        for number, ids in zip(numbers or range(len(prompt_ids)), prompt_ids, strict=True):
            requests[number] = Request(ids, sampling.n, first_seed(self.seed, number, sampling.n), sampling.settings)
        with _one_line():
            for number, samples in self.servers.complete(requests):
                yield number, [sample.ids for sample in samples]


@contextmanager
def _one_line() -> Iterator[None]:
    """Turns a ServerError into an InputError."""
    try:
        yield
    except ServerError as error:
        raise InputError(str(error)) from None


def complete_all(servers: Servers, prompts: dict[int, list[int]], settings: dict[str, Any], seed: int) -> dict[int, Sample]:
    """One completion of each prompt, by number; completion i has the seed `seed + i`.

    Repeats of a prompt, which have consecutive numbers, are one request: vLLM's sample i has the request's seed + i.
    """
    runs = [[n for n, _ in run] for _, run in groupby(sorted(prompts.items()), lambda item: item[1])]
    pieces = [piece for run in runs for piece in _consecutive(run)]
    requests = {piece[0]: Request(prompts[piece[0]], len(piece), seed + piece[0], settings) for piece in pieces}
    answered = servers.complete(requests)
    return {first + i: sample for first, samples in answered for i, sample in enumerate(samples)}


def _consecutive(numbers: list[int]) -> list[list[int]]:
    """The numbers, cut where one is missing."""
    groups = groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    return [[number for _, number in part] for _, part in groups]


def check_urls(urls: Sequence[str], field: str) -> None:
    """Raises InputError for a URL that is not http://HOST:PORT, and for one that is given twice."""
    for url in urls:
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
        except ValueError:
            valid = False
        if not valid:
            raise InputError(f"{field}: {url!r} is not the URL of a server", "give http://HOST:PORT")
    if len(set(urls)) < len(urls):
        raise InputError(f"{field} has a server twice: {' '.join(urls)}", "give each once")


def check_servers(servers: Servers, model: str, dtype: str | None, length: int, initial: bool) -> None:
    """Waits for the servers and checks that they serve what is expected.

    Args:
        servers: to check.
        model: checkpoint folder or hub id.
        dtype: that they must compute in; None for any.
        length: tokens of prompt + completion that they must allow.
        initial: whether they must have the weights they started with.

    Raises:
        InputError: if a server has another model, dtype or log-probs mode, too short a context, or weights of a run.
        ServerError: if a server does not answer within its timeout.
    """
    for url, found in servers.describe():
        config, fix = found["config"], "start it with `python -m launch serve` and the run's config"
        if not _is_same(model, found["root"]):
            raise InputError(f"{url} serves {found['root']}, not {model}", fix)
        if dtype and config["dtype"] != f"torch.{dtype}":
            raise InputError(f"{url} computes in {config['dtype'].removeprefix('torch.')}, not in {dtype}", fix)
        if found["max_model_len"] < length:
            raise InputError(f"{url} allows {found['max_model_len']} tokens, but prompt and completion take {length}", fix)
        if not initial and config["logprobs_mode"] != "processed_logprobs":
            raise InputError(f"{url} has --logprobs-mode {config['logprobs_mode']}, not processed_logprobs", fix)
        if initial and found["weight_version"] != INITIAL:
            problem = f"{url} no longer has the weights of {model}, but those of a run (version {found['weight_version']})"
            raise InputError(problem, "restart it")


def _is_same(model: str, root: str) -> bool:
    """Whether two names mean the same model: hub ids, or folders however their paths are written."""
    return model == root or (Path(model).is_dir() and Path(model).resolve() == Path(root).resolve())
