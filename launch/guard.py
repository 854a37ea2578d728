"""What stands between the network and a vLLM server: an ASGI middleware that `launch serve` gives to `vllm serve --middleware`.

Every request but /health needs the run's token. vLLM's own `--api-key` protects only /v1 and a few others, not the development
endpoints, which call methods by name and load weights from a path. Of these calls, only `reload_weights` passes, and only from
a folder in which the run leaves its weights.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from eval.generation import server_folder

BODY_LIMIT = 64 * 1024  # bytes of a call by name


class Guard:
    """Answers 401 without the token, 403 for a call that is not allowed, 413 for one that is too long."""

    def __init__(self, app: Any) -> None:
        """`app` is the ASGI application behind the guard; the environment variable server_folder.RUN names the run."""
        run = os.environ[server_folder.RUN]
        self.app = app
        self.token = server_folder.read_token(server_folder.folder(run) / "token").encode()
        self.folders = server_folder.weights_folders(run)

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        """Handles one request, as ASGI specifies it."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] == "/health"):
            return await self.app(scope, receive, send)
        if not self._has_token(scope):
            refused = JSONResponse({"error": "wrong or no token"}, 401, {"WWW-Authenticate": "Bearer"})
            return await refused(scope, receive, send)
        if scope["type"] != "http" or scope["path"].rstrip("/") != "/collective_rpc":
            return await self.app(scope, receive, send)
        body = await _read_body(receive)
        if body is None:
            return await JSONResponse({"error": "request too long"}, 413)(scope, receive, send)
        if problem := self._problem(body):
            return await JSONResponse({"error": problem}, 403)(scope, receive, send)
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> dict:
            return messages.pop() if messages else await receive()

        await self.app(scope, receive_again, send)

    def _has_token(self, scope: dict) -> bool:
        scheme, _, token = Headers(scope=scope).get("Authorization", "").partition(" ")
        # latin-1 is the encoding of headers; compare_digest takes text only if it is ASCII
        return scheme.lower() == "bearer" and secrets.compare_digest(token.encode("latin-1"), self.token)

    def _problem(self, body: bytes) -> str | None:
        """Why a call is not allowed; None if it is `reload_weights` from a folder of the run."""
        try:
            call = json.loads(body)
            path = call["kwargs"]["weights_path"]
            is_reload = call == {"method": "reload_weights", "kwargs": {"weights_path": path}}
        except (ValueError, RecursionError, KeyError, TypeError):
            is_reload = False
        if not is_reload:
            return "only reload_weights can be called, with weights_path alone"
        try:
            # vLLM takes a path that is missing for the name of a model on the Hub
            inside = os.path.isabs(path) and os.path.isdir(path) and any(_is_inside(path, one) for one in self.folders)
        except (ValueError, TypeError):  # a null byte; not a text
            inside = False
        return None if inside else "weights_path is not a folder of weights of this run"


def _is_inside(path: str, folder: Path) -> bool:
    """Whether `path`, all symlinks resolved, is below `folder`, which may be reached by symlinks but must not be one."""
    return os.path.realpath(path).startswith(f"{os.path.realpath(folder.parent)}/{folder.name}/")


async def _read_body(receive: Any) -> bytes | None:
    """A request's whole body; None if it has more than BODY_LIMIT bytes or the client is gone."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or len(body) > BODY_LIMIT:
            return None
        more = message.get("more_body", False)
    return body
