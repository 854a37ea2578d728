"""Completions from running vLLM servers, over HTTP; and new weights for them.

Each request has its own seed, so completions depend neither on the server that answers nor on how often they are asked for. A
server that fails is lost until it answers again; meanwhile its requests go to the others. A server that was restarted has its
initial weights. Its `weight_version`, which does not outlive a server, tells; then it gets the current ones before it is used.
"""

import asyncio
import functools
import ssl
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

CONCURRENT = 128  # requests at a time, per server
POLL = 0.25  # seconds between two attempts to reach a lost server
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
    """One server."""

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
        if weights is None or (await self.call("GET", "/weight_info"))["weight_version"] == version:
            return
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


@dataclass
class _Work:
    """The requests of one call of `Servers.complete`."""

    requests: dict[int, Request]
    answers: asyncio.Queue = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.todo = deque(sorted(self.requests))
        self.unanswered = set(self.requests)

    async def take(self, server: Server, version: str | None) -> None:
        """Sends one request after the other to a server; one that fails is put back.

        Unless `version` is None, an answer counts only if the server has these weights afterwards: it may have been restarted.
        """
        while self.todo:
            number = self.todo.popleft()
            try:
                samples = await server.complete(self.requests[number])
                if version and (await server.call("GET", "/weight_info"))["weight_version"] != version:
                    raise LostError("it was restarted")
            except BaseException:
                self.todo.appendleft(number)
                raise
            server.found()
            self.unanswered.discard(number)
            self.answers.put_nowait((number, samples))


class Servers:
    """One or several servers with the same weights."""

    def __init__(self, urls: Sequence[str], token: str | None, timeout: float) -> None:
        """`timeout`: seconds without an answer of any server after which to give up."""
        self.servers = [Server(url.rstrip("/")) for url in urls]
        self.token, self.timeout = token, timeout
        self.weights: Path | None = None  # which every server must have; None: those it has
        self.version = INITIAL

    def describe(self) -> list[tuple[str, dict[str, Any]]]:
        """The URL of each server and what it says about its model (`Server.describe`), once it answers.

        Raises:
            ServerError: if one does not answer within the timeout, or has no development endpoints.
        """

        async def describe(server: Server) -> tuple[str, dict[str, Any]]:
            while True:
                try:
                    return server.url, await server.describe()
                except LostError as lost:
                    self._lose(server, lost, [server])
                    await asyncio.sleep(POLL)

        async def describe_all() -> list:
            return [await describe(server) for server in self.servers]

        return asyncio.run(self._connected(describe_all))

    def push(self, weights: Path, version: str) -> None:
        """Makes the servers load weights from a folder. One that is lost does so when it is back.

        Args:
            weights: a complete checkpoint folder; the servers need it until the next push.
            version: names these weights; no other run and no other step has the same.

        Raises:
            ServerError: if no server has loaded the weights within the timeout, or one refuses to.
        """
        self.weights, self.version = weights, version

        async def push(server: Server) -> bool:
            try:
                await server.prepare(weights, version, self.timeout)
            except LostError as lost:
                self._lose(server, lost)
                return False
            server.found()
            return True

        async def push_all() -> None:
            while not any(await asyncio.gather(*map(push, self.servers))):
                await asyncio.sleep(POLL)

        asyncio.run(self._connected(push_all))

    def complete(self, requests: dict[int, Request]) -> Iterator[tuple[int, list[Sample]]]:
        """Yields (number, samples) of each request as it is answered.

        Raises:
            ServerError: if no server answers within the timeout, or one refuses a request.
        """
        with asyncio.Runner() as runner:
            work = _Work(requests)

            async def run() -> None:
                try:
                    await self._connected(lambda: self._serve_all(work))
                finally:
                    work.answers.put_nowait(None)

            task = runner.get_loop().create_task(run())
            while answer := runner.run(work.answers.get()):
                yield answer
            if error := task.exception():
                raise error

    async def _serve_all(self, work: _Work) -> None:
        """Lets all servers work at the same time until everything is answered or one of them refuses a request."""
        parts = [asyncio.create_task(self._serve(server, work)) for server in self.servers]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)

    async def _serve(self, server: Server, work: _Work) -> None:
        """One server's part; it takes the requests of a server that is lost, too."""
        version = self.version if self.weights else None
        at_once = min(CONCURRENT, -(-len(work.requests) // len(self.servers)))
        while work.unanswered:
            try:
                if work.todo:
                    await server.prepare(self.weights, self.version, self.timeout)
                    async with asyncio.TaskGroup() as group:
                        watch = group.create_task(_watch(server))
                        await asyncio.wait([group.create_task(work.take(server, version)) for _ in range(at_once)])
                        watch.cancel()
            except LostError as lost:
                self._lose(server, lost)
            except ExceptionGroup as errors:
                refused, _ = errors.split(ServerError)
                if refused:
                    raise refused.exceptions[0] from None
                self._lose(server, errors.exceptions[0])
            if work.unanswered:
                await asyncio.sleep(POLL)

    def _lose(self, server: Server, reason: Exception, among: Sequence[Server] = ()) -> None:
        """Notes that a server does not answer; raises ServerError if none has for too long."""
        now = time.monotonic()
        if server.lost_at is None:
            server.lost_at = now
        if not server.is_reported:
            server.is_reported = True
            print(f"warning: {server.url} does not answer ({reason}); waiting for it", file=sys.stderr)
        if all(one.lost_at is not None and now - one.lost_at > self.timeout for one in among or self.servers):
            raise ServerError(f"{server.url} has not answered for {self.timeout:g} s ({reason})")

    async def _connected(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """The result of `work()`, during which each server has an HTTP client."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        limits = httpx.Limits(max_connections=CONCURRENT + 2, max_keepalive_connections=CONCURRENT + 2)
        for server in self.servers:
            options = {"headers": headers, "limits": limits, "verify": _certificates(), "trust_env": False}
            server.client = httpx.AsyncClient(base_url=server.url, **options)
            server.lost_at = None
        try:
            return await work()
        finally:
            for server in self.servers:
                await server.client.aclose()


@functools.cache
def _certificates() -> ssl.SSLContext:
    """The certificates to trust, which take 40 ms to read."""
    return httpx.create_ssl_context()


async def _watch(server: Server) -> None:
    """Raises LostError when the server is gone, even if its machine no longer closes connections."""
    while True:
        await asyncio.sleep(1)
        await server.call("GET", "/health")
