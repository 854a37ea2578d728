"""STaR: rounds of rollouts on a mixture's problems, of which the verified ones are trained on (arXiv 2203.14465).

    accelerate launch recipes/star.py                                         # the embedded default: parity
    accelerate launch recipes/star.py --config recipes/gsm_symbolic/smollm2-135m-cpu/star.yaml

Starts from a model that recipes/sft.py has trained. Each round samples completions of newly drawn problems from the current
model, keeps those for which every reward in `rewards` is positive, and trains on them for one epoch with TRL's SFTTrainer. It
saves the rollouts in `rollouts/` and a `checkpoint-N`: the same command resumes an interrupted run after its last complete
round.
"""

import copy
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from eval.generation import machine
from recipes.training import config, processes
from recipes.training.patches import peft as peft_patches

machine.prepare()
processes.end_with_launcher()
peft_patches.skip_import_for_help()

import trl

from eval.generation.engines import BATCH, VLLM_BATCH
from eval.generation.tokens import end_ids
from recipes.training import models
from recipes.training.arguments import CotmixSFTConfig, Rollouts
from recipes.training.checkpoints import rounds
from recipes.training.checkpoints.atomic import clean_up, last_complete
from recipes.training.checkpoints.shutdown import GracefulShutdown
from recipes.training.generation.generators import ROLLOUTS, SourceGenerator
from recipes.training.patches import lm_head
from recipes.training.preflight import checks, fields, inspection, services
from recipes.training.preflight.findings import Finding
from recipes.training.preflight.inspection import Inputs
from recipes.training.star_rollouts import as_example, roll_out
from recipes.training.tracking import console
from recipes.training.tracking.heldout import HeldoutEval
from recipes.training.tracking.log import JsonlLog
from rewards import specs


@dataclass(kw_only=True)
class STaRRecipe(Rollouts):
    """The recipe's own fields, besides TRL's SFTConfig and ModelConfig."""

    mixture: str = field(metadata={"help": "mixture folder; its train problems are the prompts, its forms are not used"})
    rounds: int = field(default=8, metadata={"help": "number of rounds of rollouts and training"})
    problems: int = field(default=1024, metadata={"help": "problems per round, drawn anew in each"})
    num_generations: int = field(default=8, metadata={"help": "completions per problem"})
    temperature: float = field(default=1.0, metadata={"help": "sampling temperature of the rollouts"})
    rewards: list[str] = field(
        default_factory=lambda: ["answer"],
        metadata={"help": "answer, chain, valid, format or a function of your own; a completion is kept if all are positive"},
    )
    max_completion_length: int = field(default=256, metadata={"help": "token limit of a completion"})
    vllm_max_model_length: int | None = field(
        default=None, metadata={"help": "token limit of prompt + completion; by default what the mixture needs"}
    )
    vllm_gpu_memory_utilization: float = field(default=0.3, metadata={"help": "the engine's share of a GPU's memory"})
    heldout_problems: int = field(default=128, metadata={"help": "number of test problems to track after each round; 0: none"})
    verbose: bool = field(default=False, metadata={"help": "also show the libraries' warnings; only on the command line"})


CONFIG_CLASSES = (STaRRecipe, CotmixSFTConfig, trl.ModelConfig)


def inspect(inputs: Inputs, recipe: STaRRecipe, args: CotmixSFTConfig, model_args: trl.ModelConfig) -> Iterator[Finding]:
    """The preflight checks; fills `inputs` with what they read."""
    yield from checks.check_verdicts(recipe.rewards)
    if args.max_steps > 0:
        problem = f"max_steps is {args.max_steps}, but a round is one pass over the kept completions"
        yield Finding("max_steps", problem, "leave it out")
    if "num_train_epochs" in recipe.given:
        problem = f"num_train_epochs is {args.num_train_epochs}, but a round is one pass over the kept completions"
        yield Finding("num_train_epochs", problem, "leave it out")
    if args.save_only_model:
        yield Finding("save_only_model", "save_only_model is true, but checkpoints have only the model anyway", "leave it out")
    yield from inspection.inspect(inputs, "star", recipe, args, model_args)
    yield from fields.check_batching(args, model_args)
    yield from inspection.inspect_rollouts(inputs, recipe.rewards, None, recipe, args, model_args)
    yield from checks.check_max_length(args.max_length, inputs.length)


