"""Batch scripts without Slurm: valid bash, the requested resources, the commands they run, and one-line errors."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_mix.errors import InputError
from launch import slurm
from launch.__main__ import main
from tests.conftest import ROOT

GRPO = ["--config", "recipes/gsm8k/llama/3b-8x80gb/grpo.yaml"]


def script(capsys, *arguments) -> str:
    """The script that `python -m launch slurm` prints, checked with `bash -n`."""
    assert main(["slurm", *map(str, arguments)]) == 0
    text = capsys.readouterr().out
    checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0 and not checked.stderr
    return text


# Stubs for Slurm's commands, to run a script here: nodes n1 and n2, both with the address 127.0.0.9.
SRUN = """while [[ $1 == -* ]]; do case $1 in --nodelist=*) node=${1#*=};; esac; shift; done
[ "$1" != hostname ] || { echo "$node"; exit; }
PATH=$STUBS:$PATH SLURM_PROCID=0 exec "$@"
"""
STUBS = {
    "srun": SRUN,
    "scontrol": "[ $1 = show ] && echo n1 n2\n",
    "getent": "echo 127.0.0.9 STREAM n2\n",
    "python": 'printf "%s\\0" "$@" > "$STUBS/arguments"; exit $STATUS\n',
}


def run_script(text: str, folder, status: int = 0, **stubs: str) -> tuple[subprocess.CompletedProcess, list[str]]:
    """Runs a script in `folder` with a `python` that exits with `status`; returns the result and python's arguments."""
    programs = folder / ".stubs"
    programs.mkdir(exist_ok=True)
    for name, body in (STUBS | stubs).items():
        (programs / name).write_text(f"#!/bin/bash\n{body}")
        (programs / name).chmod(0o755)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "job", "SLURM_JOB_NODELIST": "n[1-2]"}
    env = {"PATH": f"{programs}:/usr/bin:/bin", "STUBS": str(programs), "STATUS": str(status)} | slurm
    done = subprocess.run(["bash"], input=text, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)
    arguments = programs / "arguments"
    return done, arguments.read_text().split("\0")[:-1] if arguments.exists() else []


def test_two_nodes_with_colocated_engines(capsys):
    text = script(capsys, "recipes/grpo.py", *GRPO, "--nodes", 2, "--partition", "gpu", "--time", "4:00:00", "--seed", 3)
    for line in ("--nodes=2", "--gpus-per-node=8", "--exclusive", "--time=4:00:00", "--partition=gpu", "--requeue"):
        assert f"#SBATCH {line}\n" in text
    assert "#SBATCH --signal=B:USR1@300" in text
    assert "launch/accelerate/zero2.yaml --num_machines 2 --num_processes 16" in text
    assert "recipes/grpo.py --config recipes/gsm8k/llama/3b-8x80gb/grpo.yaml --seed 3" in text
    assert "vllm" not in text.split("set -u")[1]


def test_site_options(capsys, tmp_path):
    (tmp_path / "site.sh").write_text("module load cuda\nexport HF_HOME=/scratch/hf\n")
    site = ["--after", "12:13_4", "--sbatch=--account=abc", "--sbatch=--mem=100G", "--setup", tmp_path / "site.sh"]
    text = script(capsys, "recipes/grpo.py", *GRPO, *site)
    for line in ("--dependency=afterok:12:13_4", "--account=abc", "--mem=100G"):
        assert f"#SBATCH {line}\n" in text
    assert text.index("module load cuda\nexport HF_HOME=/scratch/hf\n") < text.index("set -u")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--after", "soon"], "--after soon: give the id of a job"),
        (["--sbatch", "account=abc"], "--sbatch account=abc: give an option of sbatch"),
        (["--sbatch=--account=a b"], "give an option of sbatch"),
        (["--setup", "no.sh"], "--setup no.sh: no such file"),
        (["--learnin_rate", "3"], "--learnin_rate: unknown field; did you mean 'learning_rate'?"),
        (["--account", "abc"], "--account: unknown field"),
        (["--mem", "100G"], "--mem: unknown field"),
    ],
)
def test_options_that_would_fail_in_the_queue_are_refused(capsys, options, words):
    assert main(["slurm", "recipes/grpo.py", *map(str, GRPO), *options]) == 2
    assert words in capsys.readouterr().err


