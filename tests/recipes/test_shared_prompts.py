"""A prompt that goes through the model once for several completions gives the ordinary pass's log-probs and gradient."""

import pytest
import torch
import trl
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM
from trl.trainer.utils import add_fused_lm_head

from recipes.training.trainers import packed_rows, shared_prompts
from tests.recipes.test_algorithms import COMPLETIONS, as_generated, make_trainer

MODELS = {
    "llama": {"num_key_value_heads": 2},
    "gpt2": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "mistral": {"num_key_value_heads": 2, "sliding_window": None},
}
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64, "vocab_size": 50}


@pytest.fixture(autouse=True)
def attention():
    """What a trainer does at its start; it changes nothing for rows without shared prompts."""
    packed_rows.register()


def make_model(model_type, attention="sdpa", **more):
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **SIZE, initializer_range=0.2, **MODELS[model_type] | more)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    return model.train()


def micro_batch(groups, columns):
    """Ids and mask of groups (tokens of the prompt, lengths of its completions), with TRL's padding."""
    draw = torch.Generator().manual_seed(1)
    rows = [(prompt, length, number) for number, (prompt, lengths) in enumerate(groups) for length in lengths]
    width = max(prompt for prompt, *_ in rows)
    ids = torch.randint(1, 50, (len(rows), width + columns), generator=draw)
    prompts = torch.randint(1, 50, (len(groups), width), generator=draw)
    mask = torch.zeros_like(ids)
    for row, (prompt, length, number) in enumerate(rows):
        ids[row, :width] = prompts[number]
        mask[row, width - prompt : width + length] = 1
    return ids * mask, mask


def ordinary(model, ids, mask, columns):
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :-columns] = -100
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    scored = model(input_ids=ids, attention_mask=mask, position_ids=positions, labels=labels, fused_lm_head=True)
    return scored.log_probs[:, -columns:], scored.entropy[:, -columns:]


def packed(model, ids, mask, columns):
    one = shared_prompts.pack(ids, mask, columns)
    scored = model(**one.inputs(model.config._attn_implementation), shift_labels=one.labels, fused_lm_head=True)
    return tuple(one.unpack(values[0, one.first :]) for values in (scored.log_probs, scored.entropy))


def gradient(model, scored):
    """Of a loss with a different weight for each log-prob and entropy."""
    model.zero_grad()
    weights = torch.randn(2, *scored[0].shape, generator=torch.Generator().manual_seed(2))
    sum((weight * values).sum() for weight, values in zip(weights, scored, strict=True)).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


def assert_same(model, ids, mask, columns):
    both = [score(model, ids, mask, columns) for score in (ordinary, packed)]
    torch.testing.assert_close(both[1], both[0], rtol=1e-4, atol=1e-5)
    wanted, found = (gradient(model, scored) for scored in both)
    for name, one in wanted.items():  # some are zero but for rounding, such as that of the keys' bias
        assert (found[name] - one).norm() <= 1e-5 * one.norm() + 1e-6, name


GROUPS = [(9, [5, 1, 7, 2]), (4, [3, 0, 3, 6]), (1, [2, 2, 7, 1])]


@pytest.mark.parametrize("model_type", MODELS)
def test_log_probs_entropies_and_gradient_equal_those_of_an_ordinary_pass(model_type):
    ids, mask = micro_batch(GROUPS, 7)
    assert shared_prompts.pack(ids, mask, 7).input_ids.shape == (1, 8 + 3 + 0 + 15 + 12 + 12)
    assert_same(make_model(model_type), ids, mask, 7)


def test_prompts_of_a_single_token_have_nothing_to_share():
    ids, mask = micro_batch([(1, [3, 2]), (1, [4])], 4)
    assert shared_prompts.pack(ids, mask, 4).first == 0
    assert_same(make_model("llama"), ids, mask, 4)


@pytest.mark.slow
@torch.no_grad()
def test_flex_attention_gives_the_same_log_probs(monkeypatch):
    """It is compiled, and has no backward pass on CPU."""
    monkeypatch.setattr(torch._dynamo.config, "disable", False)  # conftest.py disables compilation
    ids, mask = micro_batch(GROUPS, 7)
    wanted, found = (packed(make_model("llama", attention), ids, mask, 7) for attention in ("sdpa", "flex_attention"))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_lora_and_gradient_checkpointing_get_the_same_gradient():
    from peft import LoraConfig, get_peft_model

    ids, mask = micro_batch(GROUPS, 7)
    model = get_peft_model(make_model("llama"), LoraConfig(target_modules="all-linear", init_lora_weights=False))
    assert_same(model, ids, mask, 7)
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    assert_same(model, ids, mask, 7)


