"""Broken configs and environments: each check reports the field before a model is loaded."""

import importlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build
from eval.generation import machine
from recipes.training.preflight import checks
from recipes.training.preflight.__main__ import check_config
from recipes.training.preflight.environment import GIB, Environment
from tests.conftest import ROOT, skip
from tests.data_mix.helpers import make_unreadable

LAPTOP = Environment(processes=1, sharding="none", memory=8 * GIB, gpu=False)
NODE = Environment(processes=8, sharding="zero2", memory=80 * GIB, gpu=True)
BIG = {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32}
PARITY_MODEL = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 1}
PARITY_MODEL |= {"num_attention_heads": 1, "max_position_embeddings": 32}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, llama):
    """Paths of valid and broken mixtures and models, by name."""
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
    shutil.copytree(root / "sft", root / "small")
    small = make_config(PARITY_MODEL | {"hidden_size": 16}, tokenizer)
    AutoModelForCausalLM.from_config(small).save_pretrained(root / "small")
    gpt2 = make_config({"model_type": "gpt2", "n_embd": 64, "n_layer": 1, "n_head": 2, "n_positions": 32}, tokenizer)
    AutoModelForCausalLM.from_config(gpt2).save_pretrained(root / "gpt2")
    tokenizer.save_pretrained(root / "gpt2")
    shutil.copytree(root / "sft", root / "attention_dropout")
    _edit(root / "attention_dropout" / "config.json", attention_dropout=0.1)
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
    (root / "crashed").mkdir()
    (root / "crashed" / "recipe.json").touch()
    return {path.name: str(path) for path in root.iterdir()} | {"base": llama["base"], "instruct": llama["instruct"]}