def test_a_server_whose_gpus_do_not_divide_the_heads_is_refused(capsys, tmp_path):
    (tmp_path / "config.json").write_text('{"num_attention_heads": 12}')
    model = ["--model_name_or_path", str(tmp_path)]
    assert main(["slurm", "recipes/grpo.py", *map(str, GRPO), *model, "--vllm-nodes", "1"]) == 2
    assert "--gpus-per-node is 8, which does not divide the model's 12 attention heads" in capsys.readouterr().err


def test_jobs_run_where_they_are_submitted_and_a_rejected_one_leaves_nothing(capsys, tmp_path, monkeypatch):
    (tmp_path / "my.yaml").write_text((ROOT / "recipes" / "parity" / "sft.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    text = script(capsys, "recipes/sft.py", "--config", "my.yaml", "--gpus-per-node", 0)
    assert f'#SBATCH --chdir="{tmp_path}"' in text and f"{ROOT}/recipes/sft.py --config my.yaml" in text
    monkeypatch.setenv("PATH", str(tmp_path))  # without sbatch
    assert main(["slurm", "recipes/sft.py", "--config", "my.yaml", "--gpus-per-node", "0", "--submit"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["my.yaml"]


def test_a_vllm_server_on_a_separate_node(capsys):
    text = script(capsys, "recipes/grpo.py", *GRPO, "--nodes", 2, "--vllm-nodes", 1, "--gpus-per-node", 4)
    assert "#SBATCH --nodes=3\n" in text and "--num_processes 8" in text
    # the same fields for both
    assert "vllm -m launch serve recipes/gsm8k/llama/3b-8x80gb/grpo.yaml --recipe grpo --vllm_mode server &" in text
    assert text.index("/health") < text.index("accelerate.commands.launch")
    assert "--vllm_mode server" in text and "--vllm_server_base_url" in text


def test_a_vllm_server_on_two_nodes(capsys):
    text = script(capsys, "recipes/grpo.py", *GRPO, "--vllm-nodes", 2)
    assert "--nnodes 2 --node-rank $SLURM_PROCID" in text and "starting it again" not in text


def test_the_server_listens_only_on_its_node_s_own_address(capsys, tmp_path):
    text = script(capsys, "recipes/grpo.py", *GRPO, "--vllm-nodes", 1)
    done, arguments = run_script(text, tmp_path)
    assert arguments[arguments.index("--host") + 1] == "127.0.0.9" and "0.0.0.0" not in text
    assert "vLLM exited before it answered http://127.0.0.9:20022/health" in done.stdout
    done, _ = run_script(text, tmp_path, getent="exit 2\n")
    assert done.returncode == 1 and "the hostname of the vLLM node, n2, has no IPv4 address" in done.stdout


def test_servers_that_load_files_are_one_per_node_and_start_again(capsys):
    text = script(capsys, "recipes/grpo.py", *GRPO, "--vllm-nodes", 2, "--gpus-per-node", 0)
    assert "--nnodes" not in text and "has exited: starting it again" in text


def test_only_grpo_has_a_field_for_the_port_of_the_nccl_group(capsys):
    star = ("recipes/star.py", "--config", "recipes/gsm8k/llama/3b-8x80gb/star.yaml")
    assert "--vllm_group_port" in script(capsys, "recipes/grpo.py", *GRPO, "--vllm-nodes", 1)
    assert "--vllm_group_port" not in script(capsys, *star, "--vllm-nodes", 1)


def test_an_ablation_is_an_array_with_one_task_per_cell(capsys):
    text = script(capsys, "--array-over", "recipes/parity/threshold.yaml", "--max-parallel", 4, "--gpus-per-node", 1)
    assert "#SBATCH --array=0-17%4\n" in text
    assert "-m launch ablate recipes/parity/threshold.yaml --cell $SLURM_ARRAY_TASK_ID" in text


def test_a_dry_run_of_an_array_prints_its_script(capsys):
    assert main(["ablate", "recipes/parity/threshold.yaml", "--slurm", "--dry-run"]) == 0
    assert "#SBATCH --array=0-17\n" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["ablate", "recipes/parity/threshold.yaml", "--slurm", "--jobs", "2"])
    assert "omit --cell and --jobs" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "signal"), [(75, "kill -USR1 $PPID\n"), (137, "")])
def test_if_requeueing_fails_the_job_exits_with_the_run_s_status(capsys, tmp_path, status, signal):
    text = script(capsys, "recipes/sft.py", "--gpus-per-node", 0)
    refuses = "[ $1 = show ] && { echo n1; exit; }; exit 1\n"
    done, _ = run_script(text, tmp_path, status, scontrol=refuses, srun=signal + STUBS["srun"], squeue="")
    assert done.returncode == status and "error: Slurm did not requeue the job" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--output_dir=other/run"],
        ["--output-dir", "other/run"],
        ["--packing", "--output_dir", "other/run"],
        ["--lora_target_modules", "q_proj", "v_proj", "--output_dir", "other/run", "--packing"],
    ],
)
def test_arguments_are_parsed_like_the_recipe_s(capsys, arguments):
    text = script(capsys, "recipes/sft.py", *arguments)
    assert "log=other/slurm/" in text


