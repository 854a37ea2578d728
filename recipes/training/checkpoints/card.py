"""The model card: what the model was trained on and how, its held-out results, and how to load it.

All of it comes from the run's own files (recipe.json, log.jsonl, the mixture's manifest), so that all recipes share it. TRL
writes a card of its own at every checkpoint; `OwnCard` prevents that.
"""

from pathlib import Path

from data_mix import card, files, hub
from data_mix.errors import InputError
from data_mix.mixture_folder import read_manifest
from data_mix.rows import read_file
from eval.model_folder import read_history
from recipes.training.tracking.log import read_heldout

# TRL's training_args.bin is a pickle that holds hub_token.
NOT_PUSHED = ("_*", ".*", "**/.*", "checkpoint-*", "rollouts/*", "training_args.bin")
FIELDS = ("algorithm", "rewards", "rounds", "max_steps", "num_train_epochs", "learning_rate", "per_device_train_batch_size")
FIELDS += ("gradient_accumulation_steps", "num_generations", "temperature", "beta", "use_peft", "bf16", "seed")
RESULTS = {
    "greedy accuracy": "heldout/greedy/accuracy",
    "sampled accuracy": "heldout/sampled/accuracy",
    "greedy p_long": "heldout/greedy/p_long",
    "sampled p_long": "heldout/sampled/p_long",
    "mean length, greedy": "heldout/greedy/length/mean",
}


class OwnCard:
    """Mixin for transformers' Trainer: no card from TRL. Ours is written with the final model."""

    def create_model_card(self, *args, **kwargs) -> None:
        """Does nothing; called by TRL at every checkpoint."""


def write_card(output_dir: str, hub_model_id: str | None = None) -> None:
    """Writes the run's model card to README.md in its output folder."""
    files.write_text(Path(output_dir) / "README.md", make_card(output_dir, hub_model_id))


def push(args) -> None:
    """Uploads the final model to the hub.

    Args:
        args: TRL's SFTConfig or GRPOConfig; its hub_model_id, hub_private_repo, hub_revision and hub_token say where to.

    Raises:
        InputError: when the hub refuses it. The model is in the output folder then.
    """
    folder = Path(args.output_dir)
    name = args.hub_model_id or folder.absolute().name
    url = hub.upload(folder, name, "model", args.hub_private_repo, args.hub_token, args.hub_revision, NOT_PUSHED)
    print(f"{folder}: pushed to {url}")


def make_card(output_dir: str, hub_model_id: str | None = None) -> str:
    """The text of the model card (Markdown with YAML front matter)."""
    from huggingface_hub import EvalResult, ModelCardData

    history = read_history(output_dir)
    recipe, stage = history[0], " after ".join(_stage(one) for one in history)
    name = (hub_model_id or Path(output_dir).absolute().name).rsplit("/", 1)[-1]
    base = history[-1].get("model_name_or_path")
    manifest = _manifest(recipe["mixture"])
    measured = read_heldout(output_dir)
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type="cotmix",
            dataset_name=f"{recipe['heldout_problems']} held-out problems of the mixture",
            metric_type="accuracy",
            metric_name=label,
            metric_value=round(measured[-1][RESULTS[label]], 4),
        )
        for label in ("greedy accuracy", "sampled accuracy")
        if measured
    ]
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=base if base and hub.is_hub_id(base) else None,
        datasets=_hub_datasets(manifest) or None,
        tags=["cotmix", "chain-of-thought", "trl", _stage(recipe).lower()],
        model_name=name if results else None,
        eval_results=results or None,
    )
    table = {
        "base model": base or f"none: trained from scratch ({history[-1]['model_config']['model_type']})",
        "mixture": f"`{recipe['mixture']}`" + (f": {card.describe(manifest)}" if manifest else ""),
        "p_cot": f"{card.p_cot(manifest):g}" if manifest else "unknown",
    }
    values = {field: recipe.get(field) for field in FIELDS}
    table |= {field: f"`{value}`" for field, value in values.items() if value not in (None, "", -1) and value is not False}
    if {"max_steps", "rounds"} & {*table}:  # they take precedence
        table.pop("num_train_epochs", None)
    lines = ["---", data.to_yaml(), "---", "", f"# {name}", "", f"{stage}, trained with cotmix.", "", "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in table.items()]
    if measured:
        problems = f"{recipe['heldout_problems']} held-out problems; sampled at temperature 1; lengths in tokens."
        lines += ["", "## Results", "", problems, "", f"| | {' | '.join(RESULTS)} |", "|---|" + "---|" * len(RESULTS)]
        for when, entry in (("before training", measured[0]), ("after", measured[-1])):
            lines.append(f"| {when} | {' | '.join(f'{entry[key]:.3f}' for key in RESULTS.values())} |")
    where = hub_model_id or output_dir
    lines += ["", "## How to use", "", "```python", "from transformers import pipeline", ""]
    lines += [f"generate = pipeline('text-generation', model={where!r})", f"prompt = {_prompt(recipe['mixture'])!r}"]
    lines += ["print(generate(prompt, max_new_tokens=256)[0]['generated_text'])", "```", ""]
    lines += ["`recipe.json` has every setting, `log.jsonl` the metrics of every step."]
    return "\n".join(lines) + "\n"


def _stage(recipe: dict) -> str:
    return "STaR" if "rounds" in recipe else "GRPO" if "algorithm" in recipe else "SFT"


def _manifest(mixture: str) -> dict | None:
    try:
        return read_manifest(mixture)
    except InputError:  # moved or removed since
        return None


def _hub_datasets(manifest: dict | None) -> list[str]:
    """The hub ids of the mixture's sources."""
    origins = [source.get("origin") or {} for source in (manifest or {"sources": {}})["sources"].values()]
    return [origin["hub"] for origin in origins if origin.get("hub")]


def _prompt(mixture: str) -> str | list[dict]:
    """A test problem's prompt, as the model has learned to read it."""
    try:
        return read_file(Path(mixture) / "test.parquet", first=1)[0]["prompt"]
    except InputError:
        return "..."