def _edit(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


BASE = {
    "sft": {
        "mixture": "{parity}", "model_config": PARITY_MODEL, "tokenizer_characters": "01=", "max_steps": 5, "max_length": 32,
        "bf16": False, "report_to": "none",
    },
    "grpo": {
        "mixture": "{parity}", "model_name_or_path": "{sft}", "max_steps": 5, "max_completion_length": 10,
        "vllm_mode": "colocate", "per_device_train_batch_size": 16, "num_generations": 8, "bf16": False, "report_to": "none",
    },
    "star": {
        "mixture": "{parity}", "model_name_or_path": "{sft}", "max_completion_length": 10, "bf16": False, "report_to": "none",
    },
    "mixture": {"p_cot": 0.5, "n_train": 8, "n_test": 2, "sources": [{"task": "parity", "d": 8}]},
}  # fmt: skip
CHAT = {"mixture": "{chat}", "model_config": None, "tokenizer_characters": None, "max_length": None}
LORA = {"use_peft": True, "model_config": None, "tokenizer_characters": None, "mixture": "{words}", "max_length": None}

# recipe, changes to its config, field of the finding, words in its line
CASES = {
    "prompts of rollouts alone": (
        "grpo", {"chat_template_kwargs": {"enable_thinking": False}}, "chat_template_kwargs", "tokenizer's chat template"
    ),
    "unknown field": ("sft", {"learning_rat": 1}, "config", "did you mean 'learning_rate'?"),
    "wrong type": ("sft", {"max_steps": "many"}, "config", "max_steps: invalid int value"),
    "missing mixture": ("sft", {"mixture": "no"}, "mixture", "python -m data_mix build"),
    "model_config that is not a mapping": ("sft", {"model_config": "llama"}, "config", "must be a mapping"),
    "two models": ("sft", {"model_name_or_path": "{sft}"}, "model_config", "give one of them"),
    "model_config without a tokenizer": ("sft", {"tokenizer_characters": None}, "model_config", "tokenizer_characters"),
    "unknown architecture": ("sft", {"model_config": {"model_type": "lama"}}, "model_config", "did you mean 'llama'"),
    "no architecture": ("sft", {"model_config": {"hidden_size": 64}}, "config", "model_type is missing"),
    "characters that are not in the tokenizer": ("sft", {"tokenizer_characters": "01"}, "tokenizer", "tokenizer_characters"),
    "rows longer than max_length": ("sft", {"max_length": 12}, "max_length", "raise max_length"),
    "group_by_length": ("sft", {"train_sampling_strategy": "group_by_length"}, "train_sampling_strategy", "biases p_long"),
    "packing without flash attention": ("sft", {"packing": True}, "packing", "attend to each other"),
    "padding_free without flash attention": ("sft", {"padding_free": True}, "padding_free", "attend to each other"),
    "rows cut by packing": (
        "sft", {"packing": True, "packing_strategy": "wrapped", "attn_implementation": "kernels-community/flash-attn2"},
        "packing_strategy", "use bfd",
    ),
    "padding_free with max_length": (
        "sft", {"padding_free": True, "attn_implementation": "kernels-community/flash-attn2"}, "padding_free", "to null",
    ),
    "missing chat template": ("sft", {"chat_template_path": "no.jinja"}, "chat_template_path", "no such file"),
    "learning rate of 0": ("sft", {"learning_rate": 0}, "learning_rate", "more than 0"),
    "pure half precision": ("sft", {"dtype": "float16"}, "dtype", "float32 weights"),
    "output folder of another run": ("sft", {"output_dir": "{used}"}, "output_dir", "holds another run"),
    "output folder of a crashed run": ("sft", {"output_dir": "{crashed}"}, "output_dir", "recipe.json cannot be read"),
    "model larger than the memory": ("sft", {"model_config": BIG}, "memory", "take a smaller model"),
    "incomplete model": ("sft", {**LORA, "model_name_or_path": "{half}"}, "model_name_or_path", "incomplete model"),
    "hub id that is not cached, offline": (
        "sft", {**CHAT, "model_name_or_path": "ow/ner"}, "model_name_or_path", "no tokenizer",
    ),
    "another model's tokenizer": ("sft", {**LORA, "model_name_or_path": "{other}"}, "model_name_or_path", "another model's"),
    "tokenizer without eos_token": ("sft", {**LORA, "model_name_or_path": "{endless}"}, "eos_token", "would end"),
    "chat template without end token": ("sft", {**CHAT, "model_name_or_path": "{open}"}, "chat_template", "chat_template_path"),
    "BOS in the prompt, too": (
        "sft", {**LORA, "mixture": "{twice}", "model_name_or_path": "{base}"}, "prompt_template", "leave it out",
    ),
    "no chat template": ("sft", {**CHAT, "model_name_or_path": "{base}"}, "chat_template", "no chat template"),
    "adapter on an unknown module": (
        "sft", {**LORA, "model_name_or_path": "{base}", "lora_target_modules": ["q_prj"]}, "lora_target_modules", "q_proj",
    ),
    "adapter on tied weights": (
        "sft", {**LORA, "model_name_or_path": "{tied}", "lora_target_modules": ["lm_head"]}, "lora_target_modules", "tie_word",
    ),
    "one module, which TRL makes a pattern": (
        "sft", {**LORA, "model_name_or_path": "{base}", "lora_target_modules": ["q_proj"]}, "lora_target_modules",
        r"write '.*\.q_proj'",
    ),
    "a pattern that is none": (
        "sft", {**LORA, "model_name_or_path": "{base}", "lora_target_modules": ["(q"]}, "lora_target_modules",
        "not a valid regular expression",
    ),
    "adapter on the head": (
        "sft", {**LORA, "model_name_or_path": "{base}", "lora_target_modules": ["q_proj", "lm_head"]}, "lora_target_modules",
        "TRL's trainers do not take",
    ),
    "rewards that are divided by their deviations": (
        "grpo", {"multi_objective_aggregation": "normalize_then_sum"}, "algorithm", "sum_then_normalize",
    ),
    "unknown reward": ("grpo", {"rewards": ["answr"]}, "rewards", "did you mean 'answer'?"),
    "chain reward without a chain": ("grpo", {"mixture": "{words}", "rewards": ["chain"]}, "rewards", "use answer"),
    "unreadable gold answer": (
        "grpo", {"mixture": "{words}", "model_name_or_path": "{base}"}, "mixture",
        "1 gold answers cannot be read by the verifier: mine/",
    ),
    "completions longer than the context": (
        "grpo", {"max_completion_length": 30}, "vllm_max_model_length", "the model's own 32",
    ),
    "completions longer than vllm_max_model_length": (
        "grpo", {"vllm_max_model_length": 15}, "vllm_max_model_length", "the context of 15",
    ),
    "temperature of 0": ("grpo", {"temperature": 0}, "temperature", "the same"),
    "LoRA dropout": ("grpo", {"use_peft": True}, "lora_dropout", "set it to 0"),
    "NCCL on CPU": ("grpo", {"vllm_mode": "server", "weight_push": "nccl"}, "weight_push", "use files"),
    "asynchronous rollouts of the training process": ("grpo", {"async_steps": 1}, "async_steps", "add vllm_mode: server"),
    "rollouts that are two steps old": ("grpo", {"async_steps": 2}, "async_steps", "set it to 0 or 1"),
    "rollouts whose age nothing corrects": (
        "grpo", {"async_steps": 1, "vllm_mode": "server", "vllm_importance_sampling_correction": False}, "async_steps", "true",
    ),
    "weights for no server": ("grpo", {"weight_push": "files"}, "weight_push", "add vllm_mode: server"),
    "no URL of a server": (
        "grpo", {"vllm_mode": "server", "vllm_server_base_url": "localhost:8000"}, "vllm_server_base_url", "http://HOST:PORT",
    ),
    "a server twice": (
        "grpo", {"vllm_mode": "server", "vllm_server_base_url": ["http://a:1", "http://a:1"]}, "vllm_server_base_url", "once",
    ),
    "batch size not divisible by num_generations": (
        "grpo", {"per_device_train_batch_size": 12}, "config", "divisible by num_generations",
    ),
    "more prompts per step than problems": (
        "grpo", {"per_device_train_batch_size": 1024}, "generation_batch_size", "128 problems",
    ),
    "a server of a run without vLLM": ("grpo", {"use_vllm": False, "vllm_mode": "server"}, "use_vllm", "leave out one"),
    "weights for the model itself": ("star", {"use_vllm": False, "weight_push": "files"}, "weight_push", "samples itself"),
    "asynchronous rollouts without vLLM": ("grpo", {"use_vllm": False, "async_steps": 1}, "async_steps", "leave out use_vllm"),
    "unknown algorithm": ("grpo", {"algorithm": "grop"}, "algorithm", "did you mean 'grpo'?"),
    "algorithm with another loss_type": ("grpo", {"algorithm": "dapo", "loss_type": "grpo"}, "algorithm", "loss_type"),
    "no model": ("grpo", {"model_name_or_path": None}, "model_name_or_path", "give the SFT checkpoint"),
    "missing model": ("grpo", {"model_name_or_path": "{sft}/no"}, "model_name_or_path", "accelerate launch recipes/sft.py"),
    "missing parent of the model": (
        "sft", {**CHAT, "model_name_or_path": "checkpoints/no"}, "model_name_or_path", "(checkpoints does not exist)",
    ),
    "missing parent, GRPO": (
        "grpo", {"model_name_or_path": "checkpoints/no"}, "model_name_or_path", "(checkpoints does not exist)",
    ),
    "missing parent, STaR": (
        "star", {"model_name_or_path": "checkpoints/no"}, "model_name_or_path", "(checkpoints does not exist)",
    ),
    "max_steps in STaR": ("star", {"max_steps": 5}, "max_steps", "leave it out"),
    "epochs in STaR": ("star", {"num_train_epochs": 2}, "num_train_epochs", "a round is one pass"),
    "a tracker that accelerate lacks": ("star", {"report_to": "codecarbon"}, "report_to", "which has no codecarbon"),
    "save_only_model in STaR": ("star", {"save_only_model": True}, "save_only_model", "leave it out"),
    "reward that is not a verdict in STaR": ("star", {"rewards": ["cosine"]}, "rewards", "not a verdict"),
    "rollouts longer than max_length in STaR": ("star", {"max_length": 12}, "max_length", "raise max_length"),
    "packing in STaR": ("star", {"packing": True}, "packing", "attend to each other"),
    "padding_free in STaR": ("star", {"padding_free": True}, "padding_free", "attend to each other"),
    "group_by_length in STaR": (
        "star", {"train_sampling_strategy": "group_by_length"}, "train_sampling_strategy", "biases p_long",
    ),
    "repetition penalty": ("grpo", {"repetition_penalty": 1.2}, "repetition_penalty", "leave it out"),
    "generation_kwargs": ("grpo", {"generation_kwargs": {"presence_penalty": 0.5}}, "generation_kwargs", "leave it out"),
    "constrained decoding": ("grpo", {"vllm_structured_outputs_regex": "[01]+"}, "vllm_structured_outputs_regex", "leave it"),
    "Liger's loss": ("grpo", {"use_liger_kernel": True}, "use_liger_kernel", "leave it out"),
    "a checkpoint of another run": ("sft", {"resume_from_checkpoint": "a/checkpoint-5"}, "resume_from_checkpoint", "leave it"),
    "a resumed run that begins with its first rows": ("sft", {"ignore_data_skip": True}, "ignore_data_skip", "leave it out"),
    "another revision": ("grpo", {"model_revision": "step3000"}, "model_revision", "hf download NAME --revision"),
    "fields of from_pretrained": ("grpo", {"model_init_kwargs": {"dtype": "float16"}}, "model_init_kwargs", "use dtype"),
    "noise in the embeddings": ("grpo", {"neftune_noise_alpha": 5}, "neftune_noise_alpha", "leave it out"),
    "columns that rewards need": ("grpo", {"remove_unused_columns": True}, "remove_unused_columns", "leave it out"),
    "a reference model that is not there": ("grpo", {"sync_ref_model": True}, "sync_ref_model", "without beta"),
    "a reference model that is not saved": (
        "grpo", {"sync_ref_model": True, "beta": 0.1, "save_strategy": "steps"}, "sync_ref_model", "save_strategy to 'no'",
    ),
    "no log": ("grpo", {"logging_strategy": "no"}, "logging_strategy", "use steps"),
    "asynchronous rollouts with dynamic sampling": (
        "grpo", {"algorithm": "dapo", "vllm_mode": "server", "async_steps": 1}, "async_steps", "another algorithm",
    ),
    "an engine on more processes than there are": (
        "grpo", {"vllm_tensor_parallel_size": 2}, "vllm_tensor_parallel_size", "does not divide the 1 processes",
    ),
    "tokens counted twice": (
        "sft", {"include_num_input_tokens_seen": True}, "include_num_input_tokens_seen", "leave it out",
    ),
    "heads that vLLM cannot run": ("grpo", {"model_name_or_path": "{small}"}, "model_name_or_path", "heads have size 16"),
    "explicit default that the algorithm overrides": ("grpo", {"loss_type": "dapo"}, "algorithm", "but the config says dapo"),
    "code that comes with a model": ("sft", {"trust_remote_code": True}, "trust_remote_code", "leave it out"),
    "dropout in RL": (
        "grpo", {"model_name_or_path": "{gpt2}", "disable_dropout": False}, "disable_dropout", "resid_pdrop 0.1",
    ),
    "dropout that TRL cannot disable": (
        "grpo", {"model_name_or_path": "{attention_dropout}"}, "model_name_or_path", "attention_dropout is 0.1",
    ),
    "p_cot above 1": ("mixture", {"p_cot": 1.5}, "config", "p_cot"),
    "unknown task": ("mixture", {"sources": [{"task": "party", "d": 8}]}, "config", "parity"),
    "more rows than problems in a mixture": (
        "mixture", {"n_train": 100, "sources": [{"task": "parity", "d": 4}]}, "config", "16",
    ),
}  # fmt: skip


def fill(value, folders):
    return value.format(**folders) if isinstance(value, str) else value


def write(tmp_path, folders, recipe, change):
    fields = BASE[recipe] | ({} if recipe == "mixture" else {"recipe": recipe, "output_dir": str(tmp_path / "run")}) | change
    path = tmp_path / "any_name.yaml"
    path.write_text(yaml.safe_dump({name: fill(value, folders) for name, value in fields.items() if value is not None}))
    return str(path)


@pytest.mark.parametrize("case", CASES)
def test_finding(folders, tmp_path, monkeypatch, case):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    recipe, change, field, words = CASES[case]
    findings, *_ = check_config(write(tmp_path, folders, recipe, change), LAPTOP)
    lines = {finding.field: str(finding) for finding in findings if finding.level == "error"}
    assert field in lines and words in lines[field], findings
    assert lines[field].startswith(field) and "\n" not in lines[field]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("recipe", ["sft", "grpo", "star"])
def test_bfloat16_on_a_cpu_without_instructions_for_it(folders, tmp_path, monkeypatch, recipe):
    """It is not the default there; whoever asks for it gets a note."""
    config = importlib.import_module(f"recipes.{recipe}").CONFIG_CLASSES[1]
    for supported in (True, False):
        for module in (machine, checks):
            monkeypatch.setattr(module, "has_bfloat16", lambda supported=supported: supported)
        assert config(output_dir=str(tmp_path), use_cpu=True).bf16 == supported
        notes = []
        for change in ({"bf16": True}, {"dtype": "bfloat16", "learning_rate": 1e-3}):
            notes += check_config(write(tmp_path, folders, recipe, {"use_cpu": True} | change), LAPTOP)[0]
        assert [note.field for note in notes] == ([] if supported else ["bf16", "dtype"]), notes
        assert all(note.level == "note" and "30 times slower" in note.problem for note in notes)
        there = [check_config(write(tmp_path, folders, recipe, {"bf16": bf16}), NODE)[1] for bf16 in (None, True)]
        assert str(there[0]) == str(there[1])  # it is on GPUs


@pytest.mark.parametrize("recipe", ["grpo", "star"])
def test_an_adapter_on_16_bit_weights_is_merged_with_loss(folders, tmp_path, recipe):
    def notes(**change):
        findings, *_ = check_config(write(tmp_path, folders, recipe, {"use_peft": True, "lora_dropout": 0.0} | change), NODE)
        return [str(finding) for finding in findings if finding.level == "note" and "merging the adapter" in finding.problem]

    assert len(notes(dtype="bfloat16")) == 1
    assert not notes() and not notes(dtype="bfloat16", use_vllm=False)


def test_a_completion_must_not_merge_with_its_prompt():
    """As `" #"` after a prompt that ends with a space: rollouts would begin after a token that SFT has never seen there."""
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate((*"a# 5", " #", "<end>"))}
    bpe = Tokenizer(models.BPE(vocabulary, merges=[(" ", "#")]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<end>")
    config = LlamaConfig(vocab_size=len(tokenizer))
    for prompt, fields in (("a", []), ("a ", ["prompt_template"])):
        rows = [{"prompt": prompt, "completion": completion} for completion in ("55", "#5")]
        findings = list(checks.check_tokenizer(tokenizer, config, rows))
        assert [finding.field for finding in findings] == fields


def test_sft_notes_that_vllm_will_not_run_the_model(folders, tmp_path):
    change = {"model_config": PARITY_MODEL | {"hidden_size": 16}}
    [note], *_ = check_config(write(tmp_path, folders, "sft", change), LAPTOP)
    assert note.level == "note" and "heads have size 16" in note.problem


@pytest.mark.parametrize("recipe", BASE)
def test_no_findings_for_a_valid_config(folders, tmp_path, recipe):
    findings, memory, _ = check_config(write(tmp_path, folders, recipe, {}), LAPTOP)
    assert findings == []
    assert (memory is None) == (recipe == "mixture")


def test_less_memory_than_adamw_needs_is_a_note_with_another_optimizer_or_offloading(folders, tmp_path):
    for change, offloads in (({"optim": "adafactor"}, False), ({}, True)):
        path = write(tmp_path, folders, "sft", {"model_config": BIG} | change)
        findings, *_ = check_config(path, replace(LAPTOP, offloads=offloads))
        [finding] = [finding for finding in findings if finding.field == "memory"]
        assert finding.level == "note" and "counts AdamW, and nothing as offloaded" in finding.problem


def test_a_pattern_of_modules_is_matched_with_their_paths(folders, tmp_path):
    change = {**LORA, "model_name_or_path": "{base}", "lora_target_modules": [r".*\.(q_proj|v_proj)"]}
    findings, *_ = check_config(write(tmp_path, folders, "sft", change), LAPTOP)
    assert not [finding for finding in findings if finding.level == "error"]


def test_the_batch_is_that_of_all_processes(folders, tmp_path):
    """4 completions in each of 8 processes are groups of 8."""
    path = write(tmp_path, folders, "grpo", {"per_device_train_batch_size": 4, "num_generations": 8})
    [finding], *_ = check_config(path, LAPTOP)
    assert "generation_batch_size (4) must be divisible by num_generations (8)" in finding.problem
    assert not [finding for finding in check_config(path, NODE)[0] if finding.level == "error"]
    path = write(tmp_path, folders, "grpo", {"per_device_train_batch_size": 128, "num_generations": 2})
    [finding] = [finding for finding in check_config(path, NODE)[0] if finding.level == "error"]
    assert "generation_batch_size 1024" in finding.problem and "takes 512 problems" in finding.problem


@pytest.mark.parametrize("recipe", ["grpo", "star"])
def test_without_vllm_a_run_needs_use_vllm_false(folders, tmp_path, monkeypatch, recipe):
    monkeypatch.setitem(sys.modules, "vllm", None)  # as if it were not installed
    [finding], with_vllm, _ = check_config(write(tmp_path, folders, recipe, {}), LAPTOP)
    assert finding.field == "use_vllm" and "not installed" in finding.problem and "set use_vllm to false" in finding.fix
    small = {"model_name_or_path": "{small}", "use_vllm": False}  # with heads that vLLM cannot run
    findings, memory, _ = check_config(write(tmp_path, folders, recipe, small), LAPTOP)
    assert findings == [] and "KV cache" in with_vllm.parts and "KV cache" not in memory.parts
    step = sum(memory.parts[name] for name in ("gradients", "activations", "logits"))  # not in use while it generates
    assert memory.total() == sum(memory.parts.values()) - min(step, memory.parts["generation"])


def test_tokenizer_characters_can_be_read_from_the_mixture(folders, tmp_path):
    findings, *_ = check_config(write(tmp_path, folders, "sft", {"tokenizer_characters": "auto"}), LAPTOP)
    assert findings == []
    findings, *_ = check_config(write(tmp_path, folders, "sft", {"tokenizer_characters": "auto", "mixture": "no"}), LAPTOP)
    assert [finding.field for finding in findings] == ["mixture"]


@pytest.mark.parametrize(
    ("text", "recipe", "words"),
    [
        ("seed: 0", None, "no recipe is given; add `recipe: sft`"),
        ("recipe: gpro", None, "recipe is 'gpro'; did you mean 'grpo'?; add"),
        ("recipe: grpo", "sft", "`recipe: grpo` is not for recipes/sft.py; use a config with `recipe: sft`"),
        ("grid: {}", None, "this is an ablation; check it with `python -m launch ablate"),
        ("base: no.yaml", None, "no.yaml: no such file"),
    ],
)
def test_configs_whose_recipe_is_unclear(tmp_path, text, recipe, words):
    path = tmp_path / "grpo.yaml"
    path.write_text(text)
    [finding], *_ = check_config(str(path), LAPTOP, recipe)
    assert words in str(finding)


def test_recipe_option_for_a_file_without_the_key(folders, tmp_path):
    path = Path(write(tmp_path, folders, "star", {"recipe": None}))
    assert check_config(str(path), LAPTOP)[0] and check_config(str(path), LAPTOP, "star")[0] == []


def test_json_has_all_findings(command, folders, tmp_path):
    config = write(tmp_path, folders, "grpo", {"mixture": "no", "learning_rate": 0, "temperature": 0})
    done = command("-m", "launch", "check", config, "--json", check=False)
    report = json.loads(done.stdout)[config]
    assert done.returncode == 2
    assert {finding["field"] for finding in report["findings"]} == {"mixture", "learning_rate", "temperature"}
    assert all(finding.keys() == {"field", "problem", "fix", "level"} for finding in report["findings"])
    assert all(finding["problem"] and finding["fix"] and finding["level"] == "error" for finding in report["findings"])
    assert report["memory"]["total"] == sum(report["memory"]["bytes"].values())


def test_check_passes_the_default_config_and_writes_nothing(command, folders, tmp_path):
    path = tmp_path / "c.yaml"
    default = str(ROOT / "recipes" / "parity" / "sft.yaml")
    path.write_text(yaml.safe_dump({"base": default, "mixture": folders["parity"], "output_dir": str(tmp_path / "out")}))
    assert "passes" in command("-m", "launch", "check", path).stdout
    assert not (tmp_path / "out").exists()


def test_disk_too_small_for_the_checkpoints(folders, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False).returncode:
        skip("cannot mount a tmpfs without root")
    try:
        large = {"model_config": {**PARITY_MODEL, "hidden_size": 64}, "output_dir": str(disk / "run")}
        findings, *_ = check_config(write(tmp_path, folders, "sft", large), LAPTOP)
        assert [finding.field for finding in findings] == ["disk"] and "smaller save_total_limit" in findings[0].fix
    finally:
        subprocess.run(["umount", disk], check=True)


def test_fewer_held_out_problems_than_processes(folders, tmp_path):
    findings, *_ = check_config(write(tmp_path, folders, "sft", {"heldout_problems": 7}), NODE)
    assert "at least the number of processes, 8" in next(f.fix for f in findings if f.field == "heldout_problems")


def test_a_reference_model_takes_memory(folders, tmp_path):
    _, memory, _ = check_config(write(tmp_path, folders, "grpo", {"beta": 0.1}), LAPTOP)
    assert memory.parts["reference model"] == memory.parts["weights"]


def test_engine_larger_than_its_share_of_the_gpu(folders, tmp_path):
    small = replace(NODE, processes=1, sharding="none", memory=GIB // 1024)
    findings, *_ = check_config(write(tmp_path, folders, "grpo", {"vllm_gpu_memory_utilization": 0.01}), small)
    assert "vllm_gpu_memory_utilization" in [finding.field for finding in findings]


def test_a_pipeline_may_lack_what_its_earlier_configs_write(tmp_path, monkeypatch, capsys):
    from recipes.training.preflight.__main__ import main

    monkeypatch.chdir(tmp_path)
    raw = {"p_cot": 0.5, "n_train": 64, "n_test": 16, "sources": [{"task": "parity", "d": 8}]}
    sft = BASE["sft"] | {"recipe": "sft", "mixture": "m", "output_dir": "sft"}
    grpo = BASE["grpo"] | {"recipe": "grpo", "mixture": "m", "model_name_or_path": "sft", "output_dir": "grpo"}
    for name, fields in (("data", raw), ("sft", sft), ("grpo", grpo)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(fields))
    assert main(["data.yaml", "sft.yaml", "grpo.yaml"]) == 0
    assert "note: grpo.yaml: model_name_or_path: sft does not exist yet; sft.yaml comes first" in capsys.readouterr().err
    assert main(["sft.yaml", "grpo.yaml"]) == 2 and main(["data.yaml", "grpo.yaml"]) == 2
