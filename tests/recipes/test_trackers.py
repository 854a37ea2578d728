"""TensorBoard, Weights & Biases and Trackio get the metric names of log.jsonl, with transformers' prefix `train/`."""

import pytest
from transformers import TrainerControl, TrainerState
from transformers.integrations import TensorBoardCallback, TrackioCallback, WandbCallback
from trl import SFTConfig

from tests.conftest import read_log


class Recorder:
    """Stands for the tracker's client: keeps the names that it is given."""

    def __init__(self) -> None:
        self.names = set()

    def log(self, metrics) -> None:
        self.names |= set(metrics)

    def add_scalar(self, name, value, step) -> None:
        self.names.add(name)

    def flush(self) -> None:
        """Nothing to write."""


@pytest.mark.parametrize(
    ("callback", "client"), [(TensorBoardCallback, "tb_writer"), (WandbCallback, "_wandb"), (TrackioCallback, "_trackio")]
)
def test_trackers_get_the_names_of_log_jsonl(parity_run, tmp_path, callback, client):
    tracker, recorder = callback.__new__(callback), Recorder()  # without its constructor, which needs the package
    vars(tracker).update({client: recorder, "_initialized": True})
    state = TrainerState(is_world_process_zero=True)
    args = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none")
    names = set()
    for entry in read_log(parity_run / "sft"):
        logs = {name: value for name, value in entry.items() if name not in ("step", "seconds")}
        if "train_loss" in logs:  # the summary at the end, which these two keep elsewhere
            continue
        tracker.on_log(args, state, TrainerControl(), logs=logs)
        names |= {f"train/{name}" for name in logs}
    assert {"train/heldout/greedy/accuracy", "train/loss"} <= names == recorder.names - {"train/global_step"}
