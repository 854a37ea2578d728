"""Each algorithm's gradient on three completions against one computed by hand; dynamic sampling of zero-variance groups."""

import pytest
import torch
import trl
from datasets import Dataset
from transformers import AutoModelForCausalLM

from data_mix.errors import InputError
from recipes.training.models import character_tokenizer, make_config
from recipes.training.trainers.algorithms import ALGORITHMS, choose
from recipes.training.trainers.grpo import CotmixGRPOTrainer, compute_advantages

LIMIT = 5
COMPLETIONS = [[2, 1], [3, 2, 1], [2, 2, 3, 1]]  # ids of character_tokenizer("01="); 1 ends
REWARDS = [1.0, 0.0, 0.0]
MEAN, STD = 1 / 3, 3**-0.5  # of the rewards; sample std
# the weight of each completion's summed log-prob in the loss, by the formulas of the papers cited in algorithms.py
WEIGHTS = {
    "grpo": [(r - MEAN) / (STD + 1e-4) / n / 3 for r, n in zip(REWARDS, (2, 3, 4), strict=True)],
    "dr_grpo": [(r - MEAN) / (3 * LIMIT) for r in REWARDS],
    "dapo": [(r - MEAN) / (STD + 1e-4) / 9 for r in REWARDS],
    "reinforce": [(r - MEAN) / (3 * LIMIT) for r in REWARDS],  # the batch is one group
    "rloo": [1 / (3 * LIMIT), -0.5 / (3 * LIMIT), -0.5 / (3 * LIMIT)],
}


def make_trainer(tmp_path, name, rewards, generations=3, baseline=None, micro_batches=1):
    """A CotmixGRPOTrainer with a tiny random Llama; `rewards` maps completion ids to a reward."""
    torch.manual_seed(0)
    tokenizer = character_tokenizer("01=")
    fields = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    config = make_config({**fields, "num_attention_heads": 2, "max_position_embeddings": 32}, tokenizer)
    args = trl.GRPOConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=(6 if generations == 2 else 3) // micro_batches,
        gradient_accumulation_steps=micro_batches,
        num_generations=generations,
        max_completion_length=LIMIT,
        use_cpu=True,
        bf16=False,
        report_to="none",
        gradient_checkpointing=False,
    )
    algorithm = choose(name, baseline, args, ())

    def reward(completion_ids, **_):
        return [rewards(ids) for ids in completion_ids]

    data = Dataset.from_list([{"prompt": "01"}] * 6)
    model = AutoModelForCausalLM.from_config(config)
    return CotmixGRPOTrainer(
        algorithm=algorithm, model=model, args=args, reward_funcs=reward, train_dataset=data, processing_class=tokenizer
    )


def as_generated(completion_ids):
    texts = ["".join(map(str, ids)) for ids in completion_ids]
    return [[2, 3]] * len(texts), completion_ids, None, texts, None, {}, None, []


@pytest.mark.parametrize("name", ALGORITHMS)
def test_gradient_on_three_completions_matches_the_formula(tmp_path, monkeypatch, name):
    rewards = {tuple(ids): r for ids, r in zip(COMPLETIONS, REWARDS, strict=True)}
    trainer = make_trainer(tmp_path, name, lambda ids: rewards[tuple(ids)])
    monkeypatch.setattr(trl.GRPOTrainer, "_generate", lambda self, prompts: as_generated(list(COMPLETIONS)))
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    batch = trainer._generate_and_score_completions([{"prompt": "01"} for _ in COMPLETIONS])
    trainer._compute_loss(trainer.model, batch).backward()
    found = torch.cat([p.grad.flatten() for p in trainer.model.parameters()])

    trainer.model.zero_grad()
    loss = 0
    for ids, weight in zip(COMPLETIONS, WEIGHTS[name], strict=True):
        logits = trainer.model(torch.tensor([[2, 3, *ids]])).logits[0, 1:-1]
        loss = loss - weight * logits.log_softmax(-1).gather(1, torch.tensor(ids).unsqueeze(1)).sum()
    loss.backward()
    wanted = torch.cat([p.grad.flatten() for p in trainer.model.parameters()])
    assert wanted.norm() > 1e-4
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6)


