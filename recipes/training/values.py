"""Refuses values of config fields that TRL and the other libraries accept, and fail on later or silently ignore."""

import inspect
import math
from typing import Any

import yaml

from data_mix.errors import InputError, nearest

MINIMUM = {
    **dict.fromkeys(("per_device_train_batch_size", "gradient_accumulation_steps", "heldout_max_tokens", "sync_timeout"), 1),
    **dict.fromkeys(("save_steps", "logging_steps"), 1e-9),  # below 1, a share of the run
    **dict.fromkeys(("rounds", "problems", "num_iterations", "max_length", "vllm_max_model_length", "lora_r"), 1),
    **dict.fromkeys(("beta", "heldout_every", "heldout_problems", "weight_decay", "max_grad_norm", "warmup_steps"), 0),
    **dict.fromkeys(("seed", "epsilon", "epsilon_high", "min_p", "top_k"), 0),
    **dict.fromkeys(("max_logp_difference", "top_p", "vllm_importance_sampling_clip_max"), 1e-9),
    "num_generations": 2,
}
MAXIMUM = {"seed": 2**32 - 1, "top_p": 1, "min_p": 1}
MAY_BE_INFINITE = ("max_grad_norm", "max_logp_difference")
CHOICES = {
    "vllm_mode": ("colocate", "server"),
    "weight_push": ("nccl", "files"),
    "vllm_importance_sampling_mode": ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask"),
    "importance_sampling_level": ("token", "sequence"),
    "dtype": ("auto", "float32", "bfloat16", "float16"),
    "load_in_4bit": (False,),  # models are loaded without quantization
    "load_in_8bit": (False,),
}


def check(values: dict[str, Any]) -> None:
    """Raises InputError for a number that is NaN, infinite or out of range, an unknown choice, or a wrong model_config."""
    read_model_config(values.get("model_config"))
    for name, value in values.items():
        if name in CHOICES and value is not None and value not in CHOICES[name]:
            allowed = [str(choice).lower() if isinstance(choice, bool) else choice for choice in CHOICES[name]]
            raise InputError(f"{name} is {value!r}", f"it must be {' or '.join(allowed)}{nearest(value, allowed)}")
        if not isinstance(value, int | float):
            continue
        if not math.isfinite(value) and name not in MAY_BE_INFINITE:
            raise InputError(f"{name} is {value}", "give a finite number")
        if value < MINIMUM.get(name, value):
            raise InputError(f"{name} is {value}", f"it must be at least {MINIMUM[name]}")
        if value > MAXIMUM.get(name, value):
            raise InputError(f"{name} is {value}", f"it must be at most {MAXIMUM[name]}")


def read_model_config(value: dict | str | None) -> dict[str, Any] | None:
    """A model_config from YAML, or from JSON on the command line; InputError unless it is a mapping with a model_type."""
    if value is None:
        return None
    fields = value
    if isinstance(value, str):
        try:
            fields = yaml.safe_load(value)
        except yaml.YAMLError:
            fields = None
    if not isinstance(fields, dict):
        raise InputError(f'model_config {value}: must be a mapping such as {{"model_type": "llama"}}')
    if "model_type" not in fields:
        fix = "give every field: on the command line and in an ablation, model_config replaces that of the config file"
        raise InputError("model_config: model_type is missing", fix)
    return fields


def check_texts(values: dict[str, Any], config_classes: tuple[type, ...]) -> None:
    """Raises InputError for a text field whose value in YAML is something else, which argparse does not notice."""
    # not from dataclasses.fields, whose types HfArgumentParser simplifies in place
    bases = [base for config_class in config_classes for base in config_class.__mro__]
    kinds = {name: kind for base in reversed(bases) for name, kind in inspect.get_annotations(base).items()}
    texts = {name for name, kind in kinds.items() if _is_text(kind)}
    for name, value in values.items():
        if name in texts and value is not None and not isinstance(value, str):
            raise InputError(f"{name} is {value!r}", "it must be text; put it in quotes")


def _is_text(annotation: Any) -> bool:
    return annotation in (str, "str", str | None, "str | None")


def name_choice(message: str, values: dict[str, Any]) -> str:
    """transformers' `nope is not a valid OptimizerNames, ...`, with the field that has this value."""
    word, is_choice, _ = message.partition(" is not a valid ")
    field = next((name for name, value in values.items() if value == word), None)
    return f"{field}: {message}" if is_choice and field else message
