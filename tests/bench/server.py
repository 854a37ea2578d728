"""GRPO through a rollout server, synchronous and asynchronous (`async_steps: 1`), with server and trainer on a core each.

    make demo && python tests/bench/server.py
    python recipes/export_smollm2.py --out models/smollm2-135m && python tests/bench/server.py smollm2 --repeats 1 --steps 3

A step is the demo's, 64 prompts x 8 completions from runs/demo/sft, or that of recipes/gsm_symbolic/smollm2-135m-cpu.
Generation alone is `generate_time` of the synchronous run, which includes the push of the weights; training alone is the rest
of its step. The asynchronous step (of parity alone) should cost little more than the longer of the two. Then it times the push
alone: writing the checkpoint, and the server loading it.
"""

import argparse
import contextlib
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from measure import ROOT, choose_dtype, publish, read_log, words

from data_mix.mixture_config import load_config
from data_mix.mixture_folder import build
from eval.generation import machine

machine.prepare()

URL = "http://127.0.0.1:8123"


def pinned(core: int) -> list[str]:
    """The start of a command line that runs Python on one core."""
    return ["taskset", "-c", str(core), sys.executable]


@contextlib.contextmanager
def server(config: str, where: list[str]) -> Iterator[None]:
    """A server for the runs in a folder, on core 1."""
    line = [*pinned(1), "-m", "launch", "serve", config, *words(port=URL.rpartition(":")[2]), *where]
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen(line, cwd=ROOT, stdout=nowhere, stderr=nowhere)
    try:
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{URL}/health", timeout=5)
                break
            if process.poll() is not None:
                raise RuntimeError("the server has not started")
            time.sleep(0.5)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def train(config: str, where: list[str], out: Path, steps: int, async_steps: int) -> tuple[float, float]:
    """Median seconds of a step, and of generation in it, of a run on core 0; without the first two steps."""
    size = words(max_steps=steps, async_steps=async_steps, heldout_problems=0, report_to="none", learning_rate="1e-12")
    line = [*pinned(0), "recipes/grpo.py", *words(config=config), *where, *size]
    line += words(vllm_mode="server", vllm_server_base_url=URL)
    subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    entries = [entry for entry in read_log(out) if "reward" in entry][1:]
    out.rename(out.with_name(secrets.token_hex(4)))
    ends = [entry["seconds"] for entry in entries]
    step = statistics.median(after - before for before, after in zip(ends, ends[1:], strict=False))
    return step, statistics.median(entry["generate_time"] for entry in entries[1:])


def time_pushes(model: str, dtype: str, out: Path, repeats: int = 10) -> float:
    """Median seconds from the weights in memory to a server that has loaded them."""
    from transformers import AutoModelForCausalLM

    from eval.generation import server_folder
    from eval.generation.servers import Servers
    from recipes.training.generation import weight_files

    loaded = AutoModelForCausalLM.from_pretrained(model)
    folder = server_folder.weights_folder(str(out), server_folder.hosts([URL]))
    weight_files.open_folder(folder)
    servers, seconds = Servers([URL], server_folder.create_token(str(out)), 60), []
    for i in range(repeats):
        began = time.perf_counter()
        path = weight_files.write(folder, f"push-{i}", loaded.named_parameters(), loaded.config, dtype)
        servers.push(path, path.name)
        seconds.append(time.perf_counter() - began)
        weight_files.keep_only(folder, path.name)
    return statistics.median(seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", nargs="?", choices=["parity", "smollm2"], default="parity")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batches", type=int, help="micro-batches of 16 completions in a step of SmolLM2-135M (3)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        out, mixture = Path(name) / "grpo", "runs/demo/mixture"
        config, model, dtype = "recipes/parity/grpo.yaml", "runs/demo/sft", "float32"
        if args.workload == "smollm2":
            mixture = f"{name}/mixture"
            build(load_config(str(ROOT / "recipes/gsm_symbolic/mixture.yaml"), ["n_train=2560", "n_test=8"]), mixture)
            config, model, dtype = "recipes/gsm_symbolic/smollm2-135m-cpu/grpo.yaml", "models/smollm2-135m", choose_dtype()
        where = words(mixture=mixture, model_name_or_path=model, output_dir=out)
        where += words(gradient_accumulation_steps=args.batches) if args.batches else []
        synchronous, ahead, longer = [], [], []
        with server(config, where):
            for _ in range(args.repeats):
                step, generation = train(config, where, out, args.steps, 0)
                synchronous.append(step)
                print(f"synchronous {step:.2f} s per step, of it generation {generation:.2f}", flush=True)
                if args.workload == "parity":
                    longer.append(max(generation, step - generation))
                    ahead.append(train(config, where, out, args.steps, 1)[0])
                    print(f"asynchronous {ahead[-1]:.2f} s per step", flush=True)
            push = time_pushes(str(ROOT / model), dtype, out)
        if ahead:
            publish("asynchronous GRPO step, parity, against the longer of its parts", ahead, longer, "s a step")
            publish("asynchronous GRPO step, parity, against the synchronous one", ahead, synchronous, "s a step")
        publish(f"push through files, {args.workload}, against a step", [push], [statistics.median(synchronous)], "s")
