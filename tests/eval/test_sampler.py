"""The sampler of transformers, which replaces vLLM's on CPU, draws from softmax(logits); its filters are vLLM's."""

import pytest
import torch

from eval.generation import sampler
from eval.generation.sampler import draw, make_filters
from eval.patches.vllm import draw_uniform


def test_draws_follow_the_softmax():
    torch.manual_seed(0)
    logits = torch.tensor([1.0, 0.0, -1.0, 2.0, -3.0])
    tokens = draw(logits.repeat(100_000, 1), torch.rand(100_000))
    shares = torch.bincount(tokens, minlength=5) / len(tokens)
    assert torch.allclose(shares, logits.softmax(0), atol=4 * 0.5 / 100_000**0.5)  # four standard errors


def test_improbable_tokens_of_a_large_vocabulary_keep_their_probability():
    """49,151 tokens of 4e-6 each and one of 0.8: a float32 sum would lose probability to rounding."""
    torch.manual_seed(0)
    logits = torch.zeros(49_152)
    logits[0] = torch.log(torch.tensor(4.0 * 49_151))
    tokens = torch.cat([draw(logits.repeat(50, 1), torch.rand(50)) for _ in range(400)])
    assert (tokens != 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert tokens[tokens != 0].float().mean().item() == pytest.approx(49_152 / 2, rel=0.03)


def test_an_excluded_token_is_never_drawn():
    torch.manual_seed(0)
    inf = float("inf")
    logits = torch.tensor([[-inf, 0.0, -inf, 0.0, -inf]]).repeat(10_000, 1)
    assert set(draw(logits, torch.rand(10_000)).tolist()) == {1, 3}


def test_a_row_with_its_own_generator_does_not_depend_on_the_batch():
    logits = torch.randn(8, 100, generator=torch.Generator().manual_seed(0))

    def token_of_row_5(rows):
        uniform = draw_uniform(len(rows), {rows.index(5): torch.Generator().manual_seed(7)})
        return draw(logits[rows], uniform)[rows.index(5)]

    assert token_of_row_5([5]) == token_of_row_5([0, 1, 5, 7]) == token_of_row_5(list(range(8)))


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 0.9), (-1, 0.5), (3, 1.0), (200, 1.0), (5, 0.7), (1, 0.01)])
def test_filters_are_those_of_vllm(top_k, top_p):
    from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p

    logits = torch.randn(50, 100, generator=torch.Generator().manual_seed(0)) * 3
    if top_p == 1:
        logits[:, 10:20] = logits[:, 20:30]  # ties, of which top-k keeps all
    k = torch.full((50,), min(top_k, 100)) if top_k > 0 else None
    p = torch.full((50,), top_p) if top_p < 1 else None
    assert make_filters(top_k, top_p, None)(None, logits).equal(apply_top_k_top_p(logits.clone(), k, p))


def test_min_p_comes_before_top_p():
    """Of 0.5, 0.3 and 0.2, min_p 0.5 leaves 0.625 and 0.375, and top_p 0.6 then only the first."""
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    kept = [(make_filters(0, top_p, min_p)(None, logits) > -torch.inf).sum().item() for top_p, min_p in ((0.6, 0), (0.6, 0.5))]
    assert kept == [2, 1]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_ended_completions_leave_the_batch_and_the_others_stay_the_same(llama, monkeypatch, temperature):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(llama["base"], dtype=torch.float64).eval()  # no rounding to tip a draw
    tokenizer = AutoTokenizer.from_pretrained(llama["base"], pad_token="<|finetune_right_pad_id|>")
    ends = frozenset({tokenizer.eos_token_id, *range(20)})  # about one token in twelve
    settings = {"temperature": temperature, "max_tokens": 100, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "stop_token_ids": ends}
    prompts = [[*range(30, 40 + n)] for n in range(24)]
    sizes, generate = [], model.generate

    def record(**inputs):
        sizes.append(len(inputs["input_ids"]))
        return generate(**inputs)

    monkeypatch.setattr(model, "generate", record)

    def run():
        sizes.clear()
        return dict(sampler.complete(model, tokenizer, prompts, range(24), settings, batch_size=16))

    found, rounds = run(), list(sizes)
    monkeypatch.setattr(sampler, "FIRST_ROUND", 1000)
    tokenizer.pad_token = None  # Llama's base models have none
    expected = run()
    assert sizes == [16, 8] and rounds[0] == 16 > rounds[1]
    assert {i: sample.ids for i, sample in found.items()} == {i: sample.ids for i, sample in expected.items()}
    for i, sample in found.items():
        assert sample.logps == pytest.approx(expected[i].logps, abs=1e-6)
        assert sample.ids[-1] in ends or len(sample.ids) == 100
        assert not ends & set(sample.ids[:-1])
