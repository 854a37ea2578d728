"""Reinforcement learning from verifiable rewards on a mixture's problems, through TRL's GRPOTrainer.

    accelerate launch recipes/grpo.py                                         # the embedded default: parity
    accelerate launch recipes/grpo.py --config recipes/gsm8k/smollm2-135m-cpu/grpo.yaml --output_dir runs/gsm8k/grpo

Starts from a model that recipes/sft.py has trained. Rollouts come from vLLM, in this process (`vllm_mode: colocate`, CPU and
GPU) or in servers (`server`; see README.md), or from transformers (`use_vllm: false`). Rewards come from the same verifier as
in evaluation.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

from eval.generation import machine
from recipes.training import config, processes
from recipes.training.patches import peft as peft_patches

machine.prepare()
processes.end_with_launcher()
peft_patches.skip_import_for_help()

import trl
from transformers import TrainerCallback

from data_mix.errors import InputError
from eval.generation.tokens import end_ids
from recipes.training import models
from recipes.training.arguments import CotmixGRPOConfig
from recipes.training.errors import TrainingError
from recipes.training.generation.generators import SourceGenerator
from recipes.training.patches import lm_head
from recipes.training.patches import trl as trl_patches
from recipes.training.preflight import checks, fields, inspection, services
from recipes.training.preflight.findings import Finding
from recipes.training.preflight.inspection import Inputs
from recipes.training.tracking import console
from recipes.training.tracking.log import JsonlLog
from recipes.training.train import train_and_save
from recipes.training.trainers import algorithms
from rewards import specs
from rewards.functions import dump_meta, make_reward_functions


@dataclass
class GRPORecipe:
    """The recipe's own fields, besides TRL's GRPOConfig and ModelConfig."""

    mixture: str = field(metadata={"help": "mixture folder; its train problems are the prompts, its forms are not used"})
    algorithm: str = field(
        default="dr_grpo", metadata={"help": "see recipes/training/trainers/algorithms.py; sets TRL's loss_type and others"}
    )
    baseline: str | None = field(
        default=None, metadata={"help": "group, leave_one_out or batch; by default the algorithm's own"}
    )
    rewards: list[str] = field(
        default_factory=lambda: ["answer"],
        metadata={"help": "see rewards/README.md; in YAML, entries can be mappings with weight and parameters"},
    )
    heldout_problems: int = field(default=128, metadata={"help": "number of test problems to track during training; 0: none"})
    heldout_every: int = field(default=0, metadata={"help": "track every N steps (0: only before and after training)"})
    max_logp_difference: float = field(
        default=0.1, metadata={"help": "abort when the sampler-trainer log-prob gap, mean |difference|, is above this"}
    )
    async_steps: int = field(
        default=0,
        metadata={"help": "1: servers generate the completions of the next step while this one trains; 0: they take turns"},
    )
    shared_prompts: bool = field(
        default=True,
        metadata={"help": "run a prompt through the trainer's model once for several completions where it is faster"},
    )
    verbose: bool = field(default=False, metadata={"help": "also show the libraries' warnings; only on the command line"})


CONFIG_CLASSES = (GRPORecipe, CotmixGRPOConfig, trl.ModelConfig)


def inspect(inputs: Inputs, recipe: GRPORecipe, args: CotmixGRPOConfig, model_args: trl.ModelConfig) -> Iterator[Finding]:
    """The preflight checks; fills `inputs` with what they read."""
    try:
        algorithm = algorithms.choose(recipe.algorithm, recipe.baseline, args, recipe.given)
        if algorithm.resamples and args.per_device_train_batch_size * args.steps_per_generation % args.num_generations:
            problem = (
                f"algorithm {recipe.algorithm} replaces groups, but per_device_train_batch_size x steps_per_generation "
                f"({args.per_device_train_batch_size} x {args.steps_per_generation}) is not a multiple of num_generations "
                f"({args.num_generations})"
            )
            yield Finding("algorithm", problem, "change one of them")
        yield from fields.check_grpo(args, model_args, algorithm.resamples > 0, recipe.async_steps, inputs.environment)
    except InputError as error:
        yield Finding("algorithm", error.problem, error.fix)
    yield from inspection.inspect(inputs, "grpo", recipe, args, model_args)
    yield from inspection.inspect_rollouts(inputs, recipe.rewards, args.reward_weights, args, args, model_args)
    yield from services.check_async(args, recipe.async_steps, inputs.environment)
    yield from checks.check_groups(recipe.rewards, args, inputs.environment.processes)
    if model_args.use_peft and model_args.lora_dropout:
        problem = (
            f"lora_dropout is {model_args.lora_dropout} (TRL's default: 0.05): the trainer would score completions with a "
            "different model than the one that sampled them"
        )
        yield Finding("lora_dropout", problem, "set it to 0")
    if inputs.config:
        yield from checks.check_dropout(inputs.config, args.disable_dropout)
    if inputs.rows:
        yield from checks.check_batch(args, inputs.rows)
    if (args.vllm_importance_sampling_mode or "").startswith("sequence"):
        problem = (
            f"vllm_importance_sampling_mode is {args.vllm_importance_sampling_mode}, which masks long completions more often"
        )
        yield Finding("vllm_importance_sampling_mode", problem, "use token_truncate", "note")


class LogpGapLimit(TrainerCallback):
    """Aborts above a sampler-trainer log-prob gap: rollouts then come from other weights than those trained."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def on_log(self, args, state, control, logs=None, **_) -> None:
        """Reads TRL's own metric from each log entry."""
        gap = (logs or {}).get("sampling/sampling_logp_difference/mean", 0.0)
        if gap > self.limit:
            raise TrainingError(
                f"step {state.global_step}: sampler and trainer log-probs differ by {gap:.3f} on average (limit "
                f"max_logp_difference={self.limit}); the sampler has other weights, or another precision"
            )


