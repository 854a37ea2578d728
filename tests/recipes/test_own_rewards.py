"""Own reward functions in training: preflight, TRL's trainer, dynamic sampling, STaR's selection; a failing one stops a run."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
import trl
import yaml
from datasets import Dataset
from transformers import AutoModelForCausalLM

from data_mix.mapping import read_mapping
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build
from eval.generation.tokens import Completion
from recipes.training.checkpoints.atomic import AtomicCheckpoints, find_complete
from recipes.training.errors import TrainingError
from recipes.training.models import character_tokenizer, make_config
from recipes.training.preflight import checks
from recipes.training.preflight.__main__ import check_config
from recipes.training.preflight.environment import GIB, Environment
from recipes.training.star_rollouts import select
from recipes.training.tracking.heldout import judge
from recipes.training.trainers.algorithms import choose
from recipes.training.trainers.grpo import CotmixGRPOTrainer
from rewards.functions import make_reward_functions
from tests.conftest import figures

MINE = """
from pathlib import Path

MARKER = Path(__file__).with_name("fail")

async def length(completions, trainer_state, at=2, **kwargs):
    values = [len(text) / 10 if "0" in text else None for text in completions]
    if trainer_state.global_step == at and MARKER.exists():
        values[-1] = float("nan")
    return values

def has_one(completions, completion_ids, **kwargs):
    assert all(ids[-1] == 1 for ids in completion_ids)
    return [0.5 if "1" in text else -1 for text in completions]

def empty(completions, **kwargs):
    return [1 / len(text) for text in completions]

def gold(completions, **kwargs):
    return [float("inf") if len(text) > 1 else 0.0 for text in completions]
