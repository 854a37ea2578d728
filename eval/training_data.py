"""Whether a model was trained on a benchmark's dataset, from the recipes and mixtures that it came from."""

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
    for mixture in dict.fromkeys(recipe.get("mixture") for recipe in read_history(model)):
        try:
            sources = read_manifest(mixture)["config"]["sources"]
            if any(source["task"] == task != "records" or path and source.get("path") == path for source in sources):
                return mixture
        except (InputError, LookupError, TypeError):  # moved or removed since, or not a mixture
            continue
    return None
