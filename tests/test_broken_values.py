"""Config values that libraries fail on late or ignore, and files with values of the wrong type: one line each."""

import pytest

from tests.test_broken_input import SFT, ablation, good, grpo, refused, sft  # noqa: F401 (two fixtures)

CHECK, ABLATE = "check c.yaml", "launch ablate ablation.yaml --dry-run"
REPORT = "eval report good/run"
LOG, METRICS = "good/run/sft/log.jsonl", "good/run/eval/sft/metrics.json"


def model(**changes) -> dict[str, str]:
    """A config of sft.py with another model."""
    return sft(model_config=SFT["model_config"] | changes)


# command, files beside it, words of the one line; as in tests/test_broken_input.py
CASES = {
    # ---- recipes
    "a folder with a long name": (CHECK, sft(output_dir="a" * 300), ["too long"]),
    "a folder that is a number": (CHECK, sft(output_dir=3), ["output_dir", "3"]),
    "a mixture that is a number": (CHECK, sft(mixture=3), ["mixture", "3"]),
    "characters that are a number": (CHECK, sft(tokenizer_characters=3), ["tokenizer_characters", "3"]),
    "a model size in words": (CHECK, model(hidden_size="x"), ["model_config", "hidden_size"]),
    "a model size below zero": (CHECK, model(hidden_size=-4), ["model_config", "-4"]),
    "heads that do not divide the width": (CHECK, model(num_attention_heads=3), ["model_config", "heads"]),
    "an unknown field of the model": (CHECK, model(hiden_size=4), ["model_config", "hiden_size", "hidden_size"]),
    "an environment variable that cannot be": (CHECK, sft(env={"A=B": 3}), ["env", "A=B"]),
    "a seed below zero": (CHECK, sft(seed=-1), ["seed", "-1"]),
    "a seed of 70 bits": (CHECK, sft(seed=2**70), ["seed", "at most"]),
    "an unknown dtype": (CHECK, sft(dtype="float99"), ["dtype", "float99"]),
    "an unknown optimizer": (CHECK, sft(optim="nope"), ["optim", "nope"]),
    "an unknown schedule": (CHECK, sft(lr_scheduler_type="nope"), ["lr_scheduler_type", "nope"]),
    "an unknown save strategy": (CHECK, sft(save_strategy="nope"), ["save_strategy", "nope"]),
    "clipping below zero": (CHECK, grpo(epsilon=-1.0), ["epsilon", "-1"]),
    "top_p above one": (CHECK, grpo(top_p=2.0), ["top_p", "2"]),
    "top_k below zero": (CHECK, grpo(top_k=-5), ["top_k", "-5"]),
    "min_p above one": (CHECK, grpo(min_p=3.0), ["min_p", "3"]),
    "an unknown vllm_mode": (CHECK, grpo(vllm_mode="nope"), ["vllm_mode", "nope"]),
    "an unknown correction": (CHECK, grpo(vllm_importance_sampling_mode="token"), ["vllm_importance_sampling_mode"]),
    "a cap below zero": (CHECK, grpo(vllm_importance_sampling_clip_max=-1.0), ["vllm_importance_sampling_clip_max"]),
    "an unknown ratio level": (CHECK, grpo(importance_sampling_level="nope"), ["importance_sampling_level", "nope"]),
    "an adapter of rank 0": (CHECK, grpo(use_peft=True, lora_dropout=0.0, lora_r=0), ["lora_r", "0"]),
    "quantized weights": (CHECK, grpo(load_in_4bit=True), ["load_in_4bit", "false"]),
    # ---- ablations
    "no stages": (ABLATE, ablation(stages={}), ["stages", "empty"]),
    "no name of the folder": (ABLATE, ablation(out=""), ["out", "''"]),
    "a million cells": (
        ABLATE, ablation(grid={"seed": list(range(1000)), "sft.max_steps": list(range(1, 1001))}), ["grid", "1,000,000"],
    ),
    # ---- reports
    "an accuracy that is a number": (REPORT, {METRICS: {"accuracy": 3}}, ["metrics.json", "accuracy"]),
    "no lengths": (REPORT, {METRICS: {"length": None}}, ["metrics.json", "length"]),
    "a log entry without a step": (REPORT, {LOG: "{}\n"}, ["log.jsonl:1"]),
    "a loss in words": (REPORT, {LOG: '{"step": 1, "loss": "y"}\n'}, ["log.jsonl:1"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_line_and_nothing_written(refused, case):  # noqa: F811
    refused(*CASES[case])
