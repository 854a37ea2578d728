"""Checks of a config, its data and its model: settings that would fail late, or silently train something else."""

import functools
import importlib.util
import re
from collections.abc import Iterator, Sequence

from data_mix.errors import InputError, nearest
from eval.generation.machine import has_bfloat16, has_gpu, head_size
from eval.generation.tokens import encode_prompts, end_ids
from recipes.training.preflight.findings import Finding
from rewards import functions, specs, trial
from rewards.built_in import BUILT_IN, VERIFIED
from rewards.equality import readable
from rewards.functions import text_of
from rewards.own import RewardError

DROPOUT = ("embd_pdrop", "resid_pdrop", "attn_pdrop", "attention_dropout", "hidden_dropout", "embedding_dropout")
ENDING = 2  # tokens after a completion: the end token, and the newline that chat templates put after it


def check_training(args, model_args, gpu: bool) -> Iterator[Finding]:
    """Optimization settings that learn nothing, lose updates or are very slow, and metrics that would be wrong."""
    if args.learning_rate <= 0:
        yield Finding("learning_rate", f"learning_rate is {args.learning_rate}", "it must be more than 0")
    if model_args.dtype == "float16":
        problem = "dtype is float16: without a scaler, gradients underflow"
        yield Finding("dtype", problem, "use float32 weights with bf16 or fp16")
    if model_args.dtype == "bfloat16" and not model_args.use_peft and args.learning_rate < 1e-4:
        problem = f"dtype is bfloat16 and learning_rate {args.learning_rate}: updates under 0.4% of a weight are lost"
        yield Finding("dtype", problem, "use dtype float32 with bf16 true", "note")
    if (args.use_cpu or not gpu) and not has_bfloat16():
        for name, value, other in (("bf16", args.bf16, "false"), ("dtype", model_args.dtype == "bfloat16", "float32")):
            if value:
                problem = "this CPU has no instructions for bfloat16, which makes training more than 30 times slower"
                yield Finding(name, problem, f"use {name} {other}", "note")


def count_tokens(rows: list[dict], tokenizer) -> list[int]:
    """The tokens of each row, as TRL trains on it."""
    prompts = encode_prompts(tokenizer, [row["prompt"] for row in rows])
    texts = [text_of(row["completion"]) for row in rows]
    completions = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [len(p) + len(c) + ENDING for p, c in zip(prompts, completions, strict=True)]


def check_rows(lengths: list[int], args, context: int) -> Iterator[Finding]:
    """Rows that TRL would silently truncate to `max_length` tokens: the end, where the answer is, would be lost."""
    limit = min(args.max_length or context, context)
    if max(lengths) > limit:
        over = sum(length > limit for length in lengths)
        problem = f"{over} of {len(lengths)} rows are longer than {limit} tokens (the longest has {max(lengths)})"
        yield Finding("max_length", problem, "raise max_length")


def check_max_length(max_length: int | None, length: int | None) -> Iterator[Finding]:
    """Rollouts that TRL would truncate when it trains on them; `length` is that of the longest prompt and completion."""
    if max_length and length and length + ENDING > max_length:
        problem = f"max_length is {max_length}, but a prompt with its completion can have {length + ENDING} tokens"
        yield Finding("max_length", problem, "raise max_length, or lower max_completion_length")


def check_dropout(config, disabled: bool) -> Iterator[Finding]:
    """Dropout in the model, which changes the trainer's log-probs, but not the sampler's. `disabled`: TRL sets it to 0."""
    rates = {name: value for name, value in config.to_dict().items() if name in DROPOUT and value}
    attention = rates.pop("attention_dropout", 0)  # an attribute, not a module, in most models: TRL leaves it alone
    effect = "the trainer would score completions with a different model than sampled them"
    if rates and not disabled:
        listed = ", ".join(f"{name} {value}" for name, value in rates.items())
        yield Finding("disable_dropout", f"the model has dropout ({listed}): {effect}", "set disable_dropout to true")
    if attention:
        yield Finding(
            "model_name_or_path", f"the model's attention_dropout is {attention}: {effect}", "set it to 0 in its config.json"
        )


