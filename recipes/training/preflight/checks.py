"""What can be known to be wrong with a run before a model is loaded, each as an InputError: `what; what to do`."""

from collections.abc import Sequence
from pathlib import Path

from data_mix.errors import InputError, nearest
from eval.generation.tokens import encode_prompts, end_ids
from recipes.training.preflight.environment import Environment
from rewards import functions
from rewards.equality import readable
from rewards.functions import text_of


def check_rewards(rewards: Sequence[str]) -> None:
    """Raises InputError for rewards that do not exist."""
    for name in rewards:
        if name not in functions.NAMES:
            known = ", ".join(functions.NAMES)
            raise InputError(f"rewards: '{name}' is unknown; there are {known}{nearest(name, functions.NAMES)}")
    if not rewards:
        raise InputError("rewards: none is named; name at least one")


def check_golds(rewards: Sequence[str], rows: list[dict]) -> None:
    """Raises InputError for rewards that a problem's gold answer or chain cannot decide: they would be silent zeros."""
    if {"chain", "valid"} & set(rewards) and not all(functions.has_chain(row["meta"]) for row in rows):
        raise InputError(
            "rewards: chain and valid need problems whose chain can be checked (synthetic ones, or the gsm8k style); use answer"
        )
    unreadable = [row["problem_id"] for row in rows if not readable(row["answer"])]
    if unreadable:
        first = ", ".join(unreadable[:5])
        raise InputError(f"{len(unreadable)} gold answers cannot be read by the verifier: {first}; mend or drop these problems")


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


def count_cut(rows: list[dict], tokenizer, limit: int) -> tuple[int, int]:
    """How many of (at most 500) rows in long form are longer than a completion may be, and of how many."""
    long = [text_of(row["completion"]) for row in rows if row["form"] == "long"][:500]
    ids = tokenizer(long, add_special_tokens=False)["input_ids"] if long else []
    return sum(len(one) >= limit for one in ids), len(long)


def check_tokenizer(tokenizer, config, rows: list[dict]) -> None:
    """Raises InputError for special tokens with which a run trains or stops wrongly."""
    name = tokenizer.name_or_path
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"eos_token: the tokenizer of {name} has none, so no completion would end; set it in its tokenizer_config.json"
        )
    if len(tokenizer) > config.vocab_size:
        raise InputError(
            f"model_name_or_path {name}: the tokenizer has {len(tokenizer)} tokens and the model {config.vocab_size}; "
            "it is another model's tokenizer"
        )
    first = _encode_some(tokenizer, rows)[0]
    if tokenizer.bos_token_id is not None and first[:2] == [tokenizer.bos_token_id] * 2:
        raise InputError(
            f"prompt_template: the prompt begins with {tokenizer.bos_token}, which the tokenizer puts before it too; "
            "leave it out of the mixture's prompts"
        )
    if not isinstance(rows[0]["prompt"], str):
        turns = [*rows[0]["prompt"], {"role": "assistant", "content": "1"}]
        ids = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)["input_ids"]
        if not set(ids[-3:]) & set(end_ids(tokenizer)):
            raise InputError(
                f"chat_template: that of {name} ends the assistant's turn with none of its end tokens, so no completion would "
                "learn to end; give a chat_template_path whose turns end with eos_token"
            )


def _encode_some(tokenizer, rows: list[dict]) -> list[list[int]]:
    """The ids of the first prompts; raises InputError when they, or their completions, have what the vocabulary has not."""
    try:
        tokenizer([text_of(row["completion"]) for row in rows[:100]])
        return encode_prompts(tokenizer, [row["prompt"] for row in rows[:100]])
    except InputError:
        raise
    except Exception as error:  # of no narrower kind, by the tokenizers library
        raise InputError(
            f"tokenizer: it cannot encode the mixture ({' '.join(str(error).split())}); "
            "give tokenizer_characters all characters of the problems, or take another model"
        ) from None


