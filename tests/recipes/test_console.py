"""The console: a summary, lines of at most 100 characters, and the held-out results before and after."""

import json

import pytest

from recipes.training.tracking import console
from tests.conftest import read_log

HELDOUT = {f"heldout/{kind}/{name}": 0.5 for kind in ("greedy", "sampled") for name in ("accuracy", "p_long", "length/median")}


@pytest.mark.parametrize("columns", [console.SFT, console.RL, console.STAR])
def test_lines_fit_a_terminal_of_100_columns(columns, capsys):
    table = console.Table("step", columns)
    large = {
        key: 12345678 if key == "num_tokens" else 1234.5 if "length" in key or "time" in key else 1.0 for _, key, _ in columns
    }
    table.write(10_000, 10_000, large | HELDOUT, "12:34:56")
    header, row, heldout = capsys.readouterr().out.splitlines()
    assert len(header) == len(row) <= 100 and len(heldout) <= 100
    assert [heading for heading, *_ in columns if heading not in header] == []


def test_the_header_is_repeated_and_missing_metrics_are_dashes(capsys):
    table = console.Table("round", console.STAR)
    for number in range(26):
        table.write(number, 26, {"kept": 0.25})
    lines = capsys.readouterr().out.splitlines()
    assert [i for i, line in enumerate(lines) if line.split()[0] == "round"] == [0, 26]
    assert lines[1].split() == ["0/26", "0.250", "-", "-", "-", "-", "-", "-"]


def test_the_end_shows_held_out_results_before_and_after(tmp_path, capsys):
    logged = [{"step": 0, **HELDOUT}, {"step": 1, "loss": 1.0}, {"step": 9, **HELDOUT, "heldout/greedy/accuracy": 1.0}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in logged))
    console.print_end(str(tmp_path), 128, "next command")
    greedy, sampled, saved = capsys.readouterr().out.splitlines()
    assert greedy == "held-out greedy   accuracy 0.500 [0.415, 0.585] -> 1.000 [0.971, 1.000], median length 0.5 -> 0.5"
    assert sampled.startswith("held-out sampled  accuracy 0.500 [") and saved == f"{tmp_path}: saved; next `next command`"


def test_output_of_a_batch_job_is_a_summary_and_a_line_per_entry(command, parity_run, tmp_path):
    where = ["--mixture", parity_run / "mixture", "--output_dir", tmp_path / "sft", "--report_to", "none"]
    size = ["--max_steps", 3, "--logging_steps", 1, "--per_device_train_batch_size", 16, "--heldout_problems", 0]
    done = command("recipes/sft.py", *where, *size, fresh=True)
    lines = done.stdout.splitlines()
    summary = ["mixture", "model", "batch", "training", "processes", "output", "follow", "step", "1/3", "2/3", "3/3"]
    assert [line.split()[0] for line in lines] == [*summary, f"{tmp_path / 'sft'}:"]
    assert "\r" not in done.stdout + done.stderr and "Warning" not in done.stderr
    assert not any("heldout/greedy/accuracy" in entry for entry in read_log(tmp_path / "sft"))
