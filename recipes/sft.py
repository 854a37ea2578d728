"""SFT: next-token prediction on the completions of a mixture, through TRL's SFTTrainer.

    accelerate launch recipes/sft.py                                          # the embedded default: parity
    accelerate launch recipes/sft.py --config recipes/gsm8k/smollm2-135m-cpu/sft.yaml --output_dir runs/gsm8k/sft

Reads a mixture folder, writes a checkpoint folder that recipes/grpo.py and `python -m eval run` read. From scratch when
the config gives `model_config`, else from `model_name_or_path`; LoRA with `use_peft`, merged into the weights at the end.
"""

from dataclasses import dataclass, field
from pathlib import Path

from eval import machine

machine.prepare()

import trl  # noqa: E402

from data_mix.errors import InputError  # noqa: E402
from data_mix.folder import check_folder, read_rows, text_of  # noqa: E402
from eval.generate import context_length, encode_prompts  # noqa: E402
from eval.run import check_model_path  # noqa: E402
from recipes.training import config, cpu, models, tracking  # noqa: E402
from recipes.training.run import train_and_save  # noqa: E402


@dataclass
class SFTRecipe:
    """What the recipe needs beside TRL's SFTConfig and ModelConfig."""

    mixture: str = field(metadata={"help": "mixture folder, made by `python -m data_mix build`"})
    model_config: dict | str | None = field(
        default=None, metadata={"help": "AutoConfig fields, from scratch: a mapping in YAML, JSON on the command line"}
    )
    tokenizer_characters: str | None = field(default=None, metadata={"help": "from scratch: one token a character"})
    heldout_problems: int = field(default=128, metadata={"help": "test problems that are tracked during training"})
    heldout_every: int = field(default=0, metadata={"help": "track every N steps (0: only before and after)"})
    heldout_max_tokens: int = field(default=256, metadata={"help": "token limit of tracked completions"})
    check_only: bool = field(default=False, metadata={"help": "stop after the checks, before a model is loaded"})


def check(recipe: SFTRecipe, args: trl.SFTConfig, model_args: trl.ModelConfig) -> None:
    """What can be known to be wrong before anything is loaded."""
    if isinstance(recipe.model_config, str):
        recipe.model_config = config.parse_mapping(recipe.model_config, "model_config")
    if (recipe.model_config is None) == (model_args.model_name_or_path is None):
        raise InputError("give either model_config (train from scratch) or model_name_or_path (a checkpoint)")
    if (recipe.model_config is None) != (recipe.tokenizer_characters is None):
        raise InputError("model_config and tokenizer_characters go together: from scratch needs both")
    if args.train_sampling_strategy == "group_by_length":
        # The loss is a mean over a batch's tokens. In a batch of long rows alone, the first token, which decides between
        # the forms, weighs far less than in a batch of short ones: p_long came out at 0.05 for p_cot 0.25.
        raise InputError(
            "train_sampling_strategy group_by_length parts short rows from long ones and biases p_long; use random"
        )
    if args.chat_template_path and not Path(args.chat_template_path).is_file():
        raise InputError(f"chat_template_path {args.chat_template_path}: no such file; give a .jinja file")
    check_folder(recipe.mixture)
    config.check_output_dir(args.output_dir, recipe, args, model_args)
    if model_args.model_name_or_path:
        made_by = "give a folder with config.json or a hub id (recipes/export_smollm2.py exports a small real one)"
        check_model_path(model_args.model_name_or_path, "model_name_or_path", made_by)


def check_lengths(rows: list[dict], tokenizer, args: trl.SFTConfig, context: int) -> None:
    """Refuses rows that TRL would cut at `max_length` without a word: the end, where the answer is, would go."""
    limit = min(args.max_length or context, context)
    prompts = encode_prompts(tokenizer, [row["prompt"] for row in rows])
    texts = [text_of(row["completion"]) for row in rows]
    completions = tokenizer(texts, add_special_tokens=False)["input_ids"]
    # two more: the end token, and the newline that chat templates put after it
    lengths = [len(p) + len(c) + 2 for p, c in zip(prompts, completions, strict=True)]
    if max(lengths) > limit:
        over = sum(length > limit for length in lengths)
        longest = f"the longest has {max(lengths)}"
        raise InputError(f"{over} of {len(rows)} rows are longer than {limit} tokens ({longest}); raise max_length")


def main(recipe: SFTRecipe, args: trl.SFTConfig, model_args: trl.ModelConfig) -> None:
    """Trains and saves; see the module docstring."""
    check(recipe, args, model_args)
    from datasets import Dataset
    from transformers import AutoConfig, AutoModelForCausalLM, set_seed

    path = model_args.model_name_or_path
    tokenizer = models.load_tokenizer(path) if path else models.character_tokenizer(recipe.tokenizer_characters)
    if args.chat_template_path:  # TRL reads it too, but the length check comes first
        tokenizer.chat_template = Path(args.chat_template_path).read_text(encoding="utf-8")
    rows = read_rows(recipe.mixture, "train")
    model_config = AutoConfig.from_pretrained(path) if path else models.make_config(recipe.model_config, tokenizer)
    check_lengths(rows, tokenizer, args, context_length(model_config))
    if recipe.check_only:
        return

    set_seed(args.seed)
    kinds = {"dtype": model_args.dtype, "attn_implementation": model_args.attn_implementation}
    if path:
        model = AutoModelForCausalLM.from_pretrained(path, **kinds)
    else:
        model = AutoModelForCausalLM.from_config(model_config, **kinds)
    models.set_end_tokens(model, tokenizer)
    config.save_config(args.output_dir, recipe, args, model_args)
    cpu.score_labels_only()

    trainer = trl.SFTTrainer(
        model=model,
        args=args,
        train_dataset=Dataset.from_list([{"prompt": r["prompt"], "completion": r["completion"]} for r in rows]),
        processing_class=tokenizer,
        peft_config=trl.get_peft_config(model_args),
        callbacks=[tracking.JsonlLog(args.output_dir)],
    )
    sampler = tracking.ModelSampler(trainer, tokenizer, recipe.heldout_max_tokens)
    train_and_save(trainer, sampler, recipe)
    if trainer.accelerator.is_main_process:
        print(f"{args.output_dir}: saved; next `accelerate launch recipes/grpo.py --model_name_or_path {args.output_dir} ...`")


if __name__ == "__main__":
    here = Path(__file__).parent
    config.run_recipe(main, (SFTRecipe, trl.SFTConfig, trl.ModelConfig), str(here / "parity" / "sft.yaml"))
