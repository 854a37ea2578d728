"""`launch serve`: its options, its one-line errors, and a real vLLM server behind the guard."""

import contextlib
import importlib.metadata
import os
import shutil
import signal
import socket
from pathlib import Path

import httpx
import pytest
import torch
from safetensors.torch import load_file, save_file

from data_mix.mixture_folder import read_rows
from eval.generation import server_folder
from eval.generation.engines import VLLMEngine
from eval.generation.tokens import encode_prompts
from launch import serve
from launch.__main__ import main
from launch.patches import vllm as vllm_patches
from recipes.training import config, models
from recipes.training.models import load_tokenizer
from tests.conftest import ROOT
from tests.serving import Server

LLAMA_3B = ROOT / "recipes" / "gsm8k" / "llama" / "3b-8x80gb" / "grpo.yaml"


@pytest.fixture(autouse=True)
def signal_handlers():
    """Restores the handlers that `launch serve` replaces."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def options(monkeypatch, *fields, weight_push="nccl", gpus=8, nodes=1):
    """vLLM's options for the 3B config, without its model, which is not here."""
    from transformers import LlamaConfig

    from recipes import grpo
    from recipes.training.preflight.environment import Environment
    from recipes.training.preflight.inspection import Inputs

    monkeypatch.setattr(os, "environ", dict(os.environ))  # the parser prepares the process
    _, args, model_args = config.parse("grpo", grpo.CONFIG_CLASSES, ["--config", str(LLAMA_3B), *fields])
    inputs = Inputs(Environment.here(), config=LlamaConfig(), length=args.vllm_max_model_length)
    return serve.vllm_options(inputs, args, models.compute_dtype(inputs.config, args, model_args), weight_push, gpus, nodes)


def parse_like_vllm(words):
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    return make_arg_parser(FlexibleArgumentParser()).parse_args(words)


def test_the_options_that_trl_needs_on_gpus(monkeypatch):
    words = options(monkeypatch, nodes=2)
    args = parse_like_vllm([*words, "--node-rank", "1", "--headless"])
    assert args.weight_transfer_config.backend == "nccl" and args.nnodes == args.pipeline_parallel_size == 2
    assert args.logprobs_mode == "processed_logprobs" and args.max_logprobs == -1
    assert args.tensor_parallel_size == 8 and args.max_model_len == 1024 and args.seed == 0
    assert args.dtype == "bfloat16"  # the trainer's compute dtype
    assert args.middleware == ["launch.guard.Guard"]
    assert parse_like_vllm(options(monkeypatch, "--bf16=false", "--dtype=float32")).dtype == "float32"


def test_the_options_on_cpu(monkeypatch):
    args = parse_like_vllm(options(monkeypatch, weight_push="files", gpus=0))
    assert args.weight_transfer_config is None and args.tensor_parallel_size == 1
    assert args.enforce_eager and not args.enable_chunked_prefill and 0 < args.kv_cache_memory_bytes <= 2 * 2**30


def test_vllm_still_recognizes_its_cpu_build(monkeypatch):
    """Without that, it loads kernels for another processor: the server of a model with heads of size 64 died of SIGILL."""
    monkeypatch.setattr(importlib.metadata, "version", importlib.metadata.version)  # which the patch replaces
    vllm_patches.find_version()
    from vllm.platforms import cpu_platform_plugin

    assert cpu_platform_plugin() is not None


@pytest.fixture
def where(llama, word_problems, tmp_path) -> list[str]:
    """Fields of a run with a tiny model."""
    start = ["--mixture", str(word_problems["base"]), "--model_name_or_path", llama["base"]]
    return [*start, "--output_dir", str(tmp_path / "run")]


