"""`launch serve`: the vLLM server that a GRPO or STaR run takes its rollouts from (`vllm_mode: server`).

    python -m launch serve recipes/parity/grpo.yaml [--host 127.0.0.1] [--port 8000] [--any_field value]

The config and fields are the run's, so model, precision, length and seed are those that it expects. Requests need the run's
token (guard.py). A Slurm job with `--vllm-nodes` runs this command as well.
"""

import argparse
import atexit
import multiprocessing
import os
import shlex
import signal
import socket
import sys
from typing import Any

from data_mix.errors import InputError
from data_mix.files import reason
from eval.generation import engines, machine, server_folder
from launch.ablation import RL, to_arguments
from launch.patches import vllm as vllm_patches


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options; it passes all others to the recipe's parser."""
    parser.add_argument("config", metavar="CONFIG.yaml", help="the config of recipes/grpo.py or star.py")
    parser.add_argument("--recipe", choices=RL, help="by default what the config says")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine only)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000)")
    parser.add_argument("--nnodes", type=int, default=1, metavar="N", help="nodes that share the model, for Slurm jobs (1)")
    parser.add_argument("--node-rank", type=int, default=0, metavar="R", help="this node's number among them (0)")
    parser.add_argument("--master-addr", metavar="HOST", help="the first of them")
    parser.add_argument("--master-port", type=int, metavar="PORT", help="a free port there")


def serve(options: argparse.Namespace, fields: list[str]) -> None:
    """Checks the config, prints where the model is served, and serves it until Ctrl-C or SIGTERM.

    Raises:
        InputError: for a config that the server or its run would fail on, or an address that cannot be listened on.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # vLLM replaces both once it serves
        signal.signal(number, stop_at_once)
    machine.prepare()
    from recipes.training import config, models
    from recipes.training.preflight import services
    from recipes.training.preflight.__main__ import find_recipe
    from recipes.training.preflight.environment import Environment
    from recipes.training.preflight.findings import raise_if_errors
    from recipes.training.preflight.inspection import Inputs, inspect_server

    stage = options.recipe or find_recipe(options.config)
    if stage not in RL:
        raise InputError(f"{options.config}: recipe {stage} has no rollouts", "give a config of grpo.py or star.py")
    recipe, args, model_args = config.parse(stage, config.classes_of(stage), ["--config", options.config, *fields])
    sampling = recipe if stage == "star" else args
    mode, sampling.vllm_mode = [] if sampling.vllm_mode == "server" else ["--vllm_mode", "server"], "server"
    url = server_url(options.host, options.port)
    where = [] if sampling.vllm_server_base_url else ["--vllm_server_base_url", url]
    inputs, gpus = Inputs(Environment.here()), count_gpus()
    raise_if_errors(list(inspect_server(inputs, stage, recipe, sampling, args, model_args)))
    check_heads(inputs.config.num_attention_heads, gpus, "the number of visible GPUs")
    weight_push = services.choose_push(sampling.weight_push, gpus > 0)
    dtype = models.compute_dtype(inputs.config, args, model_args)  # vLLM's own choice can be another one
    model, words = model_args.model_name_or_path, vllm_options(inputs, args, dtype, weight_push, gpus, options.nnodes)
    words += where_options(options)
    server_folder.create_token(args.output_dir)

    run = [f"recipes/{stage}.py", "--config", options.config, *fields, *mode, *where]
    print(f"serving {model} at {url}: {dtype}, up to {inputs.length} tokens")
    print(f"requests need the token in {server_folder.folder(args.output_dir)}, which the run reads")
    print(f"start the run with: accelerate launch {shlex.join(run)}", flush=True)
    os.environ |= {server_folder.RUN: args.output_dir, "VLLM_SERVER_DEV_MODE": "1"}
    # what vLLM's other processes warn of when they start and end
    os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning,ignore::UserWarning:multiprocessing.resource_tracker")
    os.environ.pop("VLLM_API_KEY", None)  # vLLM would expect it in place of the token
    atexit.register(server_folder.remove_weights, args.output_dir)
    run_vllm(["serve", model, *words])


def server_url(host: str, port: int) -> str:
    """Where a run reaches a server that listens on `host`."""
    host = socket.gethostname() if host in ("0.0.0.0", "::") else host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def count_gpus() -> int:
    """The number of visible GPUs."""
    if not machine.has_gpu():
        return 0
    import torch

    return torch.cuda.device_count()


def check_heads(heads: int, gpus: int, option: str) -> None:
    """Raises InputError if the model's attention heads cannot be divided among the GPUs of a server."""
    if gpus and heads % gpus:
        raise InputError(f"{option} is {gpus}, which does not divide the model's {heads} attention heads; use a divisor")


