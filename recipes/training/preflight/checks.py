"""Checks of a config, its data and its model: settings that would fail late, or silently train something else."""

from collections.abc import Iterator, Sequence

from data_mix.errors import InputError, nearest
from eval.generation.tokens import encode_prompts, end_ids
from recipes.training.preflight.environment import Environment
from recipes.training.preflight.findings import Finding
from rewards import functions
from rewards.equality import readable
from rewards.functions import text_of


def check_training(args, model_args) -> Iterator[Finding]:
    """Optimization settings that learn nothing, or lose updates."""
    if args.learning_rate <= 0:
        yield Finding("learning_rate", f"learning_rate is {args.learning_rate}", "it must be more than 0")
    if model_args.dtype == "float16":
        problem = "dtype is float16: without a scaler, gradients underflow"
        yield Finding("dtype", problem, "use float32 weights with bf16 or fp16")
    if model_args.dtype == "bfloat16" and not model_args.use_peft and args.learning_rate < 1e-4:
        problem = f"dtype is bfloat16 and learning_rate {args.learning_rate}: updates under 0.4% of a weight are lost"
        yield Finding("dtype", problem, "use dtype float32 with bf16 true", "note")


def check_heldout(recipe, processes: int) -> Iterator[Finding]:
    """Fewer held-out problems than processes, which split them."""
    if recipe.heldout_problems < processes:
        problem, fix = (
            f"heldout_problems is {recipe.heldout_problems}",
            f"it must be at least the number of processes, {processes}",
        )
        yield Finding("heldout_problems", problem, fix)


def check_tokenizer(tokenizer, config, rows: list[dict]) -> Iterator[Finding]:
    """Special tokens and templates with which the model trains or stops wrongly; stops at the first problem."""
    name = tokenizer.name_or_path
    if tokenizer.eos_token_id is None:
        problem = f"the tokenizer of {name} has no eos_token, so no completion would end"
        yield Finding("eos_token", problem, "set it in its tokenizer_config.json")
        return
    if len(tokenizer) > config.vocab_size:
        problem = f"model_name_or_path {name}: the tokenizer has {len(tokenizer)} tokens, but the model {config.vocab_size}"
        yield Finding("model_name_or_path", problem, "use the model's own tokenizer, not another model's")
        return
    try:
        prompt = encode_prompts(tokenizer, [row["prompt"] for row in rows[:100]])[0]
        tokenizer([text_of(row["completion"]) for row in rows[:100]])
    except InputError as error:
        yield Finding("chat_template", error.problem, error.fix)
        return
    except Exception as error:  # the tokenizers library raises no narrower type
        problem = f"the tokenizer cannot encode the mixture ({' '.join(str(error).split())})"
        yield Finding("tokenizer", problem, "give tokenizer_characters all characters of the problems, or use another model")
        return
    if tokenizer.bos_token_id is not None and prompt[:2] == [tokenizer.bos_token_id] * 2:
        problem = f"the prompt begins with {tokenizer.bos_token}, which the tokenizer adds, too"
        yield Finding("prompt_template", problem, "leave it out of the mixture's prompts")
    if not isinstance(rows[0]["prompt"], str):
        turns = [*rows[0]["prompt"], {"role": "assistant", "content": "1"}]
        ids = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)["input_ids"]
        if not set(ids[-3:]) & set(end_ids(tokenizer)):
            problem = (
                f"the chat template of {name} ends the assistant's turn without an end token: no completion would learn to end"
            )
            yield Finding("chat_template", problem, "give a chat_template_path whose turns end with eos_token")


def check_adapter(model_args, config, model) -> Iterator[Finding]:
    """LoRA on modules that do not exist, or on tied weights.

    Args:
        model_args: TRL's ModelConfig.
        config: the model's config.
        model: the model on the meta device.
    """
    if not model_args.use_peft:
        return
    targets, modules_to_save = model_args.lora_target_modules or [], model_args.lora_modules_to_save or []
    targets = [targets] if isinstance(targets, str) else targets
    names = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules() if name}
    for field, modules in (("lora_target_modules", targets), ("lora_modules_to_save", modules_to_save)):
        modules = [module.rsplit(".", 1)[-1] for module in modules if module != "all-linear"]
        for module in modules:
            if module not in names:
                problem = f"{field}: the model has no module '{module}'{nearest(module, names)}"
                yield Finding(field, problem, f"it has {', '.join(sorted(names))}")
            elif config.tie_word_embeddings and module in ("lm_head", "embed_tokens"):
                problem = (
                    f"{field}: {module} is tied (tie_word_embeddings): an adapter on one copy is not merged into the other"
                )
                yield Finding(field, problem, "leave it out")


def check_rewards(rewards: Sequence[str]) -> Iterator[Finding]:
    """Missing or unknown rewards."""
    if not rewards:
        yield Finding("rewards", "rewards is empty", "name at least one")
    for name in rewards:
        if name not in functions.NAMES:
            problem = f"rewards: '{name}' is unknown{nearest(name, functions.NAMES)}"
            yield Finding("rewards", problem, f"use one of {', '.join(functions.NAMES)}")


def check_golds(rewards: Sequence[str], rows: list[dict]) -> Iterator[Finding]:
    """Rewards that would silently be 0, because the gold answer or the chain cannot be verified."""
    if {"chain", "valid"} & set(rewards) and not all(functions.has_chain(row["meta"]) for row in rows):
        problem = "rewards: chain and valid need problems whose chain can be checked (synthetic ones, or the gsm8k style)"
        yield Finding("rewards", problem, "use answer")
    unreadable = [row["problem_id"] for row in rows if not readable(row["answer"])]
    if unreadable:
        problem = f"{len(unreadable)} gold answers cannot be read by the verifier: {', '.join(unreadable[:5])}"
        yield Finding("mixture", problem, "fix or drop these problems")


def check_sampling(sampling, environment: Environment) -> Iterator[Finding]:
    """Rollouts without variance or limit, or from a server that cannot get weights; `sampling` has the engine's fields."""
    if sampling.temperature <= 0:
        problem = f"temperature is {sampling.temperature}: all completions of a group would be the same"
        yield Finding("temperature", problem, "use about 1")
    if sampling.max_completion_length is None or sampling.max_completion_length < 1:
        problem = f"max_completion_length is {sampling.max_completion_length}"
        yield Finding("max_completion_length", problem, "it must be at least 1")
    if getattr(sampling, "vllm_mode", "colocate") == "server" and not environment.gpu:
        problem = "vllm_mode is server: weights reach it through NCCL, which needs GPUs"
        yield Finding("vllm_mode", problem, "use colocate")


def count_too_long(rows: list[dict], tokenizer, limit: int) -> tuple[int, int]:
    """How many rows in long form exceed the token limit of a completion, and how many (at most 500) were counted."""
    long = [text_of(row["completion"]) for row in rows if row["form"] == "long"][:500]
    ids = tokenizer(long, add_special_tokens=False)["input_ids"] if long else []
    return sum(len(one) >= limit for one in ids), len(long)


def check_batch(args, rows: list[dict]) -> Iterator[Finding]:
    """A generation batch with more problems than the mixture has: TRL would train on nothing."""
    problems = args.generation_batch_size // args.num_generations
    if problems > len(rows):
        problem = (
            f"generation_batch_size {args.generation_batch_size} (per_device_train_batch_size x processes x "
            f"steps_per_generation) takes {problems} problems, but the mixture has {len(rows)}"
        )
        yield Finding("generation_batch_size", problem, "make it smaller")