@pytest.fixture(scope="module")
def taken():
    """A port that another process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield str(server.getsockname()[1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (["--model_name_or_path", "runs/none"], "model_name_or_path runs/none: no model there"),
        (["--vllm_max_model_length", "100000"], "vllm_max_model_length is 100000, more than the model's context of"),
        (["--max_completion_length", "100000", "--vllm_max_model_length", "None"], "max_completion_length (100000)"),
        (["--vllm_max_model_length", "None", "--mixture", "runs/none"], "runs/none"),
        (["--tempratur", "1"], "--tempratur: unknown field; did you mean 'temperature'?"),
        (["--weight_push", "nccl"], "weight_push is nccl, which needs GPUs; use files"),
        (["--port", "{taken}"], "Address already in use; give an address of this machine and a free port"),
        (["--port", "99999"], "--port is 99999; give one from 1 to 65535"),
        (["--host", "no.such.host"], "--host no.such.host"),
        (["--host", "192.0.2.1"], "--host 192.0.2.1 --port 8000: Cannot assign requested address"),
        (["--output_dir", "/proc/run"], "/proc/run.server/token: "),
    ],
)
def test_wrong_input_is_one_line_before_anything_is_loaded(capsys, monkeypatch, where, tmp_path, taken, fields, message):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(serve, "run_vllm", lambda words: pytest.fail("vLLM was started"))
    assert main(["serve", "recipes/parity/grpo.yaml", *where, *(word.replace("{taken}", taken) for word in fields)]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1 and message in output.err
    assert not (tmp_path / "run.server").exists()


def test_the_address_that_a_run_is_told():
    assert serve.server_url("127.0.0.1", 8000) == "http://127.0.0.1:8000" and serve.server_url("::1", 80) == "http://[::1]:80"
    assert serve.server_url("0.0.0.0", 8000) == f"http://{socket.gethostname()}:8000"


def test_a_config_without_rollouts_is_refused(capsys):
    assert main(["serve", "recipes/parity/sft.yaml"]) == 2
    assert "sft.yaml: recipe sft has no rollouts; give a config of grpo.py or star.py" in capsys.readouterr().err


def test_the_length_is_what_the_mixture_needs(capsys, monkeypatch, where, llama, word_problems, tmp_path):
    started = []
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(serve, "run_vllm", started.append)
    assert main(["serve", "recipes/parity/grpo.yaml", *where, "--vllm_max_model_length", "None"]) == 0
    [words] = started
    length = words[words.index("--max-model-len") + 1]
    prompts = [row["prompt"] for row in read_rows(str(word_problems["base"]), "train")]
    assert int(length) == 24 + max(map(len, encode_prompts(load_tokenizer(llama["base"]), prompts)))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and f"float32, up to {length} tokens" in lines[0] and "at http://127.0.0.1:8000" in lines[0]
    assert lines[2].endswith("--vllm_mode server --vllm_server_base_url http://127.0.0.1:8000")
    assert os.environ["VLLM_SERVER_DEV_MODE"] == "1" and (tmp_path / "run.server" / "token").read_text() not in " ".join(
        [*words, *lines, *os.environ.values()]
    )
    url = ["--vllm_server_base_url", "http://10.0.0.1:8000"]  # printed once
    assert main(["serve", "recipes/parity/grpo.yaml", *where, "--vllm_max_model_length", "None", *url]) == 0
    assert capsys.readouterr().out.splitlines()[2].endswith(f"{' '.join(url)} --vllm_mode server")


@contextlib.contextmanager
def serving(where):
    server = Server(where)
    try:
        yield server
    finally:
        server.kill()


@pytest.mark.slow
def test_a_real_server(where, llama, tmp_path):
    """Who gets in, what can be called, that loaded weights take effect, and that it samples like the engine in a process."""
    with serving(where) as server:
        server.wait_for(server.is_healthy)
        token = (tmp_path / "run.server" / "token").read_text()
        assert httpx.get(f"{server.url}/v1/models").status_code == 401
        assert server.post("/reset_prefix_cache", "wrong").status_code == 401

        def complete(seed=None) -> list[list[int]]:
            sampling = {"temperature": 0 if seed is None else 1, "seed": seed, "max_tokens": 16, "n": 1 if seed is None else 4}
            model = {"model": llama["base"], "prompt": [[256, 40, 41, 42]], "return_token_ids": True}
            choices = server.post("/v1/completions", token, **model, **sampling).json()["choices"]
            return [choice["token_ids"] for choice in choices]

        sampled, before = complete(seed=7), complete()
        other = server_folder.weights_folder(where[-1], ["127.0.0.1"]) / "step-1"
        try:
            other.parent.mkdir(mode=0o700)
            shutil.copytree(llama["base"], other)
            shuffle_weights(other / "model.safetensors")
            for path, status in ((llama["instruct"], 403), (str(other), 200)):
                call = {"method": "reload_weights", "kwargs": {"weights_path": path}}
                assert server.post("/collective_rpc", "wrong", **call).status_code == 401
                assert server.post("/collective_rpc", token, **call).status_code == status
                assert server.post("/reset_prefix_cache", token).status_code == 200
                assert (complete() == before) == (status == 403)
        finally:
            shutil.rmtree(other.parent)
        assert server.post("/collective_rpc", token, method="shutdown", kwargs={}).status_code == 403
        assert len(server.processes()) > 1
        assert token not in server.log.read_text() + str(server.processes())
        os.kill(server.process.pid, signal.SIGKILL)
        server.wait_for_end()

    from vllm import SamplingParams

    engine = VLLMEngine(llama["base"], "float32", 64, seed=0)
    parameters = SamplingParams(n=4, temperature=1.0, max_tokens=16, seed=7)
    [output] = engine.llm.generate({"prompt_token_ids": [256, 40, 41, 42]}, parameters, use_tqdm=False)
    assert [list(one.token_ids) for one in output.outputs] == sampled


def shuffle_weights(file: Path) -> None:
    """Other weights of the same shapes."""
    torch.manual_seed(1)
    save_file({name: torch.randn_like(one) * one.std() for name, one in load_file(file).items()}, file)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["checking", "starting", "serving"])
def test_ctrl_c_and_sigterm_end_the_server_with_all_its_processes(where, number, moment):
    with serving(where) as server:
        reached = {
            "checking": lambda: "libtorch" in Path(f"/proc/{server.process.pid}/maps").read_text(),  # its checks import torch
            "starting": lambda: any("multiprocessing" in args for args in server.processes().values()),  # vLLM's engine
            "serving": server.is_healthy,
        }
        server.wait_for(reached[moment])
        os.kill(server.process.pid, number)
        server.wait_for_end()
        assert server.process.returncode == (0 if moment == "serving" else 128 + number)
        log = server.log.read_text()
        assert "Traceback" not in log and "leaked" not in log
