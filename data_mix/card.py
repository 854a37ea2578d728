"""Writes the dataset card: `load_dataset(DIR)` reads the splits from it, and the hub shows it as the description."""

from data_mix.recognition import describe_error


def p_cot(manifest: dict) -> float:
    """The share in long form, as configured."""
    return manifest["config"]["forms"].get("long", 0.0)


def long_rows(manifest: dict) -> float:
    """The share of training rows in long form. With `unit: tokens` it is smaller than p_cot, a share of tokens."""
    if manifest["config"]["unit"] != "tokens":
        return p_cot(manifest)
    return sum(count["rows"] for count in manifest["counts"] if count["form"] == "long") / manifest["rows"]["train"]


def long_rows_by_source(manifest: dict) -> dict[str, float]:
    """The same for each source."""
    rows: dict[str, dict[str, int]] = {}
    for count in manifest["counts"]:
        rows.setdefault(count["source"], {})[count["form"]] = count["rows"]
    return {source: forms.get("long", 0) / sum(forms.values()) for source, forms in rows.items() if sum(forms.values())}


def _forms(manifest: dict) -> str:
    return ", ".join(f"{form} {share:g}" for form, share in manifest["config"]["forms"].items())


def describe(manifest: dict) -> str:
    """A mixture in one line: its sources, the shares of its forms, and its rows."""
    sources = ", ".join(source["task"] for source in manifest["config"]["sources"])
    text = f"{sources}; forms: {_forms(manifest)}; {manifest['rows']['train']} train rows, seed {manifest['seed']}"
    reports = [source["recognition"] for source in manifest.get("sources", {}).values() if "recognition" in source]
    return "; ".join([text, *(f"recognition of forms {describe_error(report)}" for report in reports)])


def write_card(manifest: dict) -> str:
    """The text of the dataset card (README.md with YAML front matter)."""
    lines = [
        "---",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - {split: train, path: train.parquet}",
        "  - {split: test, path: test.parquet}",
        "task_categories: [text-generation]",
        "tags: [chain-of-thought, cotmix]",
        "---",
        "",
        "# A mixture of short and long chains of thought",
        "",
        f"{manifest['rows']['train']} train and {manifest['rows']['test']} test rows, seed {manifest['seed']}; "
        f"p_cot {p_cot(manifest):g}; forms at shares of {manifest['config']['unit']}: {_forms(manifest)}. Built by cotmix; "
        "`manifest.json` says from what, and builds it again.",
        "",
        f"| source | form | rows | median length ({manifest['length_unit']}) | longest |",
        "|---|---|---|---|---|",
        *(f"| {c['source']} | {c['form']} | {c['rows']} | {c['p50']} | {c['max']} |" for c in manifest["counts"]),
        "",
        "How to load it (`DIR`: this folder, or its name on the hub): `datasets.load_dataset(DIR)`.",
        "",
        "Columns: `problem_id, source, form, prompt, completion, answer, meta`; `meta` is JSON and tells a verifier how to",
        "read the answer. The licences of the sources apply to their rows.",
    ]
    return "\n".join(lines) + "\n"
