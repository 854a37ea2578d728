"""Writes the dataset card: `load_dataset(DIR)` reads the splits from it, and the hub shows it as the description."""


def write_card(manifest: dict) -> str:
    """The text of the dataset card (README.md with YAML front matter)."""
    config = manifest["config"]
    forms = ", ".join(f"{form} {share:g}" for form, share in config["forms"].items())
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
        f"forms at shares of {config['unit']}: {forms}. Built by cotmix; `manifest.json` says from what, and builds it again.",
        "",
        f"| source | form | rows | median length ({manifest['length_unit']}) | longest |",
        "|---|---|---|---|---|",
        *(f"| {c['source']} | {c['form']} | {c['rows']} | {c['p50']} | {c['max']} |" for c in manifest["counts"]),
        "",
        "Columns: `problem_id, source, form, prompt, completion, answer, meta`; `meta` is JSON and tells a verifier how to",
        "read the answer. The licences of the sources apply to their rows.",
    ]
    return "\n".join(lines) + "\n"
