"""Wall time of an ablation of twelve small cells: two parallel jobs on pinned cores, against the same commands in sequence.

    python tests/bench/ablate.py

Each cell is a mixture, a short SFT and a greedy eval on parity. The reference runs the commands that
`launch ablate --dry-run` lists, each with all threads.
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


def in_parallel(file: Path) -> None:
    """Runs the grid with `launch ablate`, two jobs at a time."""
    subprocess.run([*ABLATE, str(file), "--jobs", "2"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def in_sequence(file: Path) -> None:
    """Runs the same commands in a loop."""
    listed = subprocess.run([*ABLATE, str(file), "--dry-run"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines()[1:]:
        command = shlex.split(line.split(": ", 1)[1])
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def seconds(run_grid: Callable[[Path], None]) -> float:
    """Wall time of the grid in a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "grid.yaml"
        for name in ("mixture.yaml", "sft.yaml"):
            shutil.copy(ROOT / "recipes" / "parity" / name, folder)
        file.write_text(GRID.format(out=Path(folder) / "out"))
        began = time.monotonic()
        run_grid(file)
        return time.monotonic() - began


if __name__ == "__main__":
    sequential, parallel = zip(*((seconds(in_sequence), seconds(in_parallel)) for _ in range(REPEATS)), strict=True)
    publish("ablation of 12 cells", parallel, sequential, "s")
