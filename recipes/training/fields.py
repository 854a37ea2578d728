"""Writes recipes/FIELDS.md, the reference of all fields of our own: `python -m recipes.training.fields`.

Types and defaults come from the dataclasses, meanings from their `help` or from the "Attributes" of their docstring.
"""

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "FIELDS.md"
P_COT = ("p_cot", "float", "None", "share of long rows; short for `forms: {long: p_cot, short: 1 - p_cot}`")
HEADER = """# Fields

The fields that cotmix adds, with type, default and meaning. Recipes also take every field of TRL's `SFTConfig` or
`GRPOConfig` and of `ModelConfig`. This page is generated from the code: `python -m recipes.training.fields`.
"""


def describe(config_class: type) -> list[tuple[str, str, str, str]]:
    """Name, type, default and meaning of each field that the class itself adds or changes."""
    in_docstring = dict(_attributes(inspect.getdoc(config_class) or ""))
    own = inspect.get_annotations(config_class)
    return [
        (f.name, _type(own[f.name]), _default(f), " ".join((f.metadata.get("help") or in_docstring[f.name]).split()))
        for f in dataclasses.fields(config_class)
        if f.name in own
    ]


def _attributes(docstring: str) -> list[tuple[str, str]]:
    """Name and text of each attribute in a Google-style docstring; `a, b: text` is for both."""
    section = re.search(r"Attributes:\n(.*?)(?=\n\S|\Z)", docstring, re.DOTALL)
    found = re.findall(r"^    (\w[\w, ]*): (.*?)(?=^    \w|\Z)", section[1] if section else "", re.DOTALL | re.MULTILINE)
    return [(name, text) for names, text in found for name in re.split(r", ", names)]


def _type(annotation: Any) -> str:
    text = annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else str(annotation)
    return re.sub(r"\b(\w+\.)+", "", text)


def _default(field: dataclasses.Field) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    return "required" if field.default is dataclasses.MISSING else repr(field.default)


def make_page() -> str:
    """The text of the page."""
    from data_mix.mixture_config import MixtureConfig
    from eval.eval_config import EvalConfig
    from recipes import grpo, sft, star
    from recipes.training.arguments import CotmixGRPOConfig, CotmixSFTConfig, Rollouts

    sections = {
        "Mixtures (`python -m data_mix build`)": [MixtureConfig],
        "`recipes/sft.py`": [sft.SFTRecipe, CotmixSFTConfig],
        "`recipes/grpo.py`": [grpo.GRPORecipe, Rollouts, CotmixGRPOConfig],
        "`recipes/star.py`": [star.STaRRecipe, Rollouts, CotmixSFTConfig],
        "Evaluation (`python -m eval run`; on the command line with dashes)": [EvalConfig],
    }
    lines = [HEADER]
    for title, classes in sections.items():
        lines += [f"## {title}\n", "| field | type | default | meaning |", "|---|---|---|---|"]
        rows = [row for config_class in classes for row in describe(config_class)]
        if classes == [MixtureConfig]:  # `forms` in YAML is both of its fields
            rows = [P_COT, *(row for row in rows if row[0] != "own_forms")]
        for row in rows:
            name, kind, default, meaning = (cell.replace("|", "\\|") for cell in row)
            lines.append(f"| `{name}` | `{kind}` | {default if default == 'required' else f'`{default}`'} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
