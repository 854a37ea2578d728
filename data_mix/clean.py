"""Decontamination: training problems that stand twice, or in an evaluation set, found and removed.

Three signs, from the strictest to the loosest:
    text      the same problem but for case, white space and the punctuation of sentences
    one_word  the same words but for one, changed wherever it stands (a name); problems of at least `ngram` words
    ngram     a run of `ngram` words in common (13 as in GPT-3's report, arXiv 2005.14165, appendix C)
Among training problems only `text` counts, and the first stays: templates are shared on purpose. Against an evaluation set
all three do.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from tqdm.auto import tqdm

from data_mix.problem import Problem

_PUNCTUATION = re.compile(r"[^\w\s]|_")
# Signs of mathematics tell problems apart, those of a sentence do not.
_SYMBOL = re.compile(r"[^\W_]+|[+*/^<>=|!\\{}\[\]()_-]")
_PRIME, _BASE = 2**61 - 1, 1_000_003


@dataclass(frozen=True)
class Overlap:
    """A problem that was removed from train: its id, why, and what it overlaps with (`other`, in the set `where`)."""

    id: str
    reason: str
    other: str
    where: str


def words_of(text: str, apart: bool = False) -> list[str]:
    """Lower-case words and numbers without punctuation: `Ann's` is `anns` and `1,000` is `1000`; if `apart`, two words each."""
    return _PUNCTUATION.sub(" " if apart else "", unicodedata.normalize("NFKC", text).lower()).split()


def fingerprint(text: str) -> str:
    """What is left of a text without case, white space and the punctuation of sentences."""
    symbols = _SYMBOL.findall(unicodedata.normalize("NFKC", text).lower().replace("!", ""))
    return " ".join(symbols)


def one_word_out(text: str) -> set[tuple[int, int]]:
    """For each different word (not number) a hash of the text with it blanked out: one is shared by texts that differ in one.

    A final or separate s does not count, so that a name and its genitive are one word, and punctuation may have been taken
    out or replaced by a space. The hash is the polynomial sum of the words' hashes: blanking a word costs its own terms alone.
    """
    blanked = set()
    for apart in (False, True):
        power, total = 1, 0
        terms: dict[str, int] = {}
        for word in words_of(text, apart):
            stem = word.removesuffix("s")
            terms[stem] = terms.get(stem, 0) + power
            total += power * hash(stem)
            power = power * _BASE % _PRIME if stem else power  # hash("") is 0
        blanked |= {(power, (total - term * hash(stem)) % _PRIME) for stem, term in terms.items() if stem.isalpha()}
    return blanked


class Seen:
    """The problems of evaluation sets, by all three signs."""

    def __init__(self, ngram: int) -> None:
        self.ngram = ngram
        self.texts: dict[str, tuple[str, str]] = {}
        self.blanked: dict[tuple[int, int], tuple[str, str]] = {}
        self.runs: dict[str, tuple[str, str]] = {}

    def add(self, problem: Problem, where: str) -> None:
        """Takes in one evaluation problem of the set `where`."""
        what = (problem.id, where)
        self.texts.setdefault(fingerprint(problem.prompt), what)
        words = words_of(problem.prompt)
        if len(words) >= self.ngram:
            for key in one_word_out(problem.prompt):
                self.blanked.setdefault(key, what)
        for run in self._runs(words):
            self.runs.setdefault(run, what)

    def find(self, problem: Problem) -> Overlap | None:
        """The strictest sign that `problem` is in one of the sets, or None."""
        words = words_of(problem.prompt)
        signs = (
            ("text", self.texts, [fingerprint(problem.prompt)]),
            ("one_word", self.blanked, one_word_out(problem.prompt) if len(words) >= self.ngram else ()),
            ("ngram", self.runs, self._runs(words)),
        )
        for reason, known, keys in signs:
            for key in keys:
                if key in known:
                    return Overlap(problem.id, reason, *known[key])
        return None

    def _runs(self, words: list[str]) -> Iterable[str]:
        return (" ".join(words[i : i + self.ngram]) for i in range(len(words) - self.ngram + 1))


def clean(
    train: dict[str, Iterable[Problem]], evaluation: dict[str, Iterable[Problem]], ngram: int
) -> tuple[dict[str, list[int]], dict[str, list[Overlap]]]:
    """The numbers of the problems that stay, for each train source, and what was removed from it.

    Args:
        train: problems by source, in the order in which the first of two equal ones stays.
        evaluation: problems by the name of the set.
        ngram: words in a run.
    """
    seen = Seen(ngram)
    for where, problems in evaluation.items():
        for problem in problems:
            seen.add(problem, where)
    first: dict[str, tuple[str, str]] = {}
    kept: dict[str, list[int]] = {}
    removed: dict[str, list[Overlap]] = {}
    for source, problems in train.items():
        kept[source], removed[source] = [], []
        for number, problem in enumerate(tqdm(problems, desc=f"cleaning {source}", delay=2)):
            overlap = seen.find(problem)
            text = fingerprint(problem.prompt)
            if overlap is None and text in first:
                overlap = Overlap(problem.id, "text", *first[text])
            if overlap is None:
                first[text] = (problem.id, f"{source} train")
                kept[source].append(number)
            else:
                removed[source].append(overlap)
    return kept, removed
