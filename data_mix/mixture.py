"""Generates the rows of a mixture in the seed's order, batch by batch.

The order is computed, not stored, so a mixture of generated problems needs memory for one batch, whatever its size.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data_mix.lengths import LengthCounter
from data_mix.mixture_config import MixtureConfig
from data_mix.permutation import Permutation
from data_mix.plan import apportion, count_for_tokens, count_rows
from data_mix.problem import ProblemPool
from data_mix.recognition import add_rule
from data_mix.rows import BATCH, COLUMNS, as_prompts, name_test_ids, schema
from data_mix.sources import LoadedSource, load_sources


@dataclass
class Mixture:
    """A planned mixture: `plan[s][f]` rows of source s in form f; `against` is the origin of each further evaluation set."""

    config: MixtureConfig
    sources: list[LoadedSource]
    against: dict[str, dict]
    plan: list[list[int]]

    @classmethod
    def from_config(cls, config: MixtureConfig) -> "Mixture":
        """Loads the sources and plans the rows."""
        shares = [source.share for source in config.sources]
        forms = list(config.forms.values())
        n_test = apportion(config.n_test, shares)
        if config.unit == "tokens":
            limits = [config.n_train if source.generated else None for source in config.sources]
            sources, against = load_sources(config, limits, n_test)
            joint = [[share * form for form in forms] for share in shares]
            return cls(config, sources, against, count_for_tokens(config.n_train, joint, _form_lengths(config, sources)))
        n_train = [None] if config.n_train is None else apportion(config.n_train, shares)
        sources, against = load_sources(config, n_train, n_test)
        sizes = [len(sources[0].train)] if config.n_train is None else n_train
        return cls(config, sources, against, count_rows(sizes, forms))

    def __len__(self) -> int:
        """The number of train rows."""
        return sum(map(sum, self.plan))

    def train(self) -> Iterator[pa.Table]:
        """The train rows in the seed's order, in batches."""
        order = Permutation(max(len(self), 1), f"order/{self.config.seed}")
        cells = [(source, form) for source in range(len(self.plan)) for form in self.config.forms]
        counts = np.array(self.plan).ravel()
        ends = np.cumsum(counts)
        first_of_source = np.concatenate([[0], np.cumsum(np.array(self.plan).sum(axis=1))])
        for start in range(0, len(self), BATCH):
            rows = order(np.arange(start, min(start + BATCH, len(self)))).astype(np.int64)
            cell_of_row = np.searchsorted(ends, rows, side="right")
            tables, positions = [], []
            for cell in np.unique(cell_of_row):
                source, form = cells[cell]
                position = np.flatnonzero(cell_of_row == cell)
                pool = self.sources[source].train
                indices = (rows[position] - first_of_source[source]) % len(pool)  # repeats come in epochs
                tables.append(self._table(self.sources[source], pool, indices, form))
                positions.append(position)
            yield pa.concat_tables(tables).take(pa.array(np.argsort(np.concatenate(positions))))

    def test(self) -> Iterator[pa.Table]:
        """The test rows in batches, source by source, in the reference form."""
        for source in self.sources:
            for start in range(0, len(source.test), BATCH):
                indices = np.arange(start, min(start + BATCH, len(source.test)))
                table = self._table(source, source.test, indices, self.config.reference_form)
                yield table.set_column(0, "problem_id", name_test_ids(table["problem_id"]))

    def _table(self, source: LoadedSource, pool: ProblemPool, indices: np.ndarray, form: str) -> pa.Table:
        columns = pool.columns(indices, form, self.config.answer_style)
        if source.rule:
            columns["meta"] = add_rule(columns["meta"], source.rule)
        columns = as_prompts(columns, self.config)
        columns["form"] = pa.repeat(form, len(indices))
        return pa.table({name: columns[name] for name in COLUMNS}, schema=schema(self.config))


def _form_lengths(config: MixtureConfig, sources: list[LoadedSource]) -> list[np.ndarray]:
    """For each source, completion lengths of shape (forms, available rows), repeated `max_repeats` times."""
    counter = LengthCounter(config.tokenizer)
    tables = []
    for source in sources:
        indices = np.arange(len(source.train))
        texts = [source.train.columns(indices, form, config.answer_style)["completion"] for form in config.forms]
        one_epoch = np.array([counter.completions(pa.array(column).to_pylist()) for column in texts])
        tables.append(np.tile(one_epoch, config.max_repeats))
    return tables
