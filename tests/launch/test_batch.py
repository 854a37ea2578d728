"""Batch scripts as they are printed: valid bash, what they ask of Slurm, and wrong input as one line."""

import subprocess

import pytest

from data_mix.errors import InputError
from launch import slurm
from launch.__main__ import main

GRPO = ["--config", "recipes/gsm8k/llama-3.2-3b/grpo.yaml"]


def script(capsys, *arguments) -> str:
    """What `python -m launch slurm` prints; bash reads it without complaint."""
    assert main(["slurm", *map(str, arguments)]) == 0
    text = capsys.readouterr().out
    checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0 and not checked.stderr
    return text


def test_two_nodes_with_the_engine_beside_the_trainer(capsys):
    text = script(capsys, "recipes/grpo.py", *GRPO, "--nodes", 2, "--partition", "gpu", "--time", "4:00:00", "--seed", 3)
    for line in ("--nodes=2", "--gpus-per-node=8", "--exclusive", "--time=4:00:00", "--partition=gpu", "--requeue"):
        assert f"#SBATCH {line}\n" in text
    assert "#SBATCH --signal=B:USR1@300" in text
    assert "launch/accelerate/zero2.yaml --num_machines 2 --num_processes 16" in text
    assert "recipes/grpo.py --config recipes/gsm8k/llama-3.2-3b/grpo.yaml --seed 3" in text
    assert "vllm" not in text.split("set -u")[1]


def test_a_server_on_a_node_of_its_own(capsys):
    text = script(capsys, "recipes/grpo.py", *GRPO, "--nodes", 2, "--vllm-nodes", 1, "--gpus-per-node", 4)
    assert "#SBATCH --nodes=3\n" in text and "--num_processes 8" in text
    assert "serve runs/gsm8k-3b/sft" in text and "--tensor-parallel-size 4" in text and "--max-model-len 1024" in text
    assert "--dtype bfloat16" in text and "VLLM_SERVER_DEV_MODE=1" in text  # what the trainer computes in
    assert text.index("/health") < text.index("accelerate.commands.launch")
    assert "--vllm_mode server" in text and "--vllm_server_base_url" in text


def test_a_server_over_two_nodes(capsys):
    text = script(capsys, "recipes/grpo.py", *GRPO, "--vllm-nodes", 2)
    assert "--pipeline-parallel-size 2 --nnodes 2" in text and "--node-rank $SLURM_PROCID" in text


def test_the_server_s_flags_are_vllm_s(capsys):
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    fields = slurm.config_fields("grpo", [*GRPO])
    command = slurm.serve_command(fields, slurm.Cluster(vllm_nodes=2))
    args = make_arg_parser(FlexibleArgumentParser()).parse_args([*command[2:], "--node-rank", "1", "--headless"])
    assert args.weight_transfer_config.backend == "nccl" and args.nnodes == 2
    assert args.logprobs_mode == "processed_logprobs" and args.max_logprobs == -1


def test_an_ablation_is_an_array_with_a_task_a_cell(capsys):
    text = script(capsys, "--array-over", "recipes/parity/threshold.yaml", "--max-parallel", 4, "--gpus-per-node", 1)
    assert "#SBATCH --array=0-17%4\n" in text
    assert "-m launch ablate recipes/parity/threshold.yaml --cell $SLURM_ARRAY_TASK_ID" in text


@pytest.mark.parametrize(
    ("time", "seconds"), [("90", 5400), ("90:30", 5430), ("4:00:00", 14400), ("1-12", 129600), ("2-00:30:00", 174600)]
)
def test_time_limits_are_read_as_slurm_reads_them(time, seconds):
    assert slurm.Cluster(time=time).seconds() == seconds


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["recipes/dpo.py"], "there are recipes/sft.py"),
        (["recipes/grpo.py", "--config", "no.yaml"], "no such file"),
        (["recipes/grpo.py", "--time", "soon"], "--time soon"),
        (["recipes/grpo.py", "--nodes", "0"], "--nodes is 0"),
        (["recipes/grpo.py", "--accelerate", "zero4"], "did you mean 'zero3'?"),
        (["recipes/star.py", "--accelerate", "zero3"], "use ddp"),
        (["recipes/sft.py", "--vllm-nodes", "1"], "no vLLM server mode"),
        (["recipes/grpo.py", "--vllm-nodes", "1", "--gpus-per-node", "0"], "needs GPUs"),
        (["recipes/star.py", "--array-over", "recipes/parity/threshold.yaml"], "not a stage"),
        (["--array-over", "recipes/parity/threshold.yaml", "--nodes", "2"], "one node"),
        (["--array-over", "recipes/parity/threshold.yaml", "--max-parallel", "0"], "at least 1"),
        ([], "give a recipe"),
    ],
)
def test_wrong_input_is_one_line(capsys, arguments, says):
    assert main(["slurm", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and says in said.err


def test_without_slurm_nothing_is_submitted(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["slurm", "recipes/sft.py", "--output_dir", str(tmp_path / "a" / "run"), "--submit"]) == 2
    assert "sbatch is not on this machine" in capsys.readouterr().err


def test_a_server_needs_to_know_its_longest_sequence():
    with pytest.raises(InputError, match="vllm_max_model_length"):
        slurm.serve_command({"model_name_or_path": "x"}, slurm.Cluster(vllm_nodes=1))