def main(recipe: GRPORecipe, args: CotmixGRPOConfig, model_args: trl.ModelConfig) -> None:
    """Trains and saves the model; see the module docstring."""
    inputs = inspection.prepare_run(inspect, recipe, args, model_args)
    rows_per_step = console.rows_per_step(args, inputs.environment.processes)
    lines = {
        "algorithm": f"{recipe.algorithm}; rewards: {specs.describe(recipe.rewards, args.reward_weights)}",
        "batch": f"{rows_per_step // args.num_generations} prompts x {args.num_generations} completions of up to "
        f"{args.max_completion_length} tokens",
        "training": console.describe_length(args),
    }
    console.print_start(recipe, args, inputs, lines)
    from datasets import Dataset

    from recipes.training.generation.choose import choose_source
    from recipes.training.trainers.grpo import CotmixGRPOTrainer

    path, rows, tokenizer = model_args.model_name_or_path, inputs.rows, inputs.tokenizer
    # vLLM's default is the model's full context: 131,072 tokens for Llama 3
    length, dtype = args.vllm_max_model_length or inputs.length, models.compute_dtype(inputs.config, args, model_args)
    source = choose_source(args, args, path, dtype, inputs.length)
    config.save_config(args.output_dir, recipe, args, model_args, inputs.environment.launch)
    args.vllm_max_model_length = length
    args.use_vllm = True  # whatever the source is, TRL's trainer calls it as it calls vLLM
    args.reward_weights = [spec.weight for spec in specs.parse(recipe.rewards, args.reward_weights)]
    # vLLM reads the end tokens from the checkpoint's generation_config.json, which may lack some
    args.generation_kwargs = {"stop_token_ids": end_ids(tokenizer)}

    lm_head.score_on_cpu()
    model = models.load_model(path, tokenizer, model_args)
    trl_patches.generate_with(source)
    columns = ("prompt", "answer", "problem_id", "source")
    gap = [] if recipe.async_steps else [LogpGapLimit(recipe.max_logp_difference)]  # with older weights, it includes a step
    trainer = CotmixGRPOTrainer(
        algorithm=algorithms.choose(recipe.algorithm, recipe.baseline, args, recipe.given),
        async_steps=recipe.async_steps,
        share_prompts=recipe.shared_prompts,
        model=model,
        args=args,
        reward_funcs=make_reward_functions(recipe.rewards, end_ids(tokenizer), args.max_completion_length),
        train_dataset=Dataset.from_list([{k: r[k] for k in columns} | {"meta": dump_meta(r)} for r in rows]),
        processing_class=tokenizer,
        peft_config=trl.get_peft_config(model_args),
        callbacks=[JsonlLog(args.output_dir), *gap],
    )
    if trainer.ref_model is not None:
        models.keep_rope_exact(trainer.ref_model)
    trainer.vllm_generation.step = lambda: trainer.state.global_step
    trainer.vllm_generation.wrapped_model = lambda: trainer.model_wrapped
    sync = functools.partial(trl_patches.sync_weights_once_per_step, trainer)
    generate = SourceGenerator(trainer.vllm_generation, tokenizer, sync)
    following = console.eval_command(args.output_dir, recipe.mixture)
    train_and_save(trainer, generate, inputs.heldout, recipe.heldout_every, console.RL, following)


if __name__ == "__main__":
    config.run_recipe("grpo", main, CONFIG_CLASSES)
