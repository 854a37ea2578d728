"""Rows of GRPO, by where its completions come from: whether the weights of every step reach the sampler."""

import contextlib
import socket
import urllib.request
from pathlib import Path

from tests.bench.measure import read_log
from tests.gpu.lab import Lab, expect

# Largest mean difference of the log-probs of sampler and trainer in a step. On CPU it was 0.003 in bfloat16, and above 5 when
# the sampler kept its first weights.
GAP = 0.05
CHANGE = 0.01  # of some weight, at least: without a change, the gap would say nothing


def colocate(lab: Lab, **options: object) -> str:
    """GRPO with an engine in the process."""
    lab.run("grpo", lab.grpo(lab.row / "grpo", **options))
    return compare_logps(lab.row / "grpo", lab.shared / "start")


def sleep(lab: Lab) -> str:
    """The same, with an engine that gives its memory back while the trainer trains."""
    return colocate(lab, vllm_enable_sleep_mode="true")


def lora(lab: Lab) -> str:
    """The same with an adapter."""
    return colocate(lab, use_peft="true", lora_r=8, lora_dropout=0)


def serve(lab: Lab, weight_push: str) -> str:
    """GRPO with a server: on the second GPU, or on the same one, of whose memory it takes all but a tenth."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    run = lab.grpo(lab.row / "grpo", weight_push=weight_push, vllm_mode="server", vllm_server_base_url=url)
    line = ["-m", "launch", "serve", "recipes/parity/grpo.yaml", "--port", port, *run[1:]]
    with lab.start("server", line, gpus=lab.gpus[:2][-1:]) as server:
        server.wait_for(lambda: answers(url))
        lab.run("grpo", run)
    return compare_logps(lab.row / "grpo", lab.shared / "start")


def answers(url: str) -> bool:
    """Whether a server is up."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
        return True
    return False


def compare_logps(run: Path, start: Path) -> str:
    """Figures of a run's sampler-trainer log-prob gap, and of how far its weights have moved."""
    from safetensors.torch import load_file

    steps = [entry for entry in read_log(run) if "reward" in entry]
    gap = max(entry["sampling/sampling_logp_difference/mean"] for entry in steps)
    before, after = load_file(start / "model.safetensors"), load_file(run / "model.safetensors")
    change = max((after[name].float() - before[name].float()).abs().max().item() for name in before)
    figures = f"log-prob gap {gap:.4f} (bar {GAP}) in {len(steps)} steps, weights changed by up to {change:.3f}"
    return expect(gap <= GAP and change >= CHANGE, figures)
