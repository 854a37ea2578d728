"""The rollouts of a STaR round, and which are trained on: those that end, and for which every reward is positive."""

import dataclasses
import random
from collections.abc import Sequence

from eval.generation.tokens import Completion, encode_prompts
from recipes.training.errors import TrainingError
from recipes.training.generation.generators import GenerateFn
from recipes.training.tracking.heldout import judge, shard
from rewards.built_in import VERIFIED
from rewards.own import RewardError
from rewards.scorer import Verdict
from rewards.trial import Case, pay


def roll_out(recipe, rows: list[dict], tokenizer, generate: GenerateFn, seed: int, number: int) -> list[dict]:
    """This process's shard of a round's scored completions; completions of one problem are consecutive.

    Args:
        recipe: star.py's config.
        rows: the mixture's training rows.
        tokenizer: the model's.
        generate: completions from the current weights.
        seed: of the run.
        number: of the round.
    """
    chosen = random.Random(f"{seed}/{number}").choices(rows, k=recipe.problems)
    mine = shard([row for row in chosen for _ in range(recipe.num_generations)])
    prompt_ids = encode_prompts(tokenizer, [row["prompt"] for row in mine])
    completions = generate(prompt_ids, recipe.temperature)
    verdicts = judge(completions, mine)
    kept = select(recipe.rewards, completions, mine, verdicts, tokenizer, recipe.max_completion_length, number)
    return [
        {
            **{name: row[name] for name in ("problem_id", "source", "prompt", "answer")},
            "completion": completion.text,
            "n_tokens": completion.n_tokens,
            "truncated": completion.truncated,
            **dataclasses.asdict(verdict),
            "kept": keep,
        }
        for row, completion, verdict, keep in zip(mine, completions, verdicts, kept, strict=True)
    ]


def as_example(rollout: dict) -> dict:
    """A kept rollout as a row for SFT, in the format of its prompt."""
    prompt, text = rollout["prompt"], rollout["completion"]
    return {"prompt": prompt, "completion": text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]}


def select(
    rewards: Sequence[str | dict],
    completions: Sequence[Completion],
    rows: Sequence[dict],
    verdicts: Sequence[Verdict],
    tokenizer,
    limit: int,
    number: int,
) -> list[bool]:
    """Whether each completion is kept. A truncated one would teach the model not to end; None is not positive.

    User-defined functions get token ids from tokenizing the text again.

    Args:
        rewards: entries of the config's `rewards`: verdicts and user-defined functions.
        completions: of this process.
        rows: their mixture rows.
        verdicts: the verifier's.
        tokenizer: the model's.
        limit: max_completion_length.
        number: of the round; the functions find the number of rounds done in `trainer_state.global_step`.

    Raises:
        TrainingError: if a user-defined function fails.
    """
    verified = [VERIFIED[reward] for reward in rewards if isinstance(reward, str) and reward in VERIFIED]
    kept = [
        not completion.truncated and all(earns(verdict) for earns in verified)
        for completion, verdict in zip(completions, verdicts, strict=True)
    ]
    own = [reward for reward in rewards if not isinstance(reward, str) or reward not in VERIFIED]
    if not own:
        return kept
    end = tokenizer.eos_token_id
    ids = tokenizer([completion.text for completion in completions], add_special_tokens=False)["input_ids"]
    cases = [
        Case("", row, completion.text, tokens if completion.truncated else [*tokens, end])
        for row, completion, tokens in zip(rows, completions, ids, strict=True)
    ]
    try:
        values = pay(own, cases, end, limit, step=number - 1)
    except RewardError as error:
        problem = f"round {number}: {error}; the last complete round is kept"
        raise TrainingError(f"{problem}: correct the function, and the same command resumes the run") from None
    return [
        keep and all(value is not None and value > 0 for value in paid)
        for keep, paid in zip(kept, zip(*values, strict=True), strict=True)
    ]
