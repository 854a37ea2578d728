"""What a run computes, estimated before it starts from the config and the mixture: tokens, and FLOPs per parameter and token.

A forward pass takes 2 FLOPs per parameter and token, the gradient of the activations 2 more, and that of the weights 2 per
trained parameter: 6 in full fine-tuning (arXiv 2001.08361, section 2.1). Attention and recomputation (gradient_checkpointing)
come on top. Held-out evaluation is not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from eval.generation.tokens import encode_prompts
from recipes.training.preflight.checks import count_tokens
from recipes.training.tracking.console import rows_per_step
from rewards.functions import text_of

UTILIZATION = 0.4  # of a GPU's peak: a good value for training. Decoding is bound by memory, and often slower
COUNTED = 500  # rows from which the mean lengths are taken


@dataclass(frozen=True)
class Cost:
    """The cost of a run, over all processes.

    Attributes:
        trained: tokens that are trained on, prompts included.
        sampled: tokens that vLLM generates, and those of prompts, which it reads once per group.
        flops: of both.
    """

    trained: int
    sampled: int
    flops: float

    def hours(self, tflops: float, processes: int) -> float:
        """Hours on `processes` GPUs of `tflops` TFLOP/s each, at UTILIZATION."""
        return self.flops / (UTILIZATION * tflops * 1e12 * processes) / 3600

    def describe(self, tflops: float, processes: int) -> str:
        """The hours and what they assume."""
        gpus = f"{processes} GPU{'s' * (processes > 1)}"
        return f", {self.hours(tflops, processes):.1f} hours on {gpus} at {UTILIZATION:.0%} of {tflops:g} TFLOP/s"

    def __str__(self) -> str:
        """As one line."""
        sampled = f" and {self.sampled / 1e6:,.1f} M sampled" if self.sampled else ""
        return f"{self.trained / 1e6:,.1f} M tokens trained on{sampled}, {self.flops / 1e15:,.1f} PFLOP"


def estimate(stage: str, inputs, recipe, args) -> Cost | None:
    """The cost of a run; None without a mixture, a tokenizer or a model's size.

    Completions of GRPO and STaR are assumed to be as long as the mixture's long rows, where RL leads; of STaR, all are kept.

    Args:
        stage: sft, grpo or star.
        inputs: what the checks have read.
        recipe: the recipe's own config.
        args: TRL's config.
    """
    if not (inputs.rows and inputs.tokenizer and inputs.memory):
        return None
    rows, sampling = len(inputs.rows) * args.num_train_epochs, recipe if stage == "star" else args
    if stage != "sft" and not (sampling.max_completion_length and sampling.num_generations > 0):  # reported already
        return None
    if stage == "star":
        rows = recipe.rounds * recipe.problems * recipe.num_generations
    elif args.max_steps > 0:
        rows = args.max_steps * rows_per_step(args, inputs.environment.processes)
    elif stage == "grpo":
        rows *= args.num_generations
    if stage == "sft":
        tokens, sampled = rows * _mean(count_tokens(inputs.rows[:COUNTED], inputs.tokenizer)), 0.0
    else:
        long = [row for row in inputs.rows if row["form"] == "long"][:COUNTED] or inputs.rows[:COUNTED]
        ids = inputs.tokenizer([text_of(row["completion"]) for row in long], add_special_tokens=False)["input_ids"]
        completion = _mean([min(len(one) + 1, sampling.max_completion_length) for one in ids])
        prompt = _mean([len(one) for one in encode_prompts(inputs.tokenizer, [row["prompt"] for row in long])])
        tokens, sampled = rows * (prompt + completion), rows * (prompt / sampling.num_generations + completion)
    model = inputs.memory
    flops = (4 * model.parameters + 2 * model.trained) * tokens + 2 * model.parameters * sampled
    return Cost(round(tokens), round(sampled), flops)


def _mean(lengths: Sequence[int]) -> float:
    return sum(lengths) / len(lengths)