def check_heldout(recipe, processes: int) -> Iterator[Finding]:
    """Fewer held-out problems than processes, which split them. With 0, nothing is tracked."""
    if 0 < recipe.heldout_problems < processes:
        problem, fix = (
            f"heldout_problems is {recipe.heldout_problems}",
            f"it must be at least the number of processes, {processes}, or 0 to track nothing",
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
        prompts = encode_prompts(tokenizer, [row["prompt"] for row in rows[:100]])
        texts = [text_of(row["prompt"]) + text_of(row["completion"]) for row in rows[:100]]
        both = tokenizer(texts)["input_ids"]
    except InputError as error:
        yield Finding("chat_template", error.problem, error.fix)
        return
    except Exception as error:  # the tokenizers library raises no narrower type
        problem = f"the tokenizer cannot encode the mixture ({' '.join(str(error).split())})"
        yield Finding("tokenizer", problem, "give tokenizer_characters all characters of the problems, or use another model")
        return
    if isinstance(rows[0]["prompt"], str) and any(ids[: len(start)] != start for start, ids in zip(prompts, both, strict=True)):
        problem = "the end of a prompt and the beginning of its completion share a token, which rollouts and evals never see"
        yield Finding("prompt_template", problem, "end the mixture's prompt_template with a newline, or without white space")
        return
    if tokenizer.bos_token_id is not None and prompts[0][:2] == [tokenizer.bos_token_id] * 2:
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
    paths = [name for name, _ in model.named_modules() if name]
    names = {path.rsplit(".", 1)[-1] for path in paths}
    for field in ("lora_target_modules", "lora_modules_to_save"):
        modules = getattr(model_args, field) or []
        if isinstance(modules, str) and modules != "all-linear":
            try:
                matched = [path for path in paths if re.fullmatch(modules, path)]
            except re.error as error:
                matched, problem = [], f"{field}: '{modules}' is not a valid regular expression ({error})"
            else:
                problem = f"{field}: no module has the path '{modules}'"
            if not matched:  # PEFT matches a text with whole paths, and TRL makes one of a list of one
                if any(path.endswith(f".{modules}") for path in paths):
                    fix = f"write '.*\\.{modules}'"
                else:
                    fix = f"the modules are {', '.join(sorted(names))}{nearest(modules, names)}"
                yield Finding(field, problem, fix)
            modules = matched
        for module in dict.fromkeys(path.rsplit(".", 1)[-1] for path in modules if modules != "all-linear"):
            if module not in names:
                problem = f"{field}: the model has no module '{module}'{nearest(module, names)}"
                yield Finding(field, problem, f"it has {', '.join(sorted(names))}")
            elif config.tie_word_embeddings and module in ("lm_head", "embed_tokens"):
                problem = (
                    f"{field}: {module} is tied (tie_word_embeddings): an adapter on one copy is not merged into the other"
                )
                yield Finding(field, problem, "leave it out")
            elif module == "lm_head" and field == "lora_target_modules":
                yield Finding(
                    field, f"{field}: TRL's trainers do not take an adapter on lm_head", "leave it out, or change the pattern"
                )


def check_head_size(config, field: str, level: str) -> Iterator[Finding]:
    """Attention heads of a size that vLLM, if it is installed, has no CPU kernel for.

    Args:
        config: the model's config.
        field: the field that the model comes from.
        level: of the finding: without rollouts, it does not stop the run.
    """
    size = head_size(config)
    if has_gpu() or size in (64, 80, 96, 112, 128, 256):  # vLLM is asked about unusual sizes only: importing it takes seconds
        return
    if not importlib.util.find_spec("vllm"):
        return
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    supported = CPUAttentionBackend.get_supported_head_sizes()
    if size not in supported:
        problem = f"the model's attention heads have size {size}; vLLM on CPU runs only {', '.join(map(str, supported))}"
        yield Finding(field, problem, "change hidden_size or num_attention_heads", level)


def check_rewards(
    rewards: Sequence[str | dict], weights: Sequence[float] | None, inputs, limit: int | None
) -> Iterator[Finding]:
    """Rewards that cannot be used, or fail for completions of the mixture.

    Args:
        rewards: entries of the config's `rewards`.
        weights: TRL's reward_weights.
        inputs: the mixture's rows and the tokenizer, both None if they could not be read.
        limit: max_completion_length.
    """
    try:
        specs.parse(rewards, weights)
        if inputs.rows and limit and limit > 0:
            tokenizer = inputs.tokenizer
            encode = functools.partial(tokenizer.encode, add_special_tokens=False) if tokenizer else trial.encode_characters
            trial.check(rewards, inputs.rows, encode, tokenizer.eos_token_id if tokenizer else 0, limit)
    except (ValueError, RewardError) as error:
        yield Finding("rewards", str(error), "")


def check_groups(rewards: Sequence[str | dict], args, processes: int) -> Iterator[Finding]:
    """The reward `brevity` where the completions of a problem are split over processes, which compute rewards separately."""
    local = args.per_device_train_batch_size * args.steps_per_generation
    if processes > 1 and "brevity" in _names(rewards) and local % args.num_generations:
        problem = (
            f"rewards: brevity compares the completions of a problem, but per_device_train_batch_size x steps_per_generation "
            f"({local}) is not a multiple of num_generations ({args.num_generations}), which splits them over processes"
        )
        yield Finding("rewards", problem, "change one of them")


def check_verdicts(rewards: Sequence[str | dict]) -> Iterator[Finding]:
    """STaR: rewards that are not yes-or-no verdicts, and reward settings that only RL uses."""
    for name in sorted(_names(rewards) & set(BUILT_IN) - set(VERIFIED)):
        problem = f"rewards: {name} is not a verdict, so it cannot decide which completions to keep"
        yield Finding("rewards", problem, "use answer, chain, valid, format or a function of your own")
    if any(isinstance(entry, dict) and "weight" in entry for entry in rewards or ()):
        problem = "rewards: a weight has no effect, because a completion is kept if every reward is positive"
        yield Finding("rewards", problem, "leave it out")


def _names(rewards: Sequence[str | dict]) -> set[str]:
    """The names, files and modules in the entries of a config's `rewards`."""
    return {str(entry.get("reward")) if isinstance(entry, dict) else str(entry) for entry in rewards or ()}


def check_golds(rewards: Sequence[str | dict], rows: list[dict]) -> Iterator[Finding]:
    """Rewards that would silently be 0, because the gold answer or the chain cannot be verified."""
    if {"chain", "valid"} & _names(rewards) and not all(functions.has_chain(row["meta"]) for row in rows):
        problem = "rewards: chain and valid need problems whose chain can be checked (synthetic ones, or the gsm8k style)"
        yield Finding("rewards", problem, "use answer")
    unreadable = [row["problem_id"] for row in rows if not readable(row["answer"])]
    if unreadable:
        problem = f"{len(unreadable)} gold answers cannot be read by the verifier: {', '.join(unreadable[:5])}"
        yield Finding("mixture", problem, "fix or drop these problems")


def check_sampling(sampling) -> Iterator[Finding]:
    """Rollouts that teach nothing or have other log-probs than the trainer; `sampling` has the engine's fields."""
    # the trainer's log-probs do include top_k, top_p and min_p
    for field, neutral in (("repetition_penalty", 1.0), ("vllm_structured_outputs_regex", None), ("generation_kwargs", None)):
        value = getattr(sampling, field, neutral)
        if value not in (neutral, {}):
            problem = f"{field} is {value}, which changes what vLLM samples but not the trainer's log-probs"
            yield Finding(field, problem, "leave it out")
    if arguments := getattr(sampling, "chat_template_kwargs", None):
        problem = f"chat_template_kwargs is {arguments}, which would change the prompts of rollouts alone"
        yield Finding("chat_template_kwargs", problem, "leave it out, and set the defaults in the tokenizer's chat template")
    if sampling.temperature <= 0:
        problem = f"temperature is {sampling.temperature}: all completions of a group would be the same"
        yield Finding("temperature", problem, "use about 1")
    if sampling.max_completion_length is None or sampling.max_completion_length < 1:
        problem = f"max_completion_length is {sampling.max_completion_length}"
        yield Finding("max_completion_length", problem, "it must be at least 1")


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