def main(recipe: STaRRecipe, args: CotmixSFTConfig, model_args: trl.ModelConfig) -> None:
    """Runs the remaining rounds and saves the model; see the module docstring."""
    inputs = inspection.prepare_run(inspect, recipe, args, model_args)
    batch = f"{recipe.problems} prompts x {recipe.num_generations} completions of up to {recipe.max_completion_length} tokens"
    console.print_start(
        recipe, args, inputs, {"rewards": specs.describe(recipe.rewards), "batch": batch, "rounds": f"{recipe.rounds}"}
    )
    from accelerate import Accelerator
    from accelerate.utils import set_seed
    from datasets import Dataset

    from recipes.training.generation.choose import choose_source
    from recipes.training.trainers.sft import CotmixSFTTrainer

    rows, tokenizer = inputs.rows, inputs.tokenizer
    done, checkpoint = last_complete(args.output_dir)
    trained = done
    config.save_config(args.output_dir, recipe, args, model_args, inputs.environment.launch)
    one_pass = copy.copy(args)
    vars(one_pass).update(num_train_epochs=1, save_strategy="no", logging_strategy="no", report_to=[], push_to_hub=False)

    lm_head.score_on_cpu()
    length, dtype = recipe.vllm_max_model_length or inputs.length, models.compute_dtype(inputs.config, args, model_args)
    path = model_args.model_name_or_path
    source = choose_source(recipe, args, path, dtype, inputs.length)
    model = models.load_model(str(checkpoint or path), tokenizer, model_args)
    # The trainers of the rounds share this accelerator's state, so it must have their precision already.
    trackers = [name for name in args.report_to if name in services.trackers("star")]  # not transformers' own kubeflow
    accelerator = Accelerator(mixed_precision=args.mixed_precision, log_with=trackers, project_dir=args.output_dir)
    accelerator.init_trackers("star")
    generation = source(
        model=model,
        accelerator=accelerator,
        processing_class=tokenizer,
        mode=recipe.vllm_mode,
        server_base_url=recipe.server_urls[0],
        gpu_memory_utilization=recipe.vllm_gpu_memory_utilization,
        max_model_length=length,
        max_num_seqs=VLLM_BATCH if recipe.use_vllm else BATCH,
        enable_sleep_mode=machine.has_gpu(),
        max_completion_length=recipe.max_completion_length,
        generation_kwargs={"stop_token_ids": end_ids(tokenizer)},
    )
    generation.step = lambda: trained  # rounds
    generate = SourceGenerator(generation, tokenizer, generation.sync_new_weights, ROLLOUTS)
    generate_held_out = SourceGenerator(generation, tokenizer, generation.sync_new_weights)
    held_out = HeldoutEval(inputs.heldout, tokenizer, generate_held_out)
    log = JsonlLog(args.output_dir)
    if accelerator.is_main_process:
        log.truncate(done)
        clean_up(args.output_dir, done)
    shutdown, table = GracefulShutdown(), console.Table("round", console.STAR)

    def stop_if_requested(when: str) -> None:
        if shutdown.is_requested(accelerator.device):
            if accelerator.is_main_process:
                print(f"{args.output_dir}: stopped {when} as requested; the same command resumes it", file=sys.stderr)
            sys.exit(shutdown.exit_code)

    def write(number: int, figures: dict) -> None:
        accelerator.log(figures, step=number)
        if accelerator.is_main_process:
            log.write(number, figures)
            table.write(number, recipe.rounds, figures)

    if done == 0:
        write(0, held_out.measure())
    for number in range(done + 1, recipe.rounds + 1):
        rollouts = rounds.read_rollouts(args.output_dir, number)
        if rollouts is None:
            mine = roll_out(recipe, rows, tokenizer, generate, args.seed, number)
            rollouts = rounds.write_rollouts(args.output_dir, number, mine, accelerator)
            stop_if_requested(f"after the rollouts of round {number}")
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
            console.Console.attach(trainer, ())
            figures["loss"] = trainer.train().training_loss
            model = generation.model = rounds.merged(trainer)
        trained = number
        figures |= held_out.measure()
        write(number, figures)
        rounds.save_checkpoint(args.output_dir, number, model, tokenizer, accelerator, args.save_total_limit)
        if number < recipe.rounds:
            stop_if_requested(f"after round {number}")
    following = console.eval_command(args.output_dir, recipe.mixture)
    rounds.finish(args, recipe.rounds, accelerator, held_out.problems, following)
    for tracker in accelerator.trackers:
        tracker.finish()


if __name__ == "__main__":
    config.run_recipe("star", main, CONFIG_CLASSES)
