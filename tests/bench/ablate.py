"""Twelve small cells side by side, each on a core of its own, against one after another with all threads.

    python tests/bench/ablate.py

Each cell is a mixture, a short SFT and a greedy eval on parity; what is compared is the wall time of the whole grid.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
GRID = """
out: {out}
grid:
  seed: [0, 1]
  mixture.p_cot: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
stages:
  mixture: {{config: {parity}/mixture.yaml, sources.0.d: 12, n_train: 2560, n_test: 64}}
  sft: {{config: {parity}/sft.yaml, max_steps: 40, heldout_every: 40}}
eval:
  greedy: {{}}
"""


def seconds(jobs: int) -> float:
    """Wall time of the grid with so many jobs at a time."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "grid.yaml"
        file.write_text(GRID.format(out=Path(folder) / "out", parity=ROOT / "recipes" / "parity"))
        began = time.monotonic()
        line = [sys.executable, "-m", "launch", "ablate", str(file), "--jobs", str(jobs)]
        subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - began


if __name__ == "__main__":
    one, two = seconds(1), seconds(2)
    print(json.dumps({"one after another": round(one, 1), "--jobs 2": round(two, 1), "throughput ratio": round(one / two, 2)}))
