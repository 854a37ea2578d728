"""What the rows share: commands with a log and a time limit, and the mixture and the model that they start from."""

import contextlib
import functools
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from eval.generation.machine import end_with_parent
from tests.bench.measure import ROOT, read_log, words
from tests.gpu.machine import GPU

LIMIT = 600  # seconds for a command
# Heads of size 64: for other sizes, the recipe asks vLLM, whose GPU build need not work on CPU.
MODEL = {
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.08,
    "max_position_embeddings": 64,
}
SFT = words(
    model_config=json.dumps(MODEL),
    max_steps=20,
    warmup_steps=5,
    per_device_train_batch_size=32,
    logging_steps=1,
    heldout_problems=4,
)
QUIET = words(report_to="none")


class RowError(Exception):
    """A command that failed, or a figure that is not within its bar."""


def expect(met: bool, figures: str) -> str:
    """The figures of a row; raises RowError with them if they are not within the bar, which they name."""
    if not met:
        raise RowError(figures)
    return figures


class Command:
    """A command in the repository root, with its output in a file."""

    def __init__(self, name: str, line: list[str], log: Path, gpus: list[GPU]) -> None:
        """Starts it on the given GPUs; without any, on CPU."""
        self.name, self.log, self.gpus, self.began = name, log, gpus, time.monotonic()
        visible = {"CUDA_VISIBLE_DEVICES": ",".join(gpu.number for gpu in gpus)}
        self.shown = shlex.join([f"CUDA_VISIBLE_DEVICES={visible['CUDA_VISIBLE_DEVICES']}", *line])
        self.before = sum(gpu.used_memory() for gpu in gpus)
        self.peak = 0  # bytes; of a GPU's memory, or of the process on CPU
        with log.open("w") as file:
            self.process = subprocess.Popen(
                line,
                cwd=ROOT,
                env={**os.environ, **visible, "HF_HUB_OFFLINE": "1"},
                stdout=file,
                stderr=file,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def wait(self) -> "Command":
        """Waits for its end; RowError if it fails."""
        self.wait_for(lambda: self.process.poll() is not None)
        if self.process.returncode:
            raise RowError(f"{self.name} failed with status {self.process.returncode}")
        return self

    def wait_for(self, ready: Callable[[], bool]) -> None:
        """Waits until `ready()`; RowError if the command ends before, or the time limit is reached."""
        while not ready():
            if self.process.poll() is not None and not ready():
                raise RowError(f"{self.name} ended early, with status {self.process.returncode}")
            if time.monotonic() > self.began + LIMIT:
                raise RowError(f"{self.name} was killed after {LIMIT} s")
            self._measure()
            time.sleep(0.2)

    def _measure(self) -> None:
        if self.gpus:
            self.peak = max(self.peak, sum(gpu.used_memory() for gpu in self.gpus) - self.before)
            return
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            self.peak = next(
                (int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), self.peak
            )

    def kill(self) -> None:
        """Kills it with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Lab:
    """Where the rows of one call run.

    Attributes:
        folder: of all rows.
        gpus: the GPUs to use; none means CPU.
        commands: of the current row, the last one last.
    """

    def __init__(self, folder: Path, gpus: list[GPU]) -> None:
        self.folder, self.gpus = folder, gpus
        self.commands: list[Command] = []

    def begin(self, row: str) -> None:
        """Creates the folder of a row."""
        self.row, self.commands = self.folder / row, []
        self.row.mkdir(parents=True)

    @contextlib.contextmanager
    def start(
        self,
        name: str,
        line: list[object],
        program: str = sys.executable,
        gpus: list[GPU] | None = None,
        row: Path | None = None,
    ) -> Iterator[Command]:
        """Starts `python LINE`, with its log in the row's folder; kills it at the end if it still runs.

        Args:
            name: of the command and its log.
            line: its arguments.
            program: to run instead of Python.
            gpus: to run on; by default the first one.
            row: folder of the log, if not the current row's.
        """
        gpus = self.gpus[:1] if gpus is None else gpus
        command = Command(name, [program, *map(str, line)], (row or self.row) / f"{name}.log", gpus)
        self.commands.append(command)
        try:
            yield command
        finally:
            command.kill()

    def run(self, name: str, line: list[object], **options) -> Command:
        """As `start`, to its end; RowError if it fails."""
        with self.start(name, line, **options) as command:
            return command.wait()

    @functools.cached_property
    def shared(self) -> Path:
        """A folder with a parity mixture, and `start`: a tiny Llama trained on it on CPU, in float32."""
        folder = self.folder / "start"
        if folder.exists():
            raise RowError(f"there is no model to start from, since an earlier row could not make it; see {folder}")
        folder.mkdir(parents=True)
        mixture = ["-m", "data_mix", "build", "recipes/parity/mixture.yaml", "--out", folder / "mixture"]
        self.run("mixture", [*mixture, "--set", "n_train=8192", "n_test=64"], gpus=[], row=folder)
        self.run("start", self.sft(folder / "start", mixture=folder / "mixture"), gpus=[], row=folder)
        return folder

    def sft(self, out: Path, mixture: Path | None = None) -> list[object]:
        """The arguments of the SFT that `start` comes from."""
        return ["recipes/sft.py", *words(mixture=mixture or self.shared / "mixture", output_dir=out), *SFT, *QUIET]

    def grpo(self, out: Path, **options: object) -> list[object]:
        """The arguments of GRPO of `start`, whose large steps show whether the weights reach the sampler.

        In bfloat16 on GPUs; in float32 on CPU, many of which are slow at bfloat16.
        """
        fields = {
            "mixture": self.shared / "mixture",
            "model_name_or_path": self.shared / "start",
            "output_dir": out,
            "max_steps": 4,
            "per_device_train_batch_size": 64,
            "learning_rate": 1e-2,
            "lr_scheduler_type": "constant",
            "bf16": str(bool(self.gpus)).lower(),
            "heldout_problems": 4,
        }
        return ["recipes/grpo.py", *words(**fields | options), *QUIET]


def losses(folder: Path) -> list[float]:
    """The loss of each step of a run."""
    return [entry["loss"] for entry in read_log(folder) if "loss" in entry]
