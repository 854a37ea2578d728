"""SFT: next-token prediction on the completions of a mixture, through TRL's SFTTrainer.

    accelerate launch recipes/sft.py                                          # the embedded default: parity
    accelerate launch recipes/sft.py --config recipes/gsm8k/smollm2-135m-cpu/sft.yaml --output_dir runs/gsm8k/sft

Reads a mixture folder, writes a checkpoint folder that recipes/grpo.py and `python -m eval run` read. From scratch when
the config gives `model_config`, else from `model_name_or_path`; LoRA with `use_peft`, merged into the weights at the end.
"""

from dataclasses import dataclass, field
from pathlib import Path

from eval.generation import machine
from recipes.training import config, processes

machine.prepare()
processes.end_with_launcher()
config.hurry_help()

import trl

from data_mix.errors import InputError
from eval.generation.tokens import context_length, encode_prompts
from recipes.training import models
from recipes.training.loop import train_and_save
from recipes.training.patches import trl as trl_patches
from recipes.training.preflight import inspection
from recipes.training.preflight.findings import Findings
from recipes.training.preflight.inspection import Environment, Inputs
from recipes.training.rollouts import ModelGenerator
from recipes.training.tracking.log import JsonlLog
from rewards.functions import text_of


@dataclass
class SFTRecipe:
    """What the recipe needs beside TRL's SFTConfig and ModelConfig."""

    mixture: str = field(metadata={"help": "mixture folder, made by `python -m data_mix build`"})
    model_config: dict | str | None = field(
        default=None, metadata={"help": "AutoConfig fields, from scratch: a mapping in YAML, JSON on the command line"}
    )
    tokenizer_characters: str | None = field(default=None, metadata={"help": "from scratch: one token a character"})
    heldout_problems: int = field(default=128, metadata={"help": "test problems that are tracked during training"})
    heldout_every: int = field(default=0, metadata={"help": "track every N steps (0: only before and after)"})
    heldout_max_tokens: int = field(default=256, metadata={"help": "token limit of tracked completions"})


PARTS = (SFTRecipe, trl.SFTConfig, trl.ModelConfig)


def inspect(
    found: Findings, recipe: SFTRecipe, args: trl.SFTConfig, model_args: trl.ModelConfig, environment: Environment
) -> Inputs:
    """What is known to be wrong before a model is loaded; returns what could be read."""
    with found.of("model_config"):
        if isinstance(recipe.model_config, str):
            recipe.model_config = config.parse_mapping(recipe.model_config, "model_config")
        if (recipe.model_config is None) == (model_args.model_name_or_path is None):
            raise InputError("model_config or model_name_or_path; give one of them: from scratch, or a checkpoint")
        if (recipe.model_config is None) != (recipe.tokenizer_characters is None):
            raise InputError("model_config and tokenizer_characters go together; from scratch needs both")
    with found.of("train_sampling_strategy"):
        if args.train_sampling_strategy == "group_by_length":
            # The loss is a mean over a batch's tokens. In a batch of long rows alone, the first token, which decides between
            # the forms, weighs far less than in a batch of short ones: p_long came out at 0.05 for p_cot 0.25.
            raise InputError(
                "train_sampling_strategy group_by_length parts short rows from long ones and biases p_long; use random"
            )
    for name in ("packing", "padding_free"):
        with found.of(name):
            if getattr(args, name) and "flash" not in (model_args.attn_implementation or ""):
                raise InputError(f"{name} is true, and without flash attention rows would read one another; leave it out")
    inputs = inspection.inspect(found, "sft", recipe, args, model_args, environment)
    if inputs.rows and inputs.tokenizer:
        with found.of("max_length"):
            check_lengths(inputs.rows, inputs.tokenizer, args, context_length(inputs.config))
    inspection.check_memory(found, inputs)
    return inputs


def check_lengths(rows: list[dict], tokenizer, args: trl.SFTConfig, context: int) -> None:
    """Refuses rows that TRL would cut at `max_length` without a word: the end, where the answer is, would go."""
    limit = min(args.max_length or context, context)
    prompts = encode_prompts(tokenizer, [row["prompt"] for row in rows])
    texts = [text_of(row["completion"]) for row in rows]
    completions = tokenizer(texts, add_special_tokens=False)["input_ids"]
    # two more: the end token, and the newline that chat templates put after it
    lengths = [len(p) + len(c) + 2 for p, c in zip(prompts, completions, strict=True)]
    if max(lengths) > limit:
        over = sum(length > limit for length in lengths)
        longest = f"the longest has {max(lengths)}"
        raise InputError(f"{over} of {len(rows)} rows are longer than {limit} tokens ({longest}); raise max_length")


def main(recipe: SFTRecipe, args: trl.SFTConfig, model_args: trl.ModelConfig) -> None:
    """Trains and saves; see the module docstring."""
    inputs = inspection.require(inspect, recipe, args, model_args)
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, set_seed

    from recipes.training.trainers.sft import CotmixSFTTrainer

    path, tokenizer = model_args.model_name_or_path, inputs.tokenizer
    set_seed(args.seed)
    kinds = {"dtype": model_args.dtype, "attn_implementation": model_args.attn_implementation}
    if path:
        model = AutoModelForCausalLM.from_pretrained(path, **kinds)
    else:
        model = AutoModelForCausalLM.from_config(inputs.config, **kinds)
    models.set_end_tokens(model, tokenizer)
    config.save_config(args.output_dir, recipe, args, model_args)
    trl_patches.score_labels_only()

    trainer = CotmixSFTTrainer(
        model=model,
        args=args,
        train_dataset=Dataset.from_list([{"prompt": r["prompt"], "completion": r["completion"]} for r in inputs.rows]),
        processing_class=tokenizer,
        peft_config=trl.get_peft_config(model_args),
        callbacks=[JsonlLog(args.output_dir)],
    )
    generate = ModelGenerator(trainer, tokenizer, recipe.heldout_max_tokens)
    train_and_save(trainer, generate, recipe)
    if trainer.accelerator.is_main_process:
        print(f"{args.output_dir}: saved; next `accelerate launch recipes/grpo.py --model_name_or_path {args.output_dir} ...`")


if __name__ == "__main__":
    here = Path(__file__).parent
    config.run_recipe(main, PARTS, str(here / "parity" / "sft.yaml"))