def test_the_server_uses_the_config_s_model_in_any_option_spelling(capsys):
    text = script(capsys, "recipes/grpo.py", "--config=recipes/gsm8k/llama/3b-8x80gb/grpo.yaml", "--vllm-nodes", 1)
    assert "serve recipes/gsm8k/llama/3b-8x80gb/grpo.yaml --recipe grpo --vllm_mode" in text
    model = ["--model-name-or-path=other model", "--bf16=false", "--dtype=float32"]
    assert "grpo.yaml --recipe grpo --model-name-or-path 'other model' --bf16 false --dtype float32 --vllm_mode" in script(
        capsys, "recipes/grpo.py", *GRPO, *model, "--vllm-nodes", 1
    )


def test_reading_a_config_does_not_change_the_environment(capsys, tmp_path):
    fields = yaml.safe_load((ROOT / "recipes" / "parity" / "sft.yaml").read_text())
    (tmp_path / "sft.yaml").write_text(yaml.safe_dump(fields | {"env": {"OMP_NUM_THREADS": "99"}, "output_dir": "mine/run"}))
    before = dict(os.environ)
    assert "log=mine/slurm/" in script(capsys, "recipes/sft.py", "--config", tmp_path / "sft.yaml")
    assert dict(os.environ) == before


BAD = ["$(touch marker)", "`touch marker`", "; touch marker;", "\n#SBATCH --uid=0\n", "\ntouch marker\n", "{{ root }}"]
ODD = ["'", '"', "\\", "%j", "%", " ", "#", "$HOME", "!", "*", "~", "-", "/", "x", "="]
TEXT = st.lists(st.sampled_from(BAD + ODD) | st.characters()).map("".join)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(folder=TEXT, name=TEXT)
def test_no_value_breaks_out_of_its_place_in_the_script(tmp_path, folder, name):
    run = Path("runs") / f"x{folder}"
    command = ["recipes/sft.py", "--output_dir", str(run / "sft"), f"--run_name={name}", name]
    made_by = ["python", "-m", "launch", "slurm", *command]
    launcher = ["-m", "accelerate", "--config_file", f"/{folder}/zero2.yaml"]  # of a checkout in such a folder
    try:
        job = slurm.SlurmJob(slurm.Resources(), "sft", made_by, run / "slurm", command, launcher)
    except InputError as error:
        assert str(error).isprintable()
        assert not (folder + name).isprintable() or "\\" in folder
        return
    assert (folder + name).isprintable()
    text = job.render()
    assert sum(line.startswith("#SBATCH") for line in text.split("\n")) == 11
    done, words = run_script(text, tmp_path)
    assert done.returncode == 0 and not done.stderr
    assert words[words.index("recipes/sft.py") :] == command and words[: len(launcher)] == launcher
    assert [path.name for path in tmp_path.iterdir()] == [".stubs"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output_dir", "a\n#SBATCH --uid=0"], "--output_dir 'a\\n#SBATCH --uid=0' has a control character"),
        (["--config", "a\nb"], "--config 'a\\nb' has a control character"),
        (["--x\ny=z"], "argument '--x\\ny=z' has a control character"),
        (["--run_name=a\ttouch x"], "'--run_name=a\\ttouch x' has a control character"),
        (["--partition", "a\n#SBATCH"], "--partition 'a\\n#SBATCH' has a control character"),
        (["--partition", "a b"], "--partition a b: give partition names"),
        (["--time", "1:00\n"], "--time '1:00\\n' has a control character"),
        (["--run_name", "a\n"], "--run_name 'a\\n' has a control character"),
        (["--output_dir", "a\\b/run"], "has a backslash"),
        (["--hub_token", "SECRET"], "set HF_TOKEN in the environment instead"),
        (["--hub-token=SECRET"], "set HF_TOKEN in the environment instead"),
        (["--model_init_kwargs", '{"token": "hf_SECRETSECRETSECRETSECRET"}'], "set HF_TOKEN in the environment instead"),
        (["--output_dri=SECRET"], "did you mean 'output_dir'?"),
        (["--max_steps", "many"], "invalid int value: 'many'"),
    ],
)
def test_unsafe_arguments_are_refused(capsys, arguments, message):
    test_invalid_input_is_a_one_line_error(capsys, ["recipes/sft.py", *arguments], message)


