"""The middleware in front of a vLLM server, as an ASGI application: who gets in, and what can be called."""

import asyncio
import json

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse

from data_mix.errors import InputError
from eval.generation import server_folder
from launch import guard


async def answer(request):
    return JSONResponse({"path": request.url.path, "bytes": len(await request.body())})


async def talk(socket):
    await socket.accept()
    await socket.send_text("hello")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run's output folder, with a token and one folder of weights next to it."""
    monkeypatch.setenv(server_folder.RUN, str(tmp_path / "run"))
    server_folder.create_token(str(tmp_path / "run"))
    weights(tmp_path / "run").mkdir(parents=True)
    return tmp_path / "run"


def weights(run):
    return server_folder.weights_folder(str(run), ["n1"]) / "step-1"


@pytest.fixture
def client(run):
    """A client with the run's token; behind the guard, every path answers any method."""
    methods = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"]
    app = Starlette(routes=[Route("/{path:path}", answer, methods=methods), WebSocketRoute("/{path:path}", talk)])
    token = server_folder.create_token(str(run))
    return TestClient(guard.Guard(app), headers={"Authorization": f"Bearer {token}"})


def reload(path, **more) -> dict:
    return {"method": "reload_weights", "kwargs": {"weights_path": str(path)}} | more


PATHS = ["/v1/completions", "/v1/models", "/collective_rpc", "/reset_prefix_cache", "/metrics", "/", "/health/x", "//health"]
HEADERS = [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic {token}", "{token}", "Bearer {token}x", "Bearer \u00e9"]


@pytest.mark.parametrize("header", HEADERS)
def test_nothing_but_health_answers_without_the_token(client, run, header):
    del client.headers["Authorization"]
    token = server_folder.create_token(str(run))
    headers = {} if header is None else {"Authorization": header.format(token=token).encode("latin-1")}
    for path in PATHS:
        for method in ("GET", "POST", "OPTIONS", "HEAD", "DELETE"):
            assert client.request(method, path, headers=headers).status_code == 401
    assert client.get("/health", headers=headers).status_code == 200


def test_the_token_opens_every_other_endpoint(client):
    assert client.get("/v1/models").json()["path"] == "/v1/models"
    body = b"x" * (guard.BODY_LIMIT + 1)  # long requests are refused only where the guard reads them
    assert client.post("/v1/completions", content=body).json()["bytes"] == len(body)
    with client.websocket_connect("/v1/realtime") as socket:
        assert socket.receive_text() == "hello"


def test_a_websocket_needs_the_token_too(client):
    del client.headers["Authorization"]
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect("/v1/realtime"):
        pass
    assert refused.value.status_code == 401


@pytest.mark.parametrize("path", ["/collective_rpc", "/collective_rpc/", "/collective%5Frpc"])
def test_weights_of_the_run_can_be_loaded(client, run, path):
    call = json.dumps(reload(weights(run))).encode()
    assert client.post(path, content=call).json()["bytes"] == len(call)  # the application still gets the body


@pytest.mark.parametrize(
    "call",
    [
        {"method": "shutdown"},
        {"method": "save_sharded_state", "kwargs": {"weights_path": "{weights}"}},
        {"method": "reload_weights"},
        {"method": "reload_weights", "args": ["{weights}"]},
        {"method": "reload_weights", "kwargs": {"weights_path": "{weights}", "is_checkpoint_format": False}},
        {"method": "reload_weights", "kwargs": {"weights_path": "{weights}"}, "args": []},
        {"method": "reload_weights", "kwargs": {"weights_path": ["{weights}"]}},
        {"method": "reload_weights", "kwargs": ["weights_path"]},
        ["reload_weights"],
        None,
    ],
)
def test_nothing_else_can_be_called_by_name(client, run, call):
    text = json.dumps(call).replace("{weights}", str(weights(run)))
    assert client.post("/collective_rpc", content=text).status_code == 403


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 60_000, b'{"method": "\\ud800"}'])
def test_a_call_that_is_no_json_is_refused(client, body):
    assert client.post("/collective_rpc", content=body).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "{parent}",  # the folder with the folders of weights
        "{run}",
        "{weights}/../../token",
        "{weights}/../../../elsewhere",
        "{weights}-missing",
        "{weights}\0",
        "{parent}/link",
        "step-1",
        "meta-llama/Llama-3.2-1B",
        "",
        "~",
        "\ud800",
        "/" + "x" * 5000,
    ],
)
def test_weights_from_elsewhere_are_refused(client, run, path, monkeypatch):
    elsewhere = run.with_name("elsewhere")
    elsewhere.mkdir()
    (weights(run).parent / "link").symlink_to(elsewhere)
    monkeypatch.chdir(weights(run).parent)  # relative paths are refused even from here
    names = {"weights": weights(run), "parent": weights(run).parent, "run": run}
    path = path.format(**names) if "{" in path else path
    assert client.post("/collective_rpc", content=json.dumps(reload(path))).status_code == 403


def test_a_folder_of_weights_that_is_itself_a_symlink_is_refused(client, run):
    folder = weights(run).parent
    folder.rename(run.with_name("elsewhere"))
    folder.symlink_to(run.with_name("elsewhere"))
    assert client.post("/collective_rpc", content=json.dumps(reload(weights(run)))).status_code == 403


def test_a_call_in_many_parts_is_read_up_to_the_limit(run):
    """Through httpx's ASGI transport, which streams: the length is in no header."""
    sent = []

    async def parts(call, padding):
        for start in range(0, len(call), 7):
            yield call[start : start + 7]
        for _ in range(padding):
            sent.append(1024)
            yield b" " * 1024

    async def post(padding: int) -> int:
        app = Starlette(routes=[Route("/collective_rpc", answer, methods=["POST"])])
        token = server_folder.create_token(str(run))
        transport = httpx.ASGITransport(guard.Guard(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            content = parts(json.dumps(reload(weights(run))).encode(), padding)
            response = await client.post("/collective_rpc", content=content, headers={"Authorization": f"Bearer {token}"})
        return response.status_code

    assert asyncio.run(post(3)) == 200
    assert asyncio.run(post(10_000)) == 413 and len(sent) < 100


def test_the_token_is_the_owner_s_and_is_kept(tmp_path):
    token, path = server_folder.create_token(str(tmp_path / "run")), tmp_path / "run.server" / "token"
    assert len(token) >= 32 and server_folder.create_token(str(tmp_path / "run")) == token
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["token"]
    path.chmod(0o644)
    with pytest.raises(InputError, match="other users can read it"):
        server_folder.create_token(str(tmp_path / "run"))
    path.chmod(0o600)
    path.write_text("")
    with pytest.raises(InputError, match="is empty"):
        server_folder.read_token(path)
