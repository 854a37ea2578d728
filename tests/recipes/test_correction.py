"""The importance-sampling correction computed in the training pass equals TRL's."""

import pytest
import torch
import trl

from recipes.training.trainers.correction import clipped_shares, clipped_tokens
from recipes.training.trainers.grpo import CotmixGRPOTrainer
from tests.recipes.test_algorithms import COMPLETIONS, REWARDS, as_generated, make_trainer

MODES = ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"]


def gradient(trainer, monkeypatch, on_policy):
    """Gradient, number of forward passes and logged metrics of one step on COMPLETIONS; the sampler's log-probs are made up."""
    monkeypatch.setattr(CotmixGRPOTrainer, "_is_on_policy", on_policy)
    sampled = [[-1.0 - 0.3 * i, *([-2.0] * (len(ids) - 2)), float("nan")] for i, ids in enumerate(COMPLETIONS)]
    prompts, ids, tools, texts, _, *rest = as_generated(list(COMPLETIONS))
    monkeypatch.setattr(trl.GRPOTrainer, "_generate", lambda self, _: (prompts, ids, tools, texts, sampled, *rest))
    passes = []
    hook = trainer.model.register_forward_hook(lambda *_: passes.append(1))
    trainer.model.zero_grad()
    trainer._buffered_inputs = None
    trainer._metrics["train"].clear()
    torch.manual_seed(0)
    for step in range(trainer.args.gradient_accumulation_steps):
        trainer._step = step
        batch = trainer._prepare_inputs([{"prompt": "01"} for _ in COMPLETIONS])
        trainer._compute_loss(trainer.model, batch).backward()
    hook.remove()
    logged = {name: value for name, value in trainer._metrics["train"].items() if name.startswith(("sampling/", "clipped/"))}
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters()]), len(passes), logged


@pytest.mark.parametrize("micro_batches", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_one_forward_pass_gives_the_gradient_and_metrics_of_trl(tmp_path, monkeypatch, mode, micro_batches):
    rewards = {tuple(ids): r for ids, r in zip(COMPLETIONS, REWARDS, strict=True)}
    trainer = make_trainer(tmp_path, "dr_grpo", lambda ids: rewards[tuple(ids)], micro_batches=micro_batches)
    trainer.use_vllm, trainer.vllm_importance_sampling_mode = True, mode
    trainer.vllm_importance_sampling_clip_min, trainer.vllm_importance_sampling_clip_max = 0.6, 1.2
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = micro_batches
    theirs, twice, wanted = gradient(trainer, monkeypatch, on_policy=False)
    ours, once, found = gradient(trainer, monkeypatch, on_policy=True)
    assert (twice, once) == (2 * micro_batches, micro_batches)
    torch.testing.assert_close(ours, theirs)
    assert wanted["clipped/longer"] != [0.0] and found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert found[name] == pytest.approx(values), name


@pytest.mark.parametrize("on_policy", [True, False])
def test_the_log_prob_gap_is_logged_without_the_correction(tmp_path, monkeypatch, on_policy):
    rewards = {tuple(ids): r for ids, r in zip(COMPLETIONS, REWARDS, strict=True)}
    trainer = make_trainer(tmp_path, "dr_grpo", lambda ids: rewards[tuple(ids)])
    trainer.use_vllm, trainer.current_gradient_accumulation_steps = True, 1
    trainer.model.train()
    corrected, _, wanted = gradient(trainer, monkeypatch, on_policy)
    trainer.vllm_importance_sampling_correction = False
    uncorrected, _, found = gradient(trainer, monkeypatch, on_policy)
    name = "sampling/sampling_logp_difference/mean"
    assert found[name] == pytest.approx(wanted[name]) and found[name][0] > 0.1
    assert not torch.allclose(uncorrected, corrected)


def test_clipped_tokens_are_counted_by_completion_length():
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    ratio = torch.tensor([[0.0, 1.0, 3.0, 1.1], [1.0, 1.0, 1.0, 1.0]])
    assert clipped_tokens(ratio, mask, 3.0).tolist() == [2, 0]
    assert clipped_tokens(torch.tensor([[0.0], [1.0]]), mask, 3.0).tolist() == [4, 0]
    lengths = mask.sum(dim=1)
    assert clipped_shares(torch.tensor([2, 0]), lengths) == {"clipped/longer": 0.5, "clipped/shorter": 0.0}
    assert clipped_shares(torch.tensor([4, 0]), lengths) == {"clipped/longer": 1.0, "clipped/shorter": 0.0}
