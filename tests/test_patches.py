"""The names upstream that our patches and subclasses rely on: what needs attention when a library's version is raised."""

import inspect

import pytest


def test_trl_has_what_its_patches_replace():
    from trl.generation import vllm_generation
    from trl.trainer import utils

    assert hasattr(vllm_generation, "LLM")
    assert {"sync_weights", "_iter_named_params", "generate"} <= vars(vllm_generation.VLLMGeneration).keys()
    assert "load_weights([(name, param)])" in inspect.getsource(vllm_generation.VLLMGeneration.sync_weights)
    source = inspect.getsource(utils)
    assert source.count("_use_triton(") == 1 and "compact = _use_triton(" in source


@pytest.mark.parametrize(
    "name",
    [
        "_get_train_sampler",
        "_prepare_inputs",
        "_generate_and_score_completions",
        "_compute_loss",
        "_get_per_token_logps_and_entropies",
        "_calculate_rewards",
        "_generate",
    ],
)
def test_grpo_trainer_has_the_methods_that_policy_trainer_overrides(name):
    import trl

    from recipes.training.trainers.grpo import CotmixGRPOTrainer

    assert name in vars(CotmixGRPOTrainer)
    ours, theirs = (inspect.signature(getattr(one, name)).parameters for one in (CotmixGRPOTrainer, trl.GRPOTrainer))
    takes_anything = any(p.kind is p.VAR_POSITIONAL for p in ours.values())
    assert takes_anything or len(ours) == len(theirs)


@pytest.mark.parametrize("name", ["_buffered_inputs", "_step", "_logs", "_metrics", "_last_loaded_step"])
def test_grpo_trainer_has_the_state_that_we_read(name):
    import trl
    from transformers import Trainer

    assert f"self.{name}" in inspect.getsource(trl.GRPOTrainer) + inspect.getsource(Trainer)


def test_vllm_has_what_its_patches_replace():
    from vllm.v1.sample.ops import topk_topp_sampler as upstream
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    assert list(inspect.signature(upstream.TopKTopPSampler.forward_cpu).parameters) == [
        "self",
        "logits",
        "generators",
        "k",
        "p",
    ]
    assert hasattr(upstream, "apply_top_k_top_p")
    assert "weights_iterator" in inspect.signature(GPUModelRunner.reload_weights).parameters


def test_accelerate_still_asks_for_a_gpu_before_it_shards_with_fsdp():
    from accelerate import DistributedType, PartialState, state

    assert DistributedType.MULTI_GPU and PartialState._shared_state is not None
    assert "ACCELERATE_USE_FSDP" in inspect.getsource(state.AcceleratorState.__init__)


def test_sympy_still_evaluates_the_text_of_a_number(monkeypatch):
    import sympy
    from sympy.parsing import sympy_parser

    seen = []
    monkeypatch.setattr(sympy_parser, "eval_expr", lambda code, *_: seen.append(code) or sympy.Integer(12))
    assert sympy.Number("12") == 12 and seen == ["Integer (12 )"]
