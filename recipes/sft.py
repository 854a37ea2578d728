"""SFT: next-token prediction on the completions of a mixture, through TRL's SFTTrainer.

    accelerate launch recipes/sft.py                                          # the embedded default: parity
    accelerate launch recipes/sft.py --config recipes/gsm8k/smollm2-135m-cpu/sft.yaml --output_dir runs/gsm8k/sft

Reads a mixture folder and writes a model folder for recipes/grpo.py and `python -m eval run`. Trains from scratch if the config
has `model_config`, else from `model_name_or_path`. With `use_peft`, the LoRA adapter is merged into the weights at the end.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from eval.generation import machine
from recipes.training import config, processes
from recipes.training.patches import peft as peft_patches

machine.prepare()
processes.end_with_launcher()
peft_patches.skip_import_for_help()

import trl

from eval.generation.tokens import context_length
from recipes.training import models, values
from recipes.training.arguments import CotmixSFTConfig
from recipes.training.generation.generators import ModelGenerator, heldout_batch
from recipes.training.patches import lm_head
from recipes.training.preflight import checks, fields, inspection
from recipes.training.preflight.findings import Finding
from recipes.training.preflight.inspection import Inputs
from recipes.training.tracking import console
from recipes.training.tracking.log import JsonlLog
from recipes.training.train import train_and_save


@dataclass
class SFTRecipe:
    """The recipe's own fields, besides TRL's SFTConfig and ModelConfig."""

    mixture: str = field(metadata={"help": "mixture folder, built by `python -m data_mix build`"})
    model_config: dict | str | None = field(
        default=None, metadata={"help": "AutoConfig fields, to train from scratch: a mapping in YAML, JSON on the command line"}
    )
    tokenizer_characters: str | None = field(
        default=None, metadata={"help": "from scratch: one token per character; `auto`: those that occur in the mixture"}
    )
    heldout_problems: int = field(default=128, metadata={"help": "number of test problems to track during training; 0: none"})
    heldout_every: int = field(default=0, metadata={"help": "track every N steps (0: only before and after training)"})
    heldout_max_tokens: int = field(default=256, metadata={"help": "token limit of held-out completions"})
    verbose: bool = field(default=False, metadata={"help": "also show the libraries' warnings; only on the command line"})

    def __post_init__(self) -> None:
        """Parses a model_config from the command line, and checks it."""
        self.model_config = values.read_model_config(self.model_config)


CONFIG_CLASSES = (SFTRecipe, CotmixSFTConfig, trl.ModelConfig)


def inspect(inputs: Inputs, recipe: SFTRecipe, args: CotmixSFTConfig, model_args: trl.ModelConfig) -> Iterator[Finding]:
    """The preflight checks; fills `inputs` with what they read."""
    if (recipe.model_config is None) == (model_args.model_name_or_path is None):
        problem = "model_config or model_name_or_path: exactly one is needed"
        yield Finding("model_config", problem, "give one of them, to train from scratch or from a checkpoint")
    if (recipe.model_config is None) != (recipe.tokenizer_characters is None):
        problem = "model_config and tokenizer_characters go together"
        yield Finding("model_config", problem, "give both, or neither")
    yield from fields.check_batching(args, model_args)
    yield from inspection.inspect(inputs, "sft", recipe, args, model_args)
    if inputs.rows and inputs.tokenizer:
        lengths = checks.count_tokens(inputs.rows, inputs.tokenizer)
        yield from checks.check_rows(lengths, args, context_length(inputs.config))
        inspection.add_batch(inputs, max(lengths), max(lengths), args, model_args)
        if recipe.heldout_problems:
            batch = min(heldout_batch(args.per_device_train_batch_size), recipe.heldout_problems)
            inspection.add_generation(inputs, max(lengths) + recipe.heldout_max_tokens, batch, model_args)
    yield from inspection.check_memory(inputs)


def main(recipe: SFTRecipe, args: CotmixSFTConfig, model_args: trl.ModelConfig) -> None:
    """Trains and saves the model; see the module docstring."""
    inputs = inspection.prepare_run(inspect, recipe, args, model_args)
    rows = console.rows_per_step(args, inputs.environment.processes)
    console.print_start(recipe, args, inputs, {"batch": f"{rows} rows per step", "training": console.describe_length(args)})
    from datasets import Dataset
    from transformers import set_seed

    from recipes.training.trainers.memory import ReleaseFreedMemory
    from recipes.training.trainers.sft import CotmixSFTTrainer

    tokenizer = inputs.tokenizer
    set_seed(args.seed)
    model = models.load_model(model_args.model_name_or_path or inputs.config, tokenizer, model_args)
    config.save_config(args.output_dir, recipe, args, model_args, inputs.environment.launch)
    lm_head.score_on_cpu()

    trainer = CotmixSFTTrainer(
        model=model,
        args=args,
        train_dataset=Dataset.from_list([{"prompt": r["prompt"], "completion": r["completion"]} for r in inputs.rows]),
        processing_class=tokenizer,
        peft_config=trl.get_peft_config(model_args),
        callbacks=[JsonlLog(args.output_dir), ReleaseFreedMemory()],
    )
    generate = ModelGenerator(trainer, tokenizer, recipe.heldout_max_tokens)
    where = f"--mixture {recipe.mixture} --model_name_or_path {args.output_dir}"
    following = f"accelerate launch recipes/grpo.py {where} --output_dir ..."
    train_and_save(trainer, generate, inputs.heldout, recipe.heldout_every, console.SFT, following)


if __name__ == "__main__":
    config.run_recipe("sft", main, CONFIG_CLASSES)
