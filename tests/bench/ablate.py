"""Twelve small cells as an ablation, side by side on cores of their own, against their commands one after another.

    python tests/bench/ablate.py

Each cell is a mixture, a short SFT and a greedy eval on parity. The reference is what a user would type: the commands that
`launch ablate --dry-run` lists, each with all threads. What is compared is the wall time of the whole grid.
"""

import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measure import publish

ROOT = Path(__file__).parents[2]
REPEATS = 2
ABLATE = [sys.executable, "-m", "launch", "ablate"]
GRID = """
out: {out}
grid:
  seed: [0, 1]
  mixture.p_cot: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
stages:
  mixture: {{config: mixture.yaml, sources.0.d: 12, n_train: 2560, n_test: 64}}
  sft: {{config: sft.yaml, max_steps: 40, heldout_every: 40}}
eval:
  greedy: {{}}
"""


def side_by_side(file: Path) -> None:
    """The grid as an ablation with two jobs at a time."""
    subprocess.run([*ABLATE, str(file), "--jobs", "2"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def one_after_another(file: Path) -> None:
    """The same commands in a loop."""
    listed = subprocess.run([*ABLATE, str(file), "--dry-run"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines()[1:]:
        command = shlex.split(line.split(": ", 1)[1])
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def seconds(way: Callable[[Path], None]) -> float:
    """Wall time of the grid, made in this way in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "grid.yaml"
        for name in ("mixture.yaml", "sft.yaml"):
            shutil.copy(ROOT / "recipes" / "parity" / name, folder)
        file.write_text(GRID.format(out=Path(folder) / "out"))
        began = time.monotonic()
        way(file)
        return time.monotonic() - began


if __name__ == "__main__":
    alone, together = zip(*((seconds(one_after_another), seconds(side_by_side)) for _ in range(REPEATS)), strict=True)
    publish("ablation of 12 cells", together, alone, "s")
