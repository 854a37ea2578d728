"""Rows of longer runs: one that is killed, and the demo."""

import sys

from tests.bench.measure import read_log
from tests.gpu.lab import Lab, expect
from tests.gpu.rollouts import compare_logps


def resume(lab: Lab) -> str:
    """GRPO that is killed after step 2 resumes from its checkpoint"""
    out, steps = lab.row / "grpo", 6
    run = [*lab.grpo(out, max_steps=steps, save_strategy="steps", save_steps=2)]
    with lab.start("killed", run) as command:
        command.wait_for((out / "checkpoint-2" / "complete").exists)
    again = lab.run("resumed", run)
    said = next((line for line in again.log.read_text().splitlines() if "resuming after step" in line), "did not resume")
    logged = [entry["step"] for entry in read_log(out) if "reward" in entry]
    expect(said.endswith(("2", "4")) and logged == [*range(1, steps + 1)], f"{said}; logged steps {logged}")
    return f"{said.rpartition(': ')[2]}; {compare_logps(out, lab.shared / 'start')}"


def demo(lab: Lab) -> str:
    """the stages of `make demo`, with the demo's bars"""
    # `make demo` itself would install the CPU stack
    run = lab.row / "run"
    lab.run("demo", [f"RUN={run}", f"PY={sys.executable}", f"{run}/report.html"], program="make")
    bars = lab.run("bars", ["tests/demo_bars.py", run])
    return f"{bars.log.read_text().count('pass')} bars met"
