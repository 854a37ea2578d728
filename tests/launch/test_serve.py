"""`launch serve`: its options, its one-line errors, and a real vLLM server behind the guard."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from data_mix.errors import InputError
from data_mix.mixture_folder import read_rows
from eval.generation import server_folder
from eval.generation.tokens import encode_prompts
from launch import serve
from launch.__main__ import main
from recipes.training import config
from recipes.training.models import load_tokenizer
from tests.conftest import ROOT

LLAMA_3B = ROOT / "recipes" / "gsm8k" / "llama-3.2-3b" / "grpo.yaml"


def options(monkeypatch, *fields, weight_push="nccl", gpus=8, nodes=1, heads=32):
    """vLLM's options for the 3B config, without its model, which is not here."""
    from recipes import grpo
    from recipes.training.preflight.environment import Environment
    from recipes.training.preflight.inspection import Inputs
    from transformers import LlamaConfig

    monkeypatch.setattr(os, "environ", dict(os.environ))  # the parser prepares the process
    _, args, model_args = config.parse("grpo", grpo.CONFIG_CLASSES, ["--config", str(LLAMA_3B), *fields])
    inputs = Inputs(Environment.here(), config=LlamaConfig(), length=args.vllm_max_model_length)
    return serve.vllm_options(inputs, args, serve.server_dtype(inputs.config, args, model_args), weight_push, gpus, nodes)


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


def test_a_config_of_another_recipe_is_refused(capsys):
    assert main(["serve", "recipes/parity/sft.yaml"]) == 2
    assert "`recipe: sft` is not for recipes/grpo.py" in capsys.readouterr().err


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