def vllm_options(inputs, args, dtype: str, weight_push: str, gpus: int, nodes: int = 1) -> list[str]:
    """The options of `vllm serve` for a run: those that TRL 1.16's server mode needs (trl/scripts/vllm_serve.py).

    Args:
        inputs: what the preflight checks have read; `config` and `length` are used.
        args: the trainer's config, whose seed is used.
        dtype: of weights and computation.
        weight_push: how weights will reach the server, `nccl` or `files`.
        gpus: GPUs per node; 0 for CPU.
        nodes: nodes that share the model.
    """
    options = {
        "max-model-len": inputs.length,
        "dtype": dtype,
        "logprobs-mode": "processed_logprobs",
        "max-logprobs": -1,
        "seed": args.seed,
        "use-tqdm-on-load": False,  # weights are loaded again in every step
        "middleware": "launch.guard.Guard",
        "worker-extension-cls": "launch.worker.WorkerExtension",
    }
    if gpus:
        options |= {"tensor-parallel-size": gpus, "gpu-memory-utilization": 0.9}
    else:
        options |= engines.engine_options(inputs.config, dtype, inputs.length)
    if weight_push == "nccl":
        options |= {"weight-transfer-config": {"backend": "nccl"}}
    if nodes > 1:
        options |= {"pipeline-parallel-size": nodes, "nnodes": nodes}
    return to_options(options)


def where_options(options: argparse.Namespace) -> list[str]:
    """The options of `vllm serve` that say where it runs; raises InputError for an address that cannot be listened on."""
    if options.node_rank:
        words = {"headless": True}
    else:
        check_address(options.host, options.port)
        words = {"host": options.host, "port": options.port, "disable-uvicorn-access-log": True}
    if options.nnodes > 1:
        words |= {"node-rank": options.node_rank, "master-addr": options.master_addr, "master-port": options.master_port}
    return to_options(words)


def to_options(values: dict[str, Any]) -> list[str]:
    """`--name value ...` for vLLM's parser, in which a switch has no value."""
    switches = [f"--{name}" if value else f"--no-{name}" for name, value in values.items() if isinstance(value, bool)]
    return to_arguments({name: value for name, value in values.items() if not isinstance(value, bool)}) + switches


def check_address(host: str, port: int) -> None:
    """Raises InputError if this process cannot listen there."""
    if not 0 < port < 65536:
        raise InputError(f"--port is {port}", "give one from 1 to 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError) as error:
        problem = f"--host {host} --port {port}: {reason(error)}"
        raise InputError(problem, "give an address of this machine and a free port") from None


def run_vllm(words: list[str]) -> None:
    """Runs `vllm WORDS` in this process until it is told to stop."""
    vllm_patches.find_version()
    vllm_patches.keep_sigterm_handler()
    from vllm.entrypoints.cli.main import main

    sys.argv = ["vllm", *words]
    try:
        main()
    finally:
        atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(0)  # finalizing the interpreter prints pages about objects that libraries have leaked


def stop_at_once(number: int, frame: object) -> None:
    """Signal handler that ends this process and those that it has started."""
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(128 + number)
