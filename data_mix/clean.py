"""Decontamination: training problems that occur twice, or in an evaluation set, are found and removed.

Three signs, from the strictest to the loosest:
    text      the same problem but for case, white space and the punctuation of sentences, with an equal answer
    one_word  the same words but for one, changed wherever it stands (a name); problems of at least `ngram` words
    ngram     a run of `ngram` words in common (13 as in GPT-3's report, arXiv 2005.14165, appendix C)
Among training problems only `text` counts, and the first stays: templates are shared on purpose. Against an evaluation set
all three do. Prompts that differ only in case and white space are the same problem whatever their answers: an annotation error
must not hide a leak. Other problems with the same fingerprint but another answer stay, and are reported.
"""

import functools
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from tqdm.auto import tqdm

from data_mix import golds
from data_mix.problem import Problem

_PUNCTUATION = re.compile(r"[^\w\s]|_")
# Punctuation and invisible characters of sentences do not tell problems apart; every other sign may belong to mathematics, and
# so may a point before a digit, a colon between digits, and an exclamation mark that can be a factorial's.
_SYMBOL = re.compile(
    r"[^\W_]+|\.(?=\d)|(?<=\d):(?=\d)|(?<=[\d)\]}])!|(?<=\b[^\W\d_])!"
    "|[^\\w\\s.,:;!?'\"$~`´‘’‚‛“”„‟«»‹›…—―•¿¡\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]|_"
)
_RAISED, _LOWERED = re.compile("[²³¹⁰-ⁿ]+"), re.compile("[₀-ₜ]+")
_MINUS = str.maketrans("−–‐‑", "----")
_FORMATTING = re.compile(r"(?<=\d),(?=\d{3}(?!\d))|\*\*|^#+ ")  # grouping commas, bold, headings
_PRIME, _BASE = 2**61 - 1, 1_000_003
ALIKE = 50  # problems of one fingerprint whose answers are compared


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


@functools.lru_cache(maxsize=8)  # each problem is looked up in several sets
def fingerprint(text: str) -> str:
    """What is left of a text without case, white space and the punctuation of sentences."""
    text = _FORMATTING.sub("", text.translate(_MINUS))
    apart = _LOWERED.sub(r"_\g<0>", _RAISED.sub(r"^\g<0>", text))  # NFKC makes `x²` and `x2` one
    return " ".join(_SYMBOL.findall(unicodedata.normalize("NFKC", apart).lower()))


@functools.lru_cache(maxsize=1 << 16)
def _hash(word: str) -> int:
    """A hash that does not depend on PYTHONHASHSEED, 0 for the empty word."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big") if word else 0


def one_word_out(text: str) -> list[tuple[int, int]]:
    """For each different word (not number) a hash of the text with it blanked out: one is shared by texts that differ in one.

    A final or separate s does not count, so that a name and its genitive are one word, and punctuation may have been taken
    out or replaced by a space. The hash is the polynomial sum of the words' hashes: blanking a word costs its own terms alone.
    """
    blanked = []
    for apart in (False, True):
        power, total = 1, 0
        terms: dict[str, int] = {}
        for word in words_of(text, apart):
            stem = word.removesuffix("s")
            terms[stem] = terms.get(stem, 0) + power
            total += power * _hash(stem)
            power = power * _BASE % _PRIME if stem else power
        blanked += [(power, (total - term * _hash(stem)) % _PRIME) for stem, term in terms.items() if stem.isalpha()]
    return blanked


class Known(NamedTuple):
    """What is kept of a problem that later ones are compared with, of the set `where`."""

    id: str
    where: str
    answer: str


class Texts:
    """Problems by their fingerprints."""

    def __init__(self) -> None:
        self.by_text: dict[str, list[Known]] = {}
        self.by_prompt: dict[str, Known] = {}

    def add(self, problem: Problem, where: str) -> None:
        """Takes in one problem of the set `where`."""
        known = Known(problem.id, where, problem.answer)
        self.by_prompt.setdefault(_normalised(problem.prompt), known)
        alike = self.by_text.setdefault(fingerprint(problem.prompt), [])
        if len(alike) < ALIKE:
            alike.append(known)

    def alike(self, problem: Problem) -> list[Known]:
        """The problems with the fingerprint of this one, whatever their answers."""
        return self.by_text.get(fingerprint(problem.prompt), [])

    def find(self, problem: Problem) -> Overlap | None:
        """The first problem that this one repeats, or None."""
        same = self.by_prompt.get(_normalised(problem.prompt))
        same = same or next((one for one in self.alike(problem) if not golds.differ(problem.answer, one.answer)), None)
        return Overlap(problem.id, "text", same.id, same.where) if same else None


def _normalised(text: str) -> str:
    """A text without its case and white space."""
    return " ".join(text.lower().split())


class Seen:
    """The problems of evaluation sets, by all three signs."""

    def __init__(self, ngram: int) -> None:
        self.ngram = ngram
        self.texts = Texts()
        self.blanked: dict[tuple[int, int], tuple[str, str]] = {}
        self.runs: dict[str, tuple[str, str]] = {}

    def add(self, problem: Problem, where: str) -> None:
        """Takes in one evaluation problem of the set `where`."""
        what = (problem.id, where)
        self.texts.add(problem, where)
        words = words_of(problem.prompt)
        if len(words) >= self.ngram:
            for key in one_word_out(problem.prompt):
                self.blanked.setdefault(key, what)
        for run in self._runs(words):
            self.runs.setdefault(run, what)

    def find(self, problem: Problem) -> Overlap | None:
        """The strictest sign that `problem` is in one of the sets, or None."""
        overlap = self.texts.find(problem)
        if overlap:
            return overlap
        words = words_of(problem.prompt)
        signs = (
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
    train: dict[str, Iterable[Problem]],
    evaluation: dict[str, Iterable[Problem]],
    ngram: int,
    generated: Mapping[str, Iterable[Problem]] = MappingProxyType({}),
) -> tuple[dict[str, list[int]], dict[str, list[Overlap]], dict[str, list[Overlap]]]:
    """For each train source the numbers of the problems that stay, what was removed, and what stayed for its other answer.

    Args:
        train: problems by source, in the order in which the first of two equal ones stays.
        evaluation: problems by the name of the set.
        ngram: words in a run.
        generated: test problems made from templates, by the name of the set. Only `text` counts: they share templates.
    """
    seen, first = Seen(ngram), Texts()
    for where, problems in generated.items():
        for problem in problems:
            seen.texts.add(problem, where)
    for where, problems in evaluation.items():
        for problem in problems:
            seen.add(problem, where)
    kept: dict[str, list[int]] = {source: [] for source in train}
    removed: dict[str, list[Overlap]] = {source: [] for source in train}
    other_answer: dict[str, list[Overlap]] = {source: [] for source in train}
    for source, problems in train.items():
        for number, problem in enumerate(tqdm(problems, desc=f"cleaning {source}", delay=2)):
            overlap = seen.find(problem) or first.find(problem)
            if overlap:
                removed[source].append(overlap)
                continue
            alike = seen.texts.alike(problem) or first.alike(problem)
            if alike:
                other_answer[source].append(Overlap(problem.id, "text", alike[0].id, alike[0].where))
            first.add(problem, f"{source} train")
            kept[source].append(number)
    return kept, removed, other_answer
