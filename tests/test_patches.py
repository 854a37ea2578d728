"""The upstream names that our patches and subclasses rely on: what needs attention after raising a library's version."""

import ast
import importlib
import inspect
from functools import reduce

import pytest

from tests.conftest import ROOT

# patch, upstream object (module:attribute), text that its source must contain
UPSTREAM = [
    ("trl.prepare_engine", "trl.generation.vllm_generation:VLLMGeneration._init_vllm", "LLM("),
    ("trl.prepare_engine", "trl.generation.vllm_generation:VLLMGeneration._init_vllm", "ensure_master_addr_port()"),
    ("trl.reload_weights", "trl.generation.vllm_generation:VLLMGeneration.sync_weights", "load_weights([(name, param)])"),
    ("trl.reload_weights", "trl.generation.vllm_generation:VLLMGeneration._iter_named_params", ""),
    ("trl.reload_weights", "vllm.v1.worker.gpu_model_runner:GPUModelRunner.reload_weights", "weights_iterator"),
    ("trl.generate_with", "trl.trainer.grpo_trainer", "self.vllm_generation = VLLMGeneration("),
    ("trl.send_token", "trl.generation.vllm_client:VLLMClient._get", "self.session.get(url"),
    ("trl.send_token", "trl.generation.vllm_client:VLLMClient.__init__", 'self._get(f"{self.base_url}/v1/models")'),
    ("lm_head.score_on_cpu", "trl.trainer.utils", "compact = _use_triton(hidden_states.device)"),
    ("lm_head.score_on_cpu", "trl.trainer.utils", "= _ChunkedLogProbFunction.apply("),
    ("lm_head.score_on_cpu", "trl.kernels.chunked_logprob:ChunkedLogProbFunction.forward", "TOKEN_CHUNK_SIZE"),
    ("lm_head.score_on_cpu", "trl.kernels.chunked_logprob:ChunkedLogProbFunction.backward", "else _backward_tile\n"),
    ("lm_head.add_product", "trl.kernels.chunked_logprob:ChunkedLogProbFunction.backward", "_addmm_fp32(grad_weight["),
    ("lm_head.replace_by_gradient", "trl.kernels.chunked_logprob:_backward_tile", "tile.copy_(grad * logit_scale)"),
    ("trl.sync_weights_once_per_step", "trl:GRPOTrainer._generate_single_turn", "self._last_loaded_step"),
    ("trl.add_metrics", "trl:GRPOTrainer.log", "self._metrics[mode]"),
    ("trl.add_metrics", "trl:SFTTrainer.log", "self._metrics[mode]"),
    ("accelerate.shard_on_cpu", "accelerate.state:AcceleratorState.__init__", "ACCELERATE_USE_FSDP"),
    ("accelerate.shard_on_cpu", "accelerate.state:PartialState", "_shared_state"),
    ("accelerate.shard_on_cpu", "accelerate:DistributedType", "MULTI_GPU"),
    ("torch.exit_process", "torch.distributed:destroy_process_group", ""),
    ("peft.skip_import_for_help", "transformers.trainer", "from peft import"),
    # of the module: other tests have replaced the method by then
    (
        "vllm.sample_by_inversion",
        "vllm.v1.sample.ops.topk_topp_sampler",
        "    def forward_cpu(\n        self,\n        logits: ",
    ),
    ("vllm.sample_by_inversion", "vllm.v1.sample.ops.topk_topp_sampler:apply_top_k_top_p", ""),
    (
        "vllm.keep_sigterm_handler",
        "vllm.entrypoints.launchers.api_server.entry:run_server",
        "signal.signal(signal.SIGTERM, _interrupt_init)",
    ),
    ("vllm.find_version", "vllm.entrypoints.cli.main:main", 'version=importlib.metadata.version("vllm")'),
    ("sympy.convert_numbers", "sympy.parsing.sympy_parser:eval_expr", ""),
    (
        "generation.TransformersSource",
        "trl.generation.vllm_generation:VLLMGeneration.__init__",
        "self.max_num_seqs = max_num_seqs",
    ),
    ("generation.EngineSource", "trl.generation.vllm_generation:VLLMGeneration.generate", "self.temperature"),
    ("generation.complete_with", "trl.models:unwrap_model_for_generation", ""),
    ("checkpoints.final.save_merged", "trl.distributed:DistributedBackend.gather_params", ""),
    ("trainers.sft._total_train_tokens", "trl:SFTTrainer", 'self._metrics[mode]["num_tokens"] = [self._total_train_tokens]'),
    ("trainers.finite._get_grad_norm", "transformers:Trainer", "self._get_grad_norm(model, grad_norm=grad_norm)"),
    (
        "eval.generation.sampler",
        "vllm.v1.sample.logits_processor.builtin:MinPLogitsProcessor.apply",
        "probability_values < adjusted",
    ),
    ("trainers.grpo._prepare_inputs", "trl:GRPOTrainer._prepare_inputs", "self._buffered_inputs[self._step % self.args"),
    ("trainers.grpo._zero_variance_groups", "trl:GRPOTrainer._calculate_rewards", "= self._log_metric\n"),
    ("trainers.grpo._zero_variance_groups", "trl:GRPOTrainer._calculate_rewards", "= self._log_completion_extra\n"),
    ("trainers.reward_failures", "transformers:Trainer._save_checkpoint", "self._save_rng_state(output_dir)"),
    ("trainers.grpo._generate_and_score_completions", "trl:GRPOTrainer._generate_and_score_completions", 'self._logs["advan'),
]
OVERRIDDEN = [
    ("grpo:CotmixGRPOTrainer", "_get_train_sampler"),
    ("grpo:CotmixGRPOTrainer", "_generate_and_score_completions"),
    ("grpo:CotmixGRPOTrainer", "_calculate_rewards"),
    ("grpo:CotmixGRPOTrainer", "_generate"),
    ("grpo:CotmixGRPOTrainer", "_compute_loss"),
    ("grpo:CotmixGRPOTrainer", "_get_per_token_logps_and_entropies"),
    ("grpo:CotmixGRPOTrainer", "_prepare_inputs"),
    ("sft:CotmixSFTTrainer", "get_batch_samples"),
]


