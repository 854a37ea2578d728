"""Finds the mixtures that a model was trained on: do they contain a benchmark, how are forms recognised, how many rows?"""

from collections.abc import Iterator

from data_mix.errors import InputError
from data_mix.mixture_folder import read_manifest
from eval.model_folder import read_history


def find_trained_on(model: str, task: str, path: str | None) -> str | None:
    """The mixture with problems of this dataset on which a model, or the model it started from, was trained; None if none.

    Args:
        model: model folder; a hub id has no history here.
        task: the data_mix task that reads the benchmark.
        path: its hub id, folder or file, by which own records are recognised.
    """
    for mixture, manifest in _read_manifests(model):
        sources = manifest["config"]["sources"]
        if any(source["task"] == task != "records" or path and source.get("path") == path for source in sources):
            return mixture
    return None


def find_form_rule(model: str) -> dict | None:
    """The rule for the forms of a model's last mixture, if they are user-defined (data_mix/recognition.py), else None."""
    for _, manifest in _read_manifests(model):
        reports = [source["recognition"] for source in manifest["sources"].values() if "recognition" in source]
        return {name: reports[0][name] for name in ("markers", "by_length", "up_to")} if reports else None
    return None


def count_rows(model: str) -> int | None:
    """The number of train rows in a model's last mixture; None if it is not there."""
    return next((manifest["rows"]["train"] for _, manifest in _read_manifests(model)), None)


def _read_manifests(model: str) -> Iterator[tuple[str, dict]]:
    """The mixtures of a model and of those it started from, the last one first, with their manifests."""
    for mixture in dict.fromkeys(recipe.get("mixture") for recipe in read_history(model)):
        try:
            yield mixture, read_manifest(mixture)
        except (InputError, TypeError):  # moved or removed since, or not a mixture
            continue