def test_unsafe_paths_in_files_are_refused(capsys, tmp_path):
    fields = yaml.safe_load((ROOT / "recipes" / "parity" / "sft.yaml").read_text())
    (tmp_path / "sft.yaml").write_text(yaml.safe_dump(fields | {"output_dir": "a\ntouch marker"}))
    arguments = ["recipes/sft.py", "--config", str(tmp_path / "sft.yaml")]
    test_invalid_input_is_a_one_line_error(capsys, arguments, "output_dir 'a\\ntouch")
    ablation = yaml.safe_load((ROOT / "recipes" / "parity" / "threshold.yaml").read_text())
    for stage in ablation["stages"].values():
        stage["config"] = str(ROOT / "recipes" / "parity" / stage["config"])
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(ablation | {"out": "a\ntouch marker"}))
    arguments = ["--array-over", str(tmp_path / "grid.yaml")]
    test_invalid_input_is_a_one_line_error(capsys, arguments, "out 'a\\ntouch marker' has a control")


@pytest.mark.parametrize(
    ("time", "seconds"), [("90", 5400), ("90:30", 5430), ("4:00:00", 14400), ("1-12", 129600), ("2-00:30:00", 174600)]
)
def test_time_limits_are_parsed_like_slurm_s(time, seconds):
    assert slurm.Resources(time=time).seconds() == seconds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recipes/dpo.py"], "choose from recipes/sft.py"),
        (["recipes/grpo.py", "--config", "no.yaml"], "no such file"),
        (["recipes/grpo.py", "--time", "soon"], "--time soon"),
        (["recipes/grpo.py", "--nodes", "0"], "--nodes is 0"),
        (["recipes/grpo.py", "--accelerate", "zero4"], "did you mean 'zero3'?"),
        (["recipes/star.py", "--accelerate", "zero3"], "use ddp"),
        (["recipes/sft.py", "--vllm-nodes", "1"], "has no rollouts"),
        (["recipes/grpo.py", "--vllm-nodes", "1", "--gpus-per-node", "0", "--weight_push", "nccl"], "needs GPUs"),
        (["recipes/star.py", "--array-over", "recipes/parity/threshold.yaml"], "not a stage"),
        (["--array-over", "recipes/parity/threshold.yaml", "--nodes", "2"], "one node"),
        (["--array-over", "recipes/parity/threshold.yaml", "--max-parallel", "0"], "at least 1"),
        ([], "no recipe; give one"),
    ],
)
def test_invalid_input_is_a_one_line_error(capsys, arguments, message):
    assert main(["slurm", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1 and message in output.err and "SECRET" not in output.err
