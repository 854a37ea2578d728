"""Reinforcement learning from verifiable rewards on a mixture's problems, through TRL's GRPOTrainer and vLLM.

    accelerate launch recipes/grpo.py                                         # the embedded default: parity
    accelerate launch recipes/grpo.py --config recipes/gsm8k/smollm2-135m-cpu/grpo.yaml --output_dir runs/gsm8k/grpo

Starts from a checkpoint that recipes/sft.py wrote. Rollouts come from vLLM, in this process (`vllm_mode: colocate`, CPU
and GPU) or from `trl vllm-serve` (`server`, GPUs); rewards from the verifier that evaluation uses.
"""

import functools
from dataclasses import dataclass, field
from pathlib import Path

from eval.generation import machine
from recipes.training import config, processes

machine.prepare()
processes.end_with_launcher()
config.hurry_help()

import trl
from transformers import TrainerCallback

from data_mix.errors import InputError
from eval.generation.tokens import end_ids
from recipes.training import models
from recipes.training.loop import train_and_save
from recipes.training.patches import trl as trl_patches
from recipes.training.preflight import (
    checks,
    inspection,
)
from recipes.training.preflight.findings import Findings
from recipes.training.preflight.inspection import Environment, Inputs
from recipes.training.rollouts import VLLMGenerator, sync_once_a_step
from recipes.training.tracking.log import JsonlLog
from recipes.training.trainers import algorithms
from rewards.functions import dump_meta, make_reward_functions


@dataclass
class GRPORecipe:
    """What the recipe needs beside TRL's GRPOConfig and ModelConfig."""

    mixture: str = field(metadata={"help": "mixture folder; its train problems are prompts, its forms play no part"})
    algorithm: str = field(
        default="dr_grpo", metadata={"help": "see recipes/training/trainers/algorithms.py; sets TRL's loss_type and such"}
    )
    baseline: str | None = field(
        default=None, metadata={"help": "group, leave_one_out or batch; the algorithm's own if not given"}
    )
    rewards: list[str] = field(
        default_factory=lambda: ["answer"], metadata={"help": "see rewards/functions.py, and reward_weights"}
    )
    heldout_problems: int = field(default=128, metadata={"help": "test problems that are tracked during training"})
    heldout_every: int = field(default=0, metadata={"help": "track every N steps (0: only before and after)"})
    max_logp_difference: float = field(
        default=0.1, metadata={"help": "mean |sampler - trainer log-prob| above which the run stops: weights are out of step"}
    )
    sync_timeout: int = field(default=600, metadata={"help": "seconds that weights may take to reach vLLM; then the run ends"})


PARTS = (GRPORecipe, trl.GRPOConfig, trl.ModelConfig)


def inspect(
    found: Findings, recipe: GRPORecipe, args: trl.GRPOConfig, model_args: trl.ModelConfig, environment: Environment
) -> Inputs:
    """What is known to be wrong before a model is loaded; returns what could be read."""
    with found.of("reward_weights"):
        if args.reward_weights and len(args.reward_weights) != len(recipe.rewards):
            given = f"{len(args.reward_weights)} numbers for {len(recipe.rewards)} rewards"
            raise InputError(f"reward_weights has {given}; give one each")
    with found.of("use_vllm"):
        if not args.use_vllm:
            raise InputError("use_vllm is false; rollouts come from vLLM, set it to true")
    with found.of("algorithm"):
        algorithm = algorithms.choose(recipe.algorithm, recipe.baseline, args)
        if algorithm.resamples and args.per_device_train_batch_size * args.steps_per_generation % args.num_generations:
            raise InputError(
                f"algorithm {recipe.algorithm} replaces whole groups: per_device_train_batch_size x steps_per_generation "
                f"({args.per_device_train_batch_size} x {args.steps_per_generation}) must be a multiple of "
                f"{args.num_generations}; change one of them"
            )
    inputs = inspection.inspect(found, "grpo", recipe, args, model_args, environment)
    inspection.inspect_rollouts(found, recipe.rewards, args, args, model_args, inputs)
    with found.of("lora_dropout"):
        if model_args.use_peft and model_args.lora_dropout:
            raise InputError(
                f"lora_dropout is {model_args.lora_dropout} (TRL's default: 0.05): the trainer would score completions with "
                "another model than the one that wrote them; set it to 0"
            )
    if inputs.rows:
        with found.of("generation_batch_size"):
            checks.check_enough(args, inputs.rows)
    if (args.vllm_importance_sampling_mode or "").startswith("sequence"):
        found.note(
            "vllm_importance_sampling_mode",
            f"vllm_importance_sampling_mode is {args.vllm_importance_sampling_mode}, which drops long completions more often; "
            "use token_truncate",
        )
    return inputs


class OutOfStep(TrainerCallback):
    """Stops the run when sampler and trainer log-probs part: then rollouts come from other weights than those trained."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def on_log(self, args, state, control, logs=None, **_) -> None:
        """Reads TRL's own measurement from each log entry."""
        difference = (logs or {}).get("sampling/sampling_logp_difference/mean", 0.0)
        if difference > self.limit:
            raise RuntimeError(
                f"step {state.global_step}: sampler and trainer log-probs differ by {difference:.3f} on average (limit "
                f"max_logp_difference={self.limit}); the weights did not reach vLLM, or the two compute in different precision"
            )


def main(recipe: GRPORecipe, args: trl.GRPOConfig, model_args: trl.ModelConfig) -> None:
    """Trains and saves; see the module docstring."""
    inputs = inspection.require(inspect, recipe, args, model_args)
    from datasets import Dataset

    from recipes.training.trainers.grpo import CotmixGRPOTrainer

    path, rows, tokenizer = model_args.model_name_or_path, inputs.rows, inputs.tokenizer
    config.save_config(args.output_dir, recipe, args, model_args)
    # left open, vLLM would reserve for the model's whole context: 131,072 tokens for Llama 3
    args.vllm_max_model_length = args.vllm_max_model_length or inputs.length

    trl_patches.score_labels_only()
    model = models.load_model(path, tokenizer, model_args)
    trl_patches.prepare_engine(args.seed, models.compute_dtype(args, model_args))
    trl_patches.limit_sync(recipe.sync_timeout)
    columns = ("prompt", "answer", "problem_id", "source")
    trainer = CotmixGRPOTrainer(
        algorithm=algorithms.choose(recipe.algorithm, recipe.baseline, args),
        model=model,
        args=args,
        reward_funcs=make_reward_functions(recipe.rewards, end_ids(tokenizer), args.max_completion_length),
        train_dataset=Dataset.from_list([{k: r[k] for k in columns} | {"meta": dump_meta(r)} for r in rows]),
        processing_class=tokenizer,
        peft_config=trl.get_peft_config(model_args),
        callbacks=[JsonlLog(args.output_dir), OutOfStep(recipe.max_logp_difference)],
    )
    sync = functools.partial(sync_once_a_step, trainer)
    generate = VLLMGenerator(trainer.vllm_generation, tokenizer, sync)
    train_and_save(trainer, generate, recipe)
    if trainer.accelerator.is_main_process:
        print(f"{args.output_dir}: saved; next `python -m eval run --model {args.output_dir} --mixture {recipe.mixture} ...`")


if __name__ == "__main__":
    here = Path(__file__).parent
    config.run_recipe(main, PARTS, str(here / "parity" / "grpo.yaml"))