"""
END = 1
MODEL = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])  # its folder is added; other tests have a mine.py, too
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


def make_trainer(tmp_path, rewards, name="dr_grpo"):
    """A CotmixGRPOTrainer for three steps of two problems, three completions each, with a tiny random Llama."""
    torch.manual_seed(0)
    tokenizer = character_tokenizer("01=")
    args = trl.GRPOConfig(
        output_dir=str(tmp_path / "run"),
        per_device_train_batch_size=6,
        num_generations=3,
        max_completion_length=5,
        max_steps=3,
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        gradient_checkpointing=False,
    )
    meta = json.dumps({"style": "parity", "long": "01"})
    rows = [
        {"prompt": "01", "answer": "1", "source": "parity", "problem_id": f"p{i}", "meta": meta, "index": i} for i in range(6)
    ]
    trainer = CotmixGRPOTrainer(
        algorithm=choose(name, None, args, ()),
        model=AutoModelForCausalLM.from_config(make_config({**MODEL, "max_position_embeddings": 32}, tokenizer)),
        args=args,
        reward_funcs=make_reward_functions(rewards, [END], 5),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.add_callback(AtomicCheckpoints(trainer))
    return trainer


@pytest.mark.parametrize("algorithm", ["dr_grpo", "dapo", "reinforce"])
def test_a_failing_reward_stops_the_run_after_a_checkpoint(mine, tmp_path, algorithm):
    trainer = make_trainer(tmp_path, [f"{mine}:length", "answer"], algorithm)
    mine.with_name("fail").touch()
    with pytest.raises(TrainingError) as caught:
        trainer.train()
    assert "step 3: reward length returned nan for problem p" in str(caught.value) and "\n" not in str(caught.value)
    assert "checkpoint-2 is complete: correct the function, and the same command resumes the run" in str(caught.value)
    assert list(find_complete(str(tmp_path / "run"))) == [2]
    rewards = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
    assert all(reward == reward for reward in rewards)


def test_a_reward_that_fails_in_the_first_step_leaves_no_checkpoint(mine, tmp_path):
    trainer = make_trainer(tmp_path, [{"reward": f"{mine}:length", "at": 0}])
    mine.with_name("fail").touch()
    with pytest.raises(TrainingError, match="step 1: .*; no step is completed: correct the function"):
        trainer.train()
    assert not find_complete(str(tmp_path / "run"))


def test_dynamic_sampling_weighs_own_rewards_and_ignores_none(mine, tmp_path):
    trainer = make_trainer(tmp_path, ["answer", f"{mine}:length"], "dapo")
    trainer.reward_weights = torch.tensor([1.0, 10.0])
    meta = json.dumps({"style": "parity", "long": "01"})
    row = {"prompt": "01", "answer": "1", "source": "parity", "meta": meta}
    rows = [{**row, "problem_id": f"p{i // 3}"} for i in range(9)]
    texts = ["1", "1", "1", "0", "0", "1", "0", "00", "0"]  # sums: 1 1 1, 1 1 1 and 1 2 1; None for "1"
    ids = [[3 if c == "1" else 2 for c in text] + [END] for text in texts]
    assert trainer._zero_variance_groups(rows, ([], ids, None, texts, None, {}, None, [])) == [0, 3]
    assert not trainer._metrics["train"] and not trainer._pending_extra_logs


def test_star_keeps_what_every_reward_finds_positive(mine):
    tokenizer = character_tokenizer("01=")
    completions = [Completion("01", 2, False), Completion("1", 1, False), Completion("0", 1, False), Completion("01", 2, True)]
    row = {"prompt": "01", "answer": "1", "source": "parity", "problem_id": "p", "meta": {"style": "parity", "long": "01"}}
    rows = [row] * 3
    verdicts = judge(completions[:3], rows)

    def kept(*rewards):
        return select(rewards, completions[:3], rows, verdicts, tokenizer, 5, 1)

    assert kept("answer") == kept("answer", f"{mine}:has_one") == [True, True, False]
    assert kept("answer", f"{mine}:length") == [True, False, False]  # None is not positive
    assert kept(f"{mine}:length") == [True, False, True]
    assert select(["answer"], completions[3:], [row], judge(completions[3:], [row]), tokenizer, 5, 1) == [False]
    mine.with_name("fail").touch()
    with pytest.raises(TrainingError, match="round 3: reward length returned nan for problem p"):
        select([f"{mine}:length"], completions[:3], rows, verdicts, tokenizer, 5, 3)


@pytest.fixture
def config(mine, tmp_path):
    """Writes a config for a small parity mixture and model, and returns what the preflight checks find about its rewards."""
    raw = {"p_cot": 0.5, "n_train": 64, "n_test": 16, "sources": [{"task": "parity", "d": 8}]}
    build(parse_config(raw), str(tmp_path / "mixture"))
    tokenizer = character_tokenizer("01=")
    sizes = {"hidden_size": 32, "num_attention_heads": 1, "max_position_embeddings": 64}
    AutoModelForCausalLM.from_config(make_config(MODEL | sizes, tokenizer)).save_pretrained(tmp_path / "sft")
    tokenizer.save_pretrained(tmp_path / "sft")
    where = {
        "mixture": str(tmp_path / "mixture"),
        "model_name_or_path": str(tmp_path / "sft"),
        "output_dir": str(tmp_path / "out"),
    }

    def check(recipe, processes=1, **fields):
        base = f"recipes/parity/{recipe}.yaml"
        path = tmp_path / f"{recipe}.yaml"
        path.write_text(yaml.safe_dump({**read_mapping(base), **where, **fields}))
        found, *_ = check_config(str(path), Environment(processes, "none", 8 * GIB, False))
        return [str(finding) for finding in found if finding.field == "rewards"]

    return check


@pytest.mark.parametrize(
    ("recipe", "rewards", "message"),
    [
        ("grpo", ["answer", "{mine}:empty"], "reward empty raised ZeroDivisionError: division by zero ("),
        ("star", ["{mine}:gold"], "reward gold returned inf for problem parity"),
        ("grpo", [{"reward": "{mine}:length", "att": 1}], "has no parameter 'att'; did you mean 'at'?"),
        ("grpo", ["{mine}:nothing"], "has no function 'nothing'; it has length, has_one, empty, gold"),
        ("star", [{"reward": "answer", "weight": 2}], "a weight has no effect, because a completion is kept if"),
        ("star", ["brevity"], "brevity is not a verdict"),
    ],
)
def test_preflight_tries_the_rewards_on_the_mixture(config, mine, recipe, rewards, message):
    rewards = json.loads(json.dumps(rewards).replace("{mine}", str(mine)))
    [found] = config(recipe, rewards=rewards)
    assert found.startswith("rewards: ") and message in found and "\n" not in found


def test_preflight_accepts_own_rewards_and_refuses_groups_that_processes_share(config, mine):
    rewards = ["answer", {"reward": f"{mine}:length", "weight": 0.5}, "brevity"]
    assert config("grpo", rewards=rewards) == config("star", rewards=rewards[:1] + [f"{mine}:has_one"]) == []
    assert config("grpo", processes=2, rewards=rewards) == []
    split = SimpleNamespace(per_device_train_batch_size=12, steps_per_generation=1, num_generations=8)
    [found] = checks.check_groups(rewards, split, 2)
    assert "(12) is not a multiple of num_generations (8), which splits them over processes" in str(found)


@pytest.mark.slow
def test_a_run_whose_reward_failed_resumes_to_the_same_result(command, parity_run, mine, tmp_path):
    """On the command line, with vLLM and dynamic sampling; recipe.json keeps the mappings of a YAML, so the run is the same."""
    where = {"mixture": str(parity_run / "mixture"), "model_name_or_path": str(parity_run / "sft"), "max_steps": 4}
    where |= {"rewards": ["brevity", {"reward": f"{mine}:length", "weight": 0.5, "at": 2}], "algorithm": "dapo"}
    base = read_mapping("recipes/parity/grpo.yaml")
    (tmp_path / "run.yaml").write_text(
        yaml.safe_dump({**base, **where, "per_device_train_batch_size": 64, "report_to": "none"})
    )
    run = ["recipes/grpo.py", "--config", tmp_path / "run.yaml", "--heldout_problems", 8, "--output_dir"]
    command(*run, tmp_path / "whole")
    mine.with_name("fail").touch()
    failed = command(*run, tmp_path / "failed", check=False)
    [line] = [line for line in failed.stderr.splitlines() if "error: " in line]
    assert failed.returncode == 1 and "step 3: reward length returned nan" in line and "Traceback" not in failed.stderr
    mine.with_name("fail").unlink()
    assert "resuming after step 2" in command(*run, tmp_path / "failed").stdout
    assert figures(tmp_path / "failed") == figures(tmp_path / "whole")
    listed = ["--rewards", "answer", f"{mine}:length", "--max_steps", 1]
    command(*run, tmp_path / "listed", *listed)
    assert json.loads((tmp_path / "listed" / "recipe.json").read_text())["rewards"] == ["answer", f"{mine}:length"]