groups = st.lists(st.tuples(st.integers(1, 5), st.lists(st.integers(0, 6), min_size=1, max_size=4)), min_size=1, max_size=4)


@settings(deadline=None)
@given(groups.filter(lambda groups: any(any(lengths) for _, lengths in groups)))
def test_the_row_has_each_prompt_and_completion_once_and_no_padding(groups):
    ids, mask = micro_batch(groups, 6)
    one = shared_prompts.pack(ids, mask, 6)
    width = ids.shape[1] - 6
    prompts = {tuple(row[: width - 1][used[: width - 1].bool()].tolist()) for row, used in zip(ids, mask, strict=True)}
    assert one.first == sum(map(len, prompts))  # without the last token, which each completion has
    assert one.input_ids.shape[1] == one.first + sum(sum(lengths) for _, lengths in groups)
    assert one.unpack(one.labels[0, one.first :]).equal(ids[:, width:])
    assert (one.labels[0, : one.first] == -100).all()


def test_a_micro_batch_is_packed_only_where_that_is_cheaper(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path, "dr_grpo", lambda ids: 0.0)
    monkeypatch.setattr(type(trainer), "_hidden_size", 576)
    trainer.shares_prompts = True
    shared = micro_batch([(80, [96] * 8)], 96)
    packed = trainer._pack(*shared, 96)
    assert packed.input_ids.shape == (1, 79 + 8 * 96)
    assert packed.cost(576) < 0.65 * shared_prompts.cost(8, 176, 576)
    assert trainer._pack(*micro_batch([(80, [96])] * 8, 96), 96) is None  # eight prompts
    assert trainer._pack(*micro_batch([(4, [0, 0])], 3), 3) is None  # all truncated and masked
    trainer.shares_prompts = False
    assert trainer._pack(*shared, 96) is None


@pytest.mark.parametrize(
    ("model_type", "more", "reason"),
    [
        ("mistral", {"sliding_window": 8}, "a sliding window of 8 tokens"),
        ("llama", {"attn_implementation": "eager"}, "attn_implementation eager cannot do it (sdpa can)"),
        ("bloom", {"hidden_size": 32}, "bloom takes no positions"),
        ("gpt_oss", {"num_key_value_heads": 2, "head_dim": 8}, "not all layers of gpt_oss have full attention"),
    ],
)
def test_models_without_such_attention_are_named(model_type, more, reason):
    config = AutoConfig.for_model(model_type, **SIZE | more)
    with torch.device("meta"):
        assert reason in packed_rows.why_not(AutoModelForCausalLM.from_config(config), "sdpa")


def trained(tmp_path, monkeypatch, capsys, share=True, hook=None):
    """Weights after a step on three completions of a prompt, tokens per forward pass, and what was printed."""
    trainer = make_trainer(tmp_path, "dr_grpo", lambda ids: float(len(ids)))
    trainer.shares_prompts = None if share else False
    _, *generated = as_generated(list(COMPLETIONS))
    monkeypatch.setattr(trl.GRPOTrainer, "_generate", lambda *_: ([[2, 3, 2, 3, 4]] * len(COMPLETIONS), *generated))
    trainer.args.max_steps, tokens = 1, []
    count = lambda _, args, kwargs: tokens.append(kwargs["input_ids"].numel())  # noqa: E731
    trainer.model.register_forward_pre_hook(count, with_kwargs=True)
    if hook:
        trainer.model.register_forward_pre_hook(hook, with_kwargs=True)
    trainer.train()
    weights = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
    return weights, tokens, capsys.readouterr().out


def test_a_step_with_shared_prompts_runs_fewer_tokens(tmp_path, monkeypatch, capsys):
    _, ordinary, _ = trained(tmp_path, monkeypatch, capsys, share=False)
    _, shared, printed = trained(tmp_path, monkeypatch, capsys)
    assert ordinary == [3 * (5 + 4)]
    assert shared[-1] == 4 + 2 + 3 + 4 and len(shared) == 3  # two are for the comparison before the first step
    assert "not shared" not in printed


def test_prompts_are_not_shared_by_a_model_that_ignores_the_spans(tmp_path, monkeypatch, capsys):
    def ignore(_, args, kwargs):
        return args, {name: value for name, value in kwargs.items() if name != "spans"}

    ordinary, tokens, _ = trained(tmp_path, monkeypatch, capsys, share=False)
    found, found_tokens, printed = trained(tmp_path, monkeypatch, capsys, hook=ignore)
    assert printed.count("prompts are not shared between completions: log-probs would differ by ") == 1
    assert found_tokens[-1:] == tokens and found.equal(ordinary)
