"""STaR: rounds of vLLM rollouts on a mixture's problems, of which the verified ones are trained on (arXiv 2203.14465).

    accelerate launch recipes/star.py                                         # the embedded default: parity
    accelerate launch recipes/star.py --config recipes/gsm_symbolic/smollm2-135m-cpu/star.yaml

Starts from a checkpoint that recipes/sft.py wrote. A round draws completions of fresh problems from the model as it is,
keeps those that earn every reward in `rewards`, and makes one pass of TRL's SFTTrainer over them. Rollouts are kept in
`rollouts/`, and each round ends with a `checkpoint-N`: the same command goes on after the last complete one.
"""

import copy
import dataclasses
import json
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path

from eval.generation import machine
from recipes.training import config, processes

machine.prepare()
processes.end_with_launcher()
config.hurry_help()

import trl

from data_mix.errors import InputError
from data_mix.mixture_folder import read_rows
from eval.generation.tokens import encode_prompts
from recipes.training import models
from recipes.training.checkpoints import rounds
from recipes.training.checkpoints.atomic import EndOnSignal, clear
from recipes.training.loop import ENDED_EARLY
from recipes.training.patches import trl as trl_patches
from recipes.training.preflight import (
    checks,
    inspection,
)
from recipes.training.preflight.findings import Findings
from recipes.training.preflight.inspection import Environment, Inputs
from recipes.training.rollouts import GenerateFn, VLLMGenerator
from recipes.training.tracking.heldout import HeldoutEval, judge, shard
from recipes.training.tracking.log import JsonlLog
from rewards import functions

SHOWN = ("kept", "p_long", "accuracy", "heldout/greedy/accuracy", "heldout/sampled/p_long")


@dataclass
class STaRRecipe:
    """What the recipe needs beside TRL's SFTConfig and ModelConfig."""

    mixture: str = field(metadata={"help": "mixture folder; its train problems are prompts, its forms play no part"})
    rounds: int = field(default=8, metadata={"help": "rounds of rollouts and training"})
    problems: int = field(default=1024, metadata={"help": "problems per round, drawn for each"})
    num_generations: int = field(default=8, metadata={"help": "completions a problem"})
    temperature: float = field(default=1.0, metadata={"help": "of the rollouts"})
    rewards: list[str] = field(
        default_factory=lambda: ["answer"],
        metadata={"help": "what a kept completion earns, each of them: answer, chain, valid"},
    )
    max_completion_length: int = field(default=256, metadata={"help": "token limit of a completion"})
    vllm_max_model_length: int | None = field(
        default=None, metadata={"help": "prompt + completion; what is needed if not given"}
    )
    vllm_gpu_memory_utilization: float = field(default=0.3, metadata={"help": "the engine's share of a GPU's memory"})
    heldout_problems: int = field(default=128, metadata={"help": "test problems that are tracked after each round"})


PARTS = (STaRRecipe, trl.SFTConfig, trl.ModelConfig)


def inspect(
    found: Findings, recipe: STaRRecipe, args: trl.SFTConfig, model_args: trl.ModelConfig, environment: Environment
) -> Inputs:
    """What is known to be wrong before a model is loaded; returns what could be read."""
    with found.of("rewards"):
        checks.check_rewards(recipe.rewards)
        for name in recipe.rewards:
            if name not in functions.VERIFIED:
                raise InputError(f"rewards: {name} is not a verdict, so nothing can be kept by it; use answer, chain or valid")
    for name in ("rounds", "problems", "num_generations", "temperature"):
        with found.of(name):
            if getattr(recipe, name) <= 0:
                raise InputError(f"{name} is {getattr(recipe, name)}; it must be more than 0")
    with found.of("max_steps"):
        if args.max_steps > 0:
            raise InputError(f"max_steps is {args.max_steps}, and a round is one pass over the kept completions; leave it out")
    with found.of("save_only_model"):
        if args.save_only_model:
            raise InputError("save_only_model is true, and a round's checkpoint is never more than its model; leave it out")
    inputs = inspection.inspect(found, "star", recipe, args, model_args, environment)
    inspection.inspect_rollouts(found, recipe.rewards, recipe, args, model_args, inputs)
    return inputs


def roll_out(recipe: STaRRecipe, rows: list[dict], tokenizer, generate: GenerateFn, seed: str) -> list[dict]:
    """The round's completions, scored: this process's share of the problems, the completions of each one after another."""
    chosen = random.Random(seed).choices(rows, k=recipe.problems)
    mine = shard([row for row in chosen for _ in range(recipe.num_generations)])
    prompt_ids = encode_prompts(tokenizer, [row["prompt"] for row in mine])
    completions = generate(prompt_ids, recipe.temperature)
    verdicts = judge(completions, mine)
    return [
        {
            **{name: row[name] for name in ("problem_id", "source", "prompt", "answer")},
            "completion": completion.text,
            "n_tokens": completion.n_tokens,
            "truncated": completion.truncated,
            **dataclasses.asdict(verdict),
            # a completion that the token limit cut is never a model of a good one
            "kept": not completion.truncated and all(functions.VERIFIED[name](verdict) for name in recipe.rewards),
        }
        for row, completion, verdict in zip(mine, completions, verdicts, strict=True)
    ]


