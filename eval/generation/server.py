"""One running vLLM server, over HTTP: completions, and new weights for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

PATIENCE = 30.0  # seconds; a server that does not answer /health for so long is lost, however busy it is
INITIAL = "default"  # vLLM's weight_version of the weights that a server started with


class ServerError(Exception):
    """Servers that cannot be used: not reached in time, or they refuse a request. One line."""


class LostError(Exception):
    """A server does not answer now, but may do so later."""


@dataclass(frozen=True)
class Sample:
    """One completion: its token ids, and the log-prob of each if they were asked for."""

    ids: list[int]
    logps: list[float | None]


@dataclass(frozen=True)
class Request:
    """What is asked of a server: completions of one prompt.

    Attributes:
        prompt: token ids.
        n: number of completions.
        seed: of the first completion; completion i has seed + i.
        settings: vLLM's sampling parameters, as in /v1/completions.
    """

    prompt: list[int]
    n: int
    seed: int
    settings: dict[str, Any]


class Server:
    """One server; `client` is set by `Servers`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.model: str | None = None  # its name there
        self.lost_at: float | None = None  # since when it has not answered what it was asked
        self.is_reported = False  # as lost, until it answers again
        self.client: httpx.AsyncClient | None = None

    def found(self) -> None:
        """Notes that it has answered."""
        self.lost_at, self.is_reported = None, False

    async def call(self, method: str, path: str, body: Any = None, timeout: float | None = PATIENCE) -> Any:
        """The JSON that the server answers, None without any.

        Raises:
            LostError: if it does not answer, or with an error of its own.
            ServerError: if it refuses the request.
        """
        try:
            answer = await self.client.request(method, path, json=body, timeout=httpx.Timeout(timeout, connect=PATIENCE))
        except httpx.TransportError as error:
            raise LostError(f"{type(error).__name__}: {error}".rstrip(": ")) from None
        if answer.status_code >= 500:
            raise LostError(f"{path}: {answer.status_code} {' '.join(answer.text.split())[:200]}")
        if answer.status_code in (401, 403):
            raise ServerError(f"{self.url}{path} answers {answer.status_code}: the token or the folder is another run's")
        if answer.status_code >= 400:
            raise ServerError(f"{self.url}{path} answers {answer.status_code}: {' '.join(answer.text.split())[:200]}")
        return answer.json() if answer.content else None

    async def describe(self) -> dict[str, Any]:
        """Its model: `name`, `root` (folder or hub id), `max_model_len`, `weight_version`, and vLLM's model config `config`.

        Raises:
            ServerError: if it has no development endpoints.
        """
        card = (await self.call("GET", "/v1/models"))["data"][0]
        try:
            version = (await self.call("GET", "/weight_info"))["weight_version"]
            config = (await self.call("GET", "/server_info?config_format=json"))["vllm_config"]["model_config"]
        except ServerError as error:
            if " answers 404" not in str(error):
                raise
            problem = f"{self.url} has no development endpoints, which weights and checks need"
            raise ServerError(f"{problem}; start it with `python -m launch serve`") from None
        model = {"name": card["id"], "root": card["root"], "max_model_len": card["max_model_len"]}
        return model | {"weight_version": version, "config": config}

    async def prepare(self, weights: Path | None, version: str, timeout: float) -> None:
        """Makes sure that it has the given weights, unless they are None; see `Servers.push`."""
        if self.model is None:
            self.model = (await self.call("GET", "/v1/models"))["data"][0]["id"]
        if weights and (await self.call("GET", "/weight_info"))["weight_version"] != version:
            await self.load(weights, version, timeout)

    async def load(self, weights: Path, version: str, timeout: float) -> None:
        """Makes it load weights; see `Servers.push`."""
        reload = {"method": "reload_weights", "kwargs": {"weights_path": str(weights)}}
        await self.call("POST", "/collective_rpc", reload, timeout)
        if not (await self.call("POST", "/reset_prefix_cache"))["success"]:
            raise LostError("requests of another run are still running")
        await self.call("POST", "/update_weight_version", {"new_version": version})

    async def complete(self, request: Request) -> list[Sample]:
        """The completions of one request."""
        body = {"model": self.model, "prompt": request.prompt, "n": request.n, "seed": request.seed, **request.settings}
        body |= {"return_token_ids": True, "return_tokens_as_token_ids": True}
        choices = (await self.call("POST", "/v1/completions", body, timeout=None))["choices"]
        return [Sample(one["token_ids"], one["logprobs"]["token_logprobs"] if one["logprobs"] else []) for one in choices]