def test_baselines_match_values_computed_by_hand():
    rewards = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    assert compute_advantages(rewards, 3, "batch").tolist() == pytest.approx([1 / 3, -2 / 3, -2 / 3, 1 / 3, 1 / 3, 1 / 3])
    assert compute_advantages(rewards, 3, "group").tolist() == pytest.approx([2 / 3, -1 / 3, -1 / 3, 0, 0, 0], abs=1e-6)
    assert compute_advantages(rewards, 3, "leave_one_out").tolist() == pytest.approx([1, -0.5, -0.5, 0, 0, 0], abs=1e-6)
    rewards[2:4] = torch.nan  # None from all reward functions
    assert compute_advantages(rewards, 3, "batch").tolist() == pytest.approx([0.25, -0.75, 0, 0, 0.25, 0.25])
    assert compute_advantages(rewards, 3, "leave_one_out").tolist() == pytest.approx([1, -1, 0, 0, 0, 0])


def test_dapo_resamples_zero_variance_groups_up_to_a_limit_and_counts_them(tmp_path, monkeypatch):
    """Three groups of two: the first has variance, the second gets it in the second resample, the third never."""
    equal, varied = [[2, 1], [2, 1]], [[3, 1], [2, 1]]
    draws = iter([[*varied, *equal, *equal], [*equal, *equal], [*varied, *equal], equal, equal])
    requested = []

    def generate(self, prompts):
        requested.append(len(prompts))
        return as_generated(list(next(draws)))

    trainer = make_trainer(tmp_path, "dapo", lambda ids: float(ids[0] == 3), generations=2)
    monkeypatch.setattr(trl.GRPOTrainer, "_generate", generate)
    trainer.model.train()
    batch = trainer._generate_and_score_completions([{"prompt": "01"} for _ in range(6)])
    assert requested == [6, 4, 4, 2]  # at most three resamples
    assert (batch["advantages"] != 0).tolist() == [True, True, True, True, False, False]
    assert batch["completion_ids"][:, 0].tolist() == [3, 2, 3, 2, 2, 2]
    assert trainer._metrics["train"]["resampled_groups"] == [5 / 3]
    assert trainer._metrics["train"]["frac_reward_zero_std"] == [pytest.approx(1 / 3)]


def test_generations_of_one_optimizer_step_are_resampled_with_different_problems(tmp_path, monkeypatch):
    requested = []

    def generate(self, prompts):
        requested.append(prompts)
        return as_generated([[2, 1]] * len(prompts))

    trainer = make_trainer(tmp_path, "dapo", lambda ids: 0.0, generations=2)
    trainer.args.gradient_accumulation_steps = 2
    trainer.train_dataset = Dataset.from_list([{"prompt": f"{i:b}"} for i in range(64)])
    monkeypatch.setattr(trl.GRPOTrainer, "_generate", generate)
    trainer.model.train()
    for trainer._step in (0, 1):
        trainer._generate_and_score_completions([{"prompt": "01"} for _ in range(6)])
    resampled = [prompts for prompts in requested if set(prompts) != {"01"}]
    assert len(resampled) == 6 and resampled[:3] != resampled[3:]


def test_fields_that_contradict_the_algorithm_are_refused(tmp_path):
    args = trl.GRPOConfig(output_dir=str(tmp_path), loss_type="grpo", use_cpu=True, bf16=False)
    with pytest.raises(InputError, match="algorithm dr_grpo sets loss_type to dr_grpo, but the config says grpo"):
        choose("dr_grpo", None, args, {"loss_type"})
    with pytest.raises(InputError, match="did you mean 'rloo'"):
        choose("rlo", None, args, ())
    with pytest.raises(InputError, match="its baseline is the group's mean"):
        choose("grpo", "batch", args, ())
    default = trl.GRPOConfig(output_dir=str(tmp_path), loss_type="dapo", use_cpu=True, bf16=False)
    with pytest.raises(InputError, match="but the config says dapo"):  # TRL's default, but set by the user
        choose("dr_grpo", None, default, {"loss_type"})
    assert choose("dr_grpo", None, default, ()) and default.loss_type == "dr_grpo"
