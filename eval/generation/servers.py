"""Completions from running vLLM servers, over HTTP; and new weights for them.

Each request has its own seed, so completions depend neither on the server that answers nor on how often they are asked for. A
server that fails is lost until it answers again; meanwhile its requests go to the others. A server that was restarted has its
initial weights. Its `weight_version`, which does not outlive a server, tells; then it gets the current ones before it is used.
"""

import asyncio
import functools
import queue
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from eval.generation.server import INITIAL, LostError, Request, Sample, Server, ServerError

CONCURRENT = 128  # requests at a time, per server
IDLE = 2.0  # seconds; well below vLLM's keep-alive of 5 s, or a request could go out on a connection that is being closed
POLL = 0.25  # seconds between two checks of a server, in use or lost


@dataclass
class _Work:
    """The requests of one call of `Servers.complete`."""

    requests: dict[int, Request]
    answers: queue.SimpleQueue = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        self.todo = deque(sorted(self.requests))
        self.unanswered = set(self.requests)

    async def take(self, server: Server, arrived: dict[int, list[Sample]]) -> None:
        """Sends one request after the other to a server and puts the answers into `arrived`; one that fails is put back."""
        while self.todo:
            number = self.todo.popleft()
            try:
                arrived[number] = await server.complete(self.requests[number])
            except BaseException:
                self.todo.appendleft(number)
                raise

    def answer(self, number: int, samples: list[Sample]) -> None:
        """Hands an answer to the caller."""
        self.unanswered.discard(number)
        self.answers.put((number, samples))


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
                await server.load(weights, version, self.timeout)
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
            work, loop = _Work(requests), runner.get_loop()
            task = loop.create_task(self._connected(lambda: self._serve_all(work)))
            task.add_done_callback(lambda _: work.answers.put(None))
            # In a thread, so that requests proceed while the caller works on an answer
            thread = threading.Thread(target=loop.run_until_complete, args=(asyncio.wait([task]),), daemon=True)
            thread.start()
            try:
                while answer := work.answers.get():
                    yield answer
                if error := task.exception():
                    raise error
            finally:
                loop.call_soon_threadsafe(task.cancel)
                thread.join()

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
            arrived: dict[int, list[Sample]] = {}
            try:
                if work.todo:
                    await server.prepare(self.weights, self.version, self.timeout)
                    async with asyncio.TaskGroup() as group:
                        watch = group.create_task(_watch(server, work, arrived, version))
                        await asyncio.wait([group.create_task(work.take(server, arrived)) for _ in range(at_once)])
                        watch.cancel()
                    await _confirm(server, work, arrived, version)
            except LostError as lost:
                self._lose(server, lost)
            except ExceptionGroup as errors:
                refused, _ = errors.split(ServerError)
                if refused:
                    raise refused.exceptions[0] from None
                self._lose(server, errors.exceptions[0])
            work.todo.extendleft(arrived)
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
        connections = CONCURRENT + 2
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=IDLE)
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


async def _watch(server: Server, work: _Work, arrived: dict[int, list[Sample]], version: str | None) -> None:
    """Hands over answers now and then; raises LostError when the server is gone, even if it closes no connection."""
    while True:
        await asyncio.sleep(POLL)
        await _confirm(server, work, arrived, version)


async def _confirm(server: Server, work: _Work, arrived: dict[int, list[Sample]], version: str | None) -> None:
    """Hands over what has arrived, if the server still has the weights `version` (None: any): it may have been restarted."""
    numbers = list(arrived)
    if version is None:
        await server.call("GET", "/health")
    elif (await server.call("GET", "/weight_info"))["weight_version"] != version:
        raise LostError("it was restarted")
    server.found()
    for number in numbers:
        work.answer(number, arrived.pop(number))
