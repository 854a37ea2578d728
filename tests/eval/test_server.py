"""The client of vLLM servers: lost, restarted and refusing ones. tests/recipes/test_server.py has the real one."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data_mix.errors import InputError
from eval.generation import servers as servers_module
from eval.generation.server import Request, ServerError
from eval.generation.server_engine import check_servers, complete_all
from eval.generation.servers import Servers


class Standin:
    """Answers as vLLM does, at once: a completion is its seed and the weights it comes from."""

    def __init__(self) -> None:
        self.port, self.answered, self.fails, self.token, self.delay = 0, 0, 0, "right", 0.0
        self.start()

    def start(self) -> None:
        """Starts, or starts again, with the initial weights."""
        self.version, self.weights, standin = "default", "initial", self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 0.5  # closes a connection that has been idle for so long

            def log_message(self, *_):
                pass

            def do_GET(self):
                config = {"dtype": "torch.float32", "logprobs_mode": "processed_logprobs"}
                self.answer(
                    {
                        "/health": {},
                        "/v1/models": {"data": [{"id": "m", "root": "m", "max_model_len": 64}]},
                        "/weight_info": {"weight_version": standin.version},
                        "/server_info?config_format=json": {"vllm_config": {"model_config": config}},
                    }[self.path]
                )

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "{}")
                if self.path == "/collective_rpc":
                    standin.weights = Path(body["kwargs"]["weights_path"]).name
                elif self.path == "/update_weight_version":
                    standin.version = body["new_version"]
                elif self.path == "/v1/completions":
                    time.sleep(standin.delay)
                    if standin.fails:
                        standin.fails -= 1
                        self.close_connection = True  # without an answer
                        return
                    standin.answered += 1
                    seeds = range(body["seed"], body["seed"] + body["n"])
                    return self.answer({"choices": [{"token_ids": [s, standin.weights], "logprobs": None} for s in seeds]})
                self.answer({"success": True})

            def answer(self, content):
                right = self.headers["Authorization"] == f"Bearer {standin.token}"
                body = json.dumps(content).encode()
                self.send_response(200 if right else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):  # the caller has stopped waiting
                    self.wfile.write(body)

        self.http = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(servers_module, "POLL", 0.02)
    monkeypatch.setattr(servers_module, "IDLE", 0.2)


@pytest.fixture
def two():
    servers = [Standin(), Standin()]
    yield servers
    for one in servers:
        one.stop()


def connect(standins, timeout=20.0, token="right"):
    return Servers([one.url for one in standins], token, timeout)


def requests(count):
    return {i: Request([1, 2], 2, 100 + 2 * i, {}) for i in range(count)}


def expected(count, weights):
    return {i: [[100 + 2 * i, weights], [101 + 2 * i, weights]] for i in range(count)}


def ids(answers):
    return {number: [sample.ids for sample in samples] for number, samples in answers}


def test_servers_share_the_requests_and_get_the_weights(two):
    servers = connect(two)
    servers.push(Path("/w/step-1"), "step-1")
    assert ids(servers.complete(requests(40))) == expected(40, "step-1")
    assert all(one.answered >= 10 for one in two)


def test_requests_that_fail_are_repeated_by_another_server(two, capsys):
    two[0].fails = 1000
    assert ids(connect(two).complete(requests(30))) == expected(30, "initial")
    assert f"{two[0].url} does not answer" in capsys.readouterr().err


def test_a_restarted_server_gets_the_current_weights_before_it_is_used(two):
    servers = connect(two[:1])
    servers.push(Path("/w/step-1"), "step-1")
    two[0].stop()
    two[0].start()  # between two calls, so no request failed
    assert ids(servers.complete(requests(5))) == expected(5, "step-1")


def test_a_server_that_dies_and_returns_during_a_call(two):
    servers = connect(two[:1])
    servers.push(Path("/w/step-1"), "step-1")
    two[0].delay = 0.05
    answers = servers.complete(requests(150))
    first = [next(answers) for _ in range(3)]
    two[0].fails = 1000  # the connections of a killed process break
    threading.Timer(0.3, lambda: vars(two[0]).update(fails=0, version="default", weights="initial")).start()
    assert ids([*first, *answers]) == expected(150, "step-1")


def test_a_server_that_is_restarted_between_two_requests(two):
    servers = connect(two[:1])
    servers.push(Path("/w/step-1"), "step-1")
    two[0].delay = 0.05
    answers = servers.complete(requests(150))
    first = [next(answers) for _ in range(3)]
    vars(two[0]).update(version="default", weights="initial")  # no request has failed
    assert ids([*first, *answers]) == expected(150, "step-1")


def test_a_push_does_not_wait_for_a_lost_server_which_gets_the_weights_later(two):
    two[1].stop()
    servers = connect(two)
    servers.push(Path("/w/step-1"), "step-1")
    two[1].start()
    two[0].fails = 1000
    assert ids(servers.complete(requests(4))) == expected(4, "step-1")


def test_servers_work_while_the_caller_does(two):
    """Otherwise they would idle, and close connections."""
    answers = connect(two[:1]).complete(requests(300))
    next(answers)
    deadline = time.monotonic() + 60
    while two[0].answered < 300:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(ids(answers)) == 299


def test_a_caller_that_stops_early_leaves_no_thread(two):
    two[0].delay = 2
    answers = connect(two).complete(requests(150))
    next(answers)
    answers.close()
    assert not any("run_until_complete" in thread.name for thread in threading.enumerate())


def test_no_server_is_one_line_after_the_timeout(two):
    two[0].stop()
    servers = connect(two[:1], timeout=0.3)
    for use in (servers.describe, lambda: servers.push(Path("/w/a"), "a"), lambda: list(servers.complete(requests(3)))):
        with pytest.raises(ServerError, match=r"has not answered for 0.3 s \(Connect") as error:
            use()
        assert "\n" not in str(error.value)
    two[0].start()


def test_a_wrong_token_is_refused_at_once(two):
    with pytest.raises(ServerError, match="answers 401: the token or the folder is another run's"):
        list(connect(two, token="wrong").complete(requests(3)))


def test_repeats_of_a_prompt_are_one_request_and_have_the_same_seeds(two):
    prompts = {0: [1], 1: [1], 2: [1], 3: [2], 5: [2], 6: [3]}
    samples = complete_all(connect(two[:1]), prompts, {}, 1000)
    assert {number: sample.ids[0] for number, sample in samples.items()} == {n: 1000 + n for n in prompts}
    assert two[0].answered == 4  # 0 to 2; 3; 5; 6


def test_servers_that_do_not_fit(two):
    servers = connect(two[:1])
    check_servers(servers, "m", "float32", 64, initial=True)
    for arguments, problem in (
        (("other", "float32", 64), "serves m, not other"),
        (("m", "bfloat16", 64), "computes in float32, not in bfloat16"),
        (("m", "float32", 65), "allows 64 tokens, but prompt and completion take 65"),
    ):
        with pytest.raises(InputError, match=problem):
            check_servers(servers, *arguments, initial=False)
    servers.push(Path("/w/step-1"), "step-1")
    with pytest.raises(InputError, match="no longer has the weights of m"):
        check_servers(servers, "m", "float32", 64, initial=True)
