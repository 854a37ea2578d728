"""What can be known to be wrong with a run of reinforcement learning before a model is loaded."""

from data_mix.errors import InputError, nearest
from data_mix.folder import check_folder
from eval.generate import encode_prompts
from eval.run import check_model_path
from rewards import functions
from rewards.equality import readable


def check_start(recipe, model_args) -> None:
    """Raises InputError for rewards that do not exist, or a mixture or checkpoint that is not there."""
    for name in recipe.rewards:
        if name not in functions.NAMES:
            known = ", ".join(functions.NAMES)
            raise InputError(f"rewards: '{name}' is unknown; there are {known}{nearest(name, functions.NAMES)}")
    if not recipe.rewards:
        raise InputError("rewards: name at least one")
    path = model_args.model_name_or_path
    if path is None:
        raise InputError("model_name_or_path is missing; give the SFT checkpoint to start from")
    made_by = f"`accelerate launch recipes/sft.py --output_dir {path}` makes the default's; another needs its --config"
    check_model_path(path, "model_name_or_path", made_by)
    check_folder(recipe.mixture)


def check_lengths(rows: list[dict], tokenizer, args, context: int) -> int:
    """The tokens that the longest prompt and `max_completion_length` take together; `args` has that and vllm_max_model_length.

    Raises:
        InputError: when that is more than the model's, or the engine's, context.
    """
    longest = max(len(ids) for ids in encode_prompts(tokenizer, [row["prompt"] for row in rows]))
    need, have = longest + args.max_completion_length, min(context, args.vllm_max_model_length or context)
    if need > have:
        raise InputError(
            f"longest prompt ({longest} tokens) + max_completion_length ({args.max_completion_length}) is {need}, more than "
            f"the context of {have} (vllm_max_model_length, the model's own {context}); shorten one or raise the other"
        )
    return need


def check_golds(rewards: list[str], rows: list[dict]) -> None:
    """Raises InputError for rewards that a problem's gold answer or chain cannot decide: they would be silent zeros."""
    if {"chain", "valid"} & set(rewards) and not all(functions.has_chain(row["meta"]) for row in rows):
        raise InputError(
            "rewards: chain and valid need problems whose chain can be checked (synthetic ones, or the gsm8k style); use answer"
        )
    unreadable = [row["problem_id"] for row in rows if not readable(row["answer"])]
    if unreadable:
        first = ", ".join(unreadable[:5])
        raise InputError(f"{len(unreadable)} gold answers cannot be read by the verifier: {first}; mend or drop these problems")
