"""Reading a YAML config, with inheritance: `base: ../sft.yaml` starts from another file's fields.

A key of our own instead of OmegaConf: this is the only feature we need, and a new dependency would bring an interpolation
language with it.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from data_mix.errors import InputError, nearest


def read_mapping(path: str | Path, known: Collection[str] = (), derived: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The fields in `path`, merged over those of its `base` (a path relative to the file), which may have a base as well.

    Mappings are merged key by key; lists and scalars replace the base's value.

    Args:
        path: a YAML file.
        known: the allowed fields besides `base`; empty allows any.
        derived: the files whose base this one is, to detect a cycle.

    Raises:
        InputError: for a missing file, text that is not a mapping, a key given twice, an unknown field (with the nearest known
            name), or a base that is missing or leads back to the file.
    """
    import yaml

    path = Path(path)
    if not os.path.isfile(path):  # unlike Path.is_file, False for a name that is too long
        raise InputError(f"{path}: no such file" + (f" (base of {derived[-1]})" if derived else ""))
    try:
        text = path.read_text(encoding="utf-8")
        twice = _find_duplicate(yaml.compose(text, yaml.SafeLoader))
        fields = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())[:200]})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if twice:
        raise InputError(f"{path}:{twice.start_mark.line + 1}: '{twice.value}' is given twice", "remove one of the two")
    if not isinstance(fields, dict):
        raise InputError(f"{path}: must be a YAML mapping of fields")
    for key in fields:
        if known and key not in (*known, "base"):
            raise InputError(f"{path}: unknown field '{key}'{nearest(str(key), known)}")
    base = fields.pop("base", None)
    if base is None:
        return fields
    if not isinstance(base, str):
        raise InputError(f"{path}: base is {base!r}", "give the path of a YAML file, relative to this one")
    derived = (*derived, path)
    if (path.parent / base).resolve() in [file.resolve() for file in derived]:
        raise InputError(f"{path}: base {base} leads back to a file that is derived from it", "remove one of the two")
    return _merge(read_mapping(path.parent / base, known, derived), fields)


def _find_duplicate(node):
    """The first key found that repeats another of its mapping: YAML would silently take the last."""
    import yaml

    nodes, visited = [node], set()
    while nodes:
        node = nodes.pop()
        if id(node) in visited or isinstance(node, yaml.ScalarNode | None):
            continue
        visited.add(id(node))  # an alias is the node it stands for
        if isinstance(node, yaml.MappingNode):
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for number, key in enumerate(keys):
                if key.value in [before.value for before in keys[:number]]:
                    return key
            nodes += [value for _, value in node.value]
        else:
            nodes += node.value
    return None


def _merge(base: dict, fields: dict) -> dict:
    merged = dict(base)
    for key, value in fields.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged
