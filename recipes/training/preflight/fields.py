"""Fields of TRL's and transformers' configs that a recipe would ignore, or that would train something else than configured."""

from collections.abc import Iterator

from recipes.training.preflight.environment import Environment
from recipes.training.preflight.findings import Finding

LEAVE_OUT = "leave it out"
# field → the value it must have, why, and what to do instead
FIXED = {
    "include_num_input_tokens_seen": ("no", "tokens would be counted twice", "leave it out; the log has num_tokens"),
    "trust_remote_code": (False, "code that comes with a model is never run", LEAVE_OUT),
    "resume_from_checkpoint": (None, "a run resumes from the checkpoints in its own output_dir", LEAVE_OUT),
    "ignore_data_skip": (False, "a resumed run would train on its first rows again", LEAVE_OUT),
    "model_init_kwargs": (None, "it would reach only the reference model", "use dtype and attn_implementation"),
    "model_revision": (
        "main",
        "revisions are not downloaded",
        "run `hf download NAME --revision REVISION --local-dir DIR`, and give DIR as model_name_or_path",
    ),
}
FIXED_IN_GRPO = {
    "use_liger_kernel": (False, "its loss bypasses the trainer's", LEAVE_OUT),
    "neftune_noise_alpha": (None, "the trainer would score completions with a different model than sampled them", LEAVE_OUT),
    "use_transformers_continuous_batching": (False, "rollouts would not use it", LEAVE_OUT),
    "cache_implementation": (None, "rollouts would not use it", LEAVE_OUT),
    "remove_unused_columns": (False, "rewards need the columns that it removes", LEAVE_OUT),
}


def check_fixed(stage: str, args, model_args) -> Iterator[Finding]:
    """Fields with a value that a recipe cannot use.

    Args:
        stage: sft, grpo or star.
        args: TRL's SFTConfig or GRPOConfig.
        model_args: TRL's ModelConfig.
    """
    for field, (value, reason, fix) in (FIXED | (FIXED_IN_GRPO if stage == "grpo" else {})).items():
        given = getattr(args, field, getattr(model_args, field, value))
        if given != value:
            yield Finding(field, f"{field} is {str(given).lower() if isinstance(given, bool) else given}: {reason}", fix)


def check_batching(args, model_args) -> Iterator[Finding]:
    """Ways of SFTConfig to batch rows that train something else."""
    if args.train_sampling_strategy == "group_by_length":
        # The loss is a mean over a batch's tokens. In a batch of long rows alone, the first token, which decides between the
        # forms, weighs far less than in a batch of short ones: sampled p_long was 0.05 for p_cot 0.25.
        problem = "train_sampling_strategy is group_by_length, which separates short and long rows and biases p_long"
        yield Finding("train_sampling_strategy", problem, "use random")
    keeps_apart = "flash" in (model_args.attn_implementation or "")
    for name in ("packing", "padding_free"):
        if getattr(args, name) and not keeps_apart:
            problem = f"{name} is true: without flash attention, rows would attend to each other"
            yield Finding(name, problem, LEAVE_OUT)
    if args.packing and args.packing_strategy == "wrapped":
        problem = "packing_strategy is wrapped, which cuts rows and lets them attend to each other"
        yield Finding("packing_strategy", problem, "use bfd")
    if keeps_apart and args.padding_free and not args.packing and args.max_length:
        problem = f"padding_free is true and max_length {args.max_length}, which TRL does not take together"
        yield Finding("padding_free", problem, "set max_length to null")


def check_grpo(args, model_args, resamples: bool, async_steps: int, environment: Environment) -> Iterator[Finding]:
    """Combinations of GRPOConfig's fields, and of its fields with ours, that fail late or would train something else.

    Args:
        args: TRL's GRPOConfig.
        model_args: TRL's ModelConfig.
        resamples: whether the algorithm resamples zero-variance groups.
        async_steps: the recipe's.
        environment: the planned environment, or this one.
    """
    if args.sync_ref_model and (not args.beta or model_args.use_peft):
        problem = "sync_ref_model is true, but without beta, or with an adapter, there is no reference model to sync"
        yield Finding("sync_ref_model", problem, LEAVE_OUT)
    elif args.sync_ref_model and args.save_strategy != "no":
        problem = "sync_ref_model is true, but checkpoints lack the reference model, so a resumed run would not be the same"
        yield Finding("sync_ref_model", problem, f"set save_strategy to 'no', or {LEAVE_OUT}")
    if args.logging_strategy == "no":
        problem = "logging_strategy is no: max_logp_difference is checked when a step is logged"
        yield Finding("logging_strategy", problem, "use steps")
    if resamples and async_steps:
        problem = "async_steps is 1 with dynamic sampling: resampled groups would wait for the next step's completions"
        yield Finding("async_steps", problem, "set it to 0, or use another algorithm")
    parts = args.vllm_tensor_parallel_size
    if args.use_vllm and args.vllm_mode == "colocate" and environment.processes % parts:
        problem = f"vllm_tensor_parallel_size is {parts}, which does not divide the {environment.processes} processes"
        yield Finding("vllm_tensor_parallel_size", problem, "use a divisor")