def as_example(rollout: dict) -> dict:
    """A kept rollout as a row for SFT, in the format of its prompt."""
    text, chat = rollout["completion"], not isinstance(rollout["prompt"], str)
    return {"prompt": rollout["prompt"], "completion": [{"role": "assistant", "content": text}] if chat else text}


def main(recipe: STaRRecipe, args: trl.SFTConfig, model_args: trl.ModelConfig) -> None:
    """Runs the rounds that are not done yet, and saves; see the module docstring."""
    inputs = inspection.require(inspect, recipe, args, model_args)
    from accelerate import Accelerator
    from accelerate.utils import set_seed
    from datasets import Dataset
    from trl.generation.vllm_generation import VLLMGeneration

    from recipes.training.trainers.sft import CotmixSFTTrainer

    rows, tokenizer = inputs.rows, inputs.tokenizer
    done, path = rounds.last_complete(args.output_dir, model_args.model_name_or_path)
    config.save_config(args.output_dir, recipe, args, model_args)
    one_pass = copy.copy(args)
    one_pass.num_train_epochs, one_pass.save_strategy, one_pass.logging_strategy, one_pass.report_to = 1, "no", "no", []

    trl_patches.score_labels_only()
    trl_patches.prepare_engine(args.seed, models.compute_dtype(args, model_args))
    model = models.load_model(path, tokenizer, model_args)
    # The trainers of the rounds share its state, so it must have their precision already.
    accelerator = Accelerator(mixed_precision=args.mixed_precision, log_with=args.report_to, project_dir=args.output_dir)
    accelerator.init_trackers("star")
    generation = VLLMGeneration(
        model=model,
        accelerator=accelerator,
        processing_class=tokenizer,
        gpu_memory_utilization=recipe.vllm_gpu_memory_utilization,
        max_model_length=recipe.vllm_max_model_length or inputs.length,
        max_num_seqs=512,
        enable_sleep_mode=machine.has_gpu(),
        max_completion_length=recipe.max_completion_length,
    )
    generate = VLLMGenerator(generation, tokenizer, generation.sync_weights)
    held_out = HeldoutEval(read_rows(recipe.mixture, "test")[: recipe.heldout_problems], tokenizer, generate)
    log = JsonlLog(args.output_dir)
    if accelerator.is_main_process:
        log.forget_after(done)
        clear(args.output_dir, done)
    end = EndOnSignal()

    def end_if_asked(when: str) -> None:
        if end.is_asked(accelerator.device):
            if accelerator.is_main_process:
                print(f"{args.output_dir}: stopped {when} as requested; the same command resumes it", file=sys.stderr)
            sys.exit(ENDED_EARLY)

    def write(number: int, figures: dict) -> None:
        accelerator.log(figures, step=number)
        if accelerator.is_main_process:
            log.write(number, figures)
            shown = {name: round(figures[name], 4) for name in SHOWN if name in figures}
            print(json.dumps({"round": number, **shown}), flush=True)

    if done == 0:
        write(0, held_out.measure())
    for number in range(done + 1, recipe.rounds + 1):
        set_seed(args.seed * 1000 + number, device_specific=True)  # also of the engine's draws: it samples in this process
        rollouts = rounds.read_rollouts(args.output_dir, number)
        if rollouts is None:
            mine = roll_out(recipe, rows, tokenizer, generate, f"{args.seed}/{number}")
            rollouts = rounds.write_rollouts(args.output_dir, number, mine, accelerator)
            end_if_asked(f"after the rollouts of round {number}")
        kept = [as_example(rollout) for rollout in rollouts if rollout["kept"]]
        figures = rounds.account_rollouts(rollouts)
        if kept:
            set_seed(args.seed * 1000 + number)
            trainer = CotmixSFTTrainer(
                model=model,
                args=one_pass,
                train_dataset=Dataset.from_list(kept),
                processing_class=tokenizer,
                peft_config=trl.get_peft_config(model_args),
            )
            figures["loss"] = trainer.train().training_loss
            model = generation.model = rounds.merged(trainer)
        figures |= held_out.measure()
        write(number, figures)
        rounds.save_checkpoint(args.output_dir, number, model, tokenizer, accelerator, args.save_total_limit)
        if number < recipe.rounds:
            end_if_asked(f"after round {number}")
    rounds.finish(args.output_dir, recipe.rounds, accelerator)
    for tracker in accelerator.trackers:
        tracker.finish()


if __name__ == "__main__":
    here = Path(__file__).parent
    config.run_recipe(main, PARTS, str(here / "parity" / "star.yaml"))