def resolve(path):
    module, _, names = path.partition(":")
    return reduce(getattr, filter(None, names.split(".")), importlib.import_module(module))


@pytest.mark.parametrize(("patch", "upstream", "text"), UPSTREAM)
def test_upstream_still_has_what_a_patch_relies_on(patch, upstream, text):
    assert text in inspect.getsource(resolve(upstream))


def test_every_patch_is_tested():
    files = [
        path for top in ("recipes/training", "eval", "rewards", "launch") for path in (ROOT / top / "patches").glob("*.py")
    ]
    functions = {
        f"{path.stem}.{node.name}"
        for path in files
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name[0] != "_"
    }
    assert functions - {"vllm.draw_uniform"} <= {patch for patch, *_ in UPSTREAM}


@pytest.mark.parametrize(("trainer", "name"), OVERRIDDEN)
def test_upstream_still_has_the_methods_that_our_trainers_override(trainer, name):
    trainer = resolve(f"recipes.training.trainers.{trainer}")
    upstream = trainer.__bases__[-1]
    assert name in vars(trainer)
    ours, theirs = (inspect.signature(getattr(one, name)).parameters for one in (trainer, upstream))
    takes_anything = any(p.kind is p.VAR_POSITIONAL for p in ours.values())
    named = {name for name, p in ours.items() if p.kind is not p.VAR_KEYWORD}
    assert takes_anything or named == set(theirs) or (len(named) < len(ours) and named < set(theirs))


def test_every_private_method_that_our_grpo_trainer_overrides_is_tested_and_explained():
    import trl

    from recipes.training.trainers import grpo

    ours = vars(grpo.CotmixGRPOTrainer)
    private = {name for name in ours if name[0] == "_" and name[1] != "_" and hasattr(trl.GRPOTrainer, name)}
    assert private == {name for trainer, name in OVERRIDDEN if trainer.startswith("grpo")}
    assert all(f"\n    {name} " in grpo.__doc__ for name in private)


def test_trl_asks_for_triton_only_where_we_patch_it():
    from trl.trainer import utils

    assert inspect.getsource(utils).count("_use_triton(") == 1


def test_trl_starts_its_engine_through_the_name_that_we_replace():
    from trl.generation import vllm_generation
    from vllm import LLM

    assert vllm_generation.LLM is LLM


def test_vllm_samples_with_the_arguments_of_our_sampler():
    from vllm.v1.sample.ops.topk_topp_sampler import TopKTopPSampler

    parameters = ["self", "logits", "generators", "k", "p"]
    assert list(inspect.signature(TopKTopPSampler.forward_cpu).parameters) == parameters


def test_python_has_the_private_function_that_runs_exit_handlers():
    import atexit

    assert callable(atexit._run_exitfuncs)


def test_sympy_still_evaluates_the_text_of_a_number(monkeypatch):
    import sympy
    from sympy.parsing import sympy_parser

    seen = []
    monkeypatch.setattr(sympy_parser, "eval_expr", lambda code, *_: seen.append(code) or sympy.Integer(12))
    assert sympy.Number("12") == 12 and seen == ["Integer (12 )"]


def test_vllm_still_takes_a_middleware_that_sees_requests_first_and_a_worker_extension():
    from vllm.entrypoints.serve.middleware import register
    from vllm.v1.worker import worker_base

    assert inspect.getsource(register).rstrip().endswith('Must be a function or a class."\n            )')  # ours is added last
    assert "app.add_middleware(imported)" in inspect.getsource(register)
    assert "worker_extension_cls = resolve_obj_by_qualname(" in inspect.getsource(worker_base)
