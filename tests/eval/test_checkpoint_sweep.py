"""`eval run --checkpoints`: one engine, the weights of each checkpoint."""

import shutil

from eval.model_folder import find_checkpoints
from eval.scoring.eval_folder import read_completions


def test_each_checkpoint_is_evaluated_with_its_own_weights(command, parity_run, tmp_path):
    from safetensors.torch import load_file, save_file

    run, out = tmp_path / "sft", tmp_path / "evals"
    for step in (5, 10):
        shutil.copytree(parity_run / "sft", run / f"checkpoint-{step}")
    path = run / "checkpoint-10" / "model.safetensors"
    weights = load_file(path)
    save_file({name: value * 1.5 if "mlp" in name else value for name, value in weights.items()}, path, {"format": "pt"})
    args = ["--mixture", parity_run / "mixture", "--samples", 2, "--temperature", 1.0]
    said = command("-m", "eval", "run", "--checkpoints", "--model", run, "--out", out, *args).stdout
    assert [line.split()[0] for line in said.splitlines()[-3:-1]] == ["5", "10"] and (out / "checkpoints.png").is_file()
    command("-m", "eval", "run", "--model", run / "checkpoint-10", "--out", tmp_path / "alone", *args)
    first, second, alone = (
        [row["completion"] for row in read_completions(str(folder))[0]]
        for folder in (out / "checkpoint-5", out / "checkpoint-10", tmp_path / "alone")
    )
    assert second == alone != first
    shutil.rmtree(out / "checkpoint-5")
    shutil.rmtree(run / "checkpoint-10")
    command("-m", "eval", "run", "--checkpoints", "--model", run, "--out", out, *args)
    assert [row["completion"] for row in read_completions(str(out / "checkpoint-5"))[0]] == first


def test_truncated_completions_of_an_early_checkpoint_do_not_stop_the_others(command, parity_run, tmp_path):
    for step in (5, 10):
        shutil.copytree(parity_run / "sft", tmp_path / "sft" / f"checkpoint-{step}")
    args = ["--mixture", parity_run / "mixture", "--problems", 4, "--max-tokens", 1, "--max-truncated", 0]
    done = command("-m", "eval", "run", "--checkpoints", "--model", tmp_path / "sft", "--out", tmp_path / "evals", *args)
    assert (tmp_path / "evals" / "checkpoint-10" / "metrics.json").is_file() and "truncated at 1 tokens" in done.stderr


def test_only_folders_named_checkpoint_n_are_checkpoints(tmp_path):
    for name in ("checkpoint-100", "checkpoint-20", "checkpoint-100-keep", "checkpoint-best", "checkpoint-020", "checkpoint-"):
        (tmp_path / name).mkdir()
    assert {step: path.name for step, path in find_checkpoints(str(tmp_path)).items()} == {
        20: "checkpoint-20",
        100: "checkpoint-100",
    }
