"""Reading a YAML file of fields, as every config here is one."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from data_mix.errors import InputError, nearest


def read_mapping(path: str | Path, known: Collection[str] = ()) -> dict[str, Any]:
    """The YAML mapping in `path`; where `known` fields are given, it has no others.

    Raises:
        InputError: for a missing file, text that is not a mapping, or an unknown field (the nearest name is offered).
    """
    import yaml

    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path}: must be a YAML mapping of fields")
    for key in raw:
        if known and key not in known:
            raise InputError(f"{path}: unknown field '{key}'{nearest(str(key), known)}")
    return raw