def check_adapter(model_args, config, model) -> None:
    """Raises InputError for LoRA on weights that are not there, or are tied.

    Args:
        model: the model on the meta device.
    """
    if not model_args.use_peft:
        return
    targets = model_args.lora_target_modules or []
    targets = [targets] if isinstance(targets, str) else targets
    extra = model_args.lora_modules_to_save or []
    names = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules() if name}
    for field, words in (("lora_target_modules", targets), ("lora_modules_to_save", extra)):
        unknown = [word for word in words if word != "all-linear" and word.rsplit(".", 1)[-1] not in names]
        if unknown:
            raise InputError(
                f"{field}: the model has no '{unknown[0]}'"
                f"{nearest(unknown[0], names) or '; it has ' + ', '.join(sorted(names))}"
            )
        tied = {"lm_head", "embed_tokens"} & {word.rsplit(".", 1)[-1] for word in words}
        if config.tie_word_embeddings and tied:
            raise InputError(
                f"{field}: {tied.pop()} shares its weights with the embeddings (tie_word_embeddings), and an adapter on one "
                "would not be merged into the other; leave it out"
            )


def check_sampling(sampling, environment: Environment) -> None:
    """Raises InputError for rollouts that vLLM cannot give, or that teach nothing; `sampling` has the engine's fields."""
    if sampling.temperature <= 0:
        raise InputError(
            f"temperature is {sampling.temperature}, with which a group's completions are all the same; use about 1"
        )
    if sampling.max_completion_length is None or sampling.max_completion_length < 1:
        raise InputError(f"max_completion_length is {sampling.max_completion_length}; give the most tokens of a completion")
    if not 0 < sampling.vllm_gpu_memory_utilization <= 1:
        given = f"vllm_gpu_memory_utilization is {sampling.vllm_gpu_memory_utilization}"
        raise InputError(f"{given}; it is a share, more than 0 and at most 1")
    tensor_parallel = getattr(sampling, "vllm_tensor_parallel_size", 1)
    if environment.processes % tensor_parallel:
        given = f"vllm_tensor_parallel_size is {tensor_parallel}"
        raise InputError(f"{given} and does not divide the {environment.processes} processes; use a divisor")
    if environment.gpu:
        return
    if getattr(sampling, "vllm_mode", "colocate") == "server":
        raise InputError("vllm_mode is server: weights reach it through NCCL, which needs GPUs; use colocate")
    if getattr(sampling, "vllm_enable_sleep_mode", False):
        raise InputError("vllm_enable_sleep_mode is true, which needs a GPU; set it to false")


def check_enough(args, rows: list[dict]) -> None:
    """Raises InputError when one generation takes more problems than there are: TRL would train on nothing."""
    problems = args.generation_batch_size // args.num_generations
    if problems > len(rows):
        raise InputError(
            f"generation_batch_size {args.generation_batch_size} (per_device_train_batch_size x processes x "
            f"steps_per_generation) takes {problems} problems, and the mixture has {len(rows)}; make it smaller"
        )


def check_cached(model: str) -> None:
    """Raises InputError for a hub id that is not in the cache while HF_HUB_OFFLINE keeps the hub out."""
    from huggingface_hub import constants, try_to_load_from_cache

    if not Path(model).exists() and constants.HF_HUB_OFFLINE and not try_to_load_from_cache(model, "config.json"):
        raise InputError(f"model_name_or_path {model}: not in the cache, and HF_HUB_OFFLINE is set; unset it, or give a folder")


def check_training(args, model_args) -> None:
    """Raises InputError for settings with which the trainer does nothing, or something else than they say."""
    if args.max_steps <= 0 and args.num_train_epochs <= 0:
        raise InputError(f"max_steps is {args.max_steps} and num_train_epochs {args.num_train_epochs}; set one of them")
    if args.learning_rate <= 0:
        raise InputError(f"learning_rate is {args.learning_rate}; it must be more than 0")
    if model_args.dtype == "float16":
        raise InputError("dtype is float16, in which gradients of a whole model vanish; use float32 weights with bf16 or fp16")
    if args.save_strategy == "steps" and args.save_total_limit is not None and args.save_total_limit < 1:
        raise InputError(f"save_total_limit is {args.save_total_limit}; keep at least one, or leave it out")


def check_held_out(recipe, processes: int) -> None:
    """Raises InputError for fewer held-out problems than processes, each of which takes its share."""
    if recipe.heldout_problems < processes:
        raise InputError(f"heldout_problems is {recipe.heldout_problems}; it must be at least the {processes} processes")


def loses_updates(args, model_args) -> bool:
    """Whether weights are 16 bits wide and the steps too small for them: updates under 0.4% of a weight are lost."""
    return model_args.dtype == "bfloat16" and not model_args.use_peft and args.learning_rate < 1e-4
