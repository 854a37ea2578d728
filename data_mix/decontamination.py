"""Decontamination: finds and removes training problems that are duplicates or occur in an evaluation set.

Three criteria, from the strictest to the loosest:
    text      same text up to case, white space and sentence punctuation, with an equal answer
    one_word  same words except one, wherever it occurs (a name); only for problems of at least `ngram` words
    ngram     a shared sequence of `ngram` words (13 as in GPT-3's report, arXiv 2005.14165, appendix C)
Against evaluation sets all three apply. Among training problems only `text` applies, and the first one is kept: sharing
templates is intended. Prompts that differ only in case and white space are duplicates whatever their answers, so that an
annotation error cannot hide a leak. Other problems with equal fingerprints but different answers are kept and reported.
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
from data_mix.reading import GROUPING_COMMA

_PUNCTUATION = re.compile(r"[^\w\s]|_")
# Sentence punctuation and invisible characters are ignored. Every other sign may be mathematical, and so may a point before a
# digit, a colon between digits, and an exclamation mark where it can mean a factorial.
_SYMBOL = re.compile(
    r"[^\W_]+|\.(?=\d)|(?<=\d):(?=\d)|(?<=[\d)\]}])!|(?<=\b[^\W\d_])!"
    "|[^\\w\\s.,:;!?'\"$~`´‘’‚‛“”„‟«»‹›…—―•¿¡\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]|_"
)
_SUPERSCRIPT, _SUBSCRIPT = re.compile("[²³¹⁰-ⁿ]+"), re.compile("[₀-ₜ]+")
_MINUS = str.maketrans("−–‐‑", "----")
_FORMATTING = re.compile(GROUPING_COMMA.pattern + r"|\*\*|^#+ ")  # grouping commas, bold, headings
_PRIME, _BASE = 2**61 - 1, 1_000_003
MAX_CANDIDATES = 50  # problems with the same fingerprint whose answers are compared


@dataclass(frozen=True)
class Overlap:
    """A training problem that overlaps: its id, by which criterion, and with which problem (`other`) of which set (`where`)."""

    id: str
    reason: str
    other: str
    where: str


def words_of(text: str, split: bool = False) -> list[str]:
    """Lower-case words and numbers without punctuation: `Ann's` is `anns` and `1,000` is `1000`; if `split`, two words each."""
    return _PUNCTUATION.sub(" " if split else "", unicodedata.normalize("NFKC", text).lower()).split()


@functools.lru_cache(maxsize=8)  # each problem is looked up in several sets
def fingerprint(text: str) -> str:
    """The text normalised for comparison: without case, white space and sentence punctuation."""
    text = _FORMATTING.sub("", text.translate(_MINUS))
    marked = _SUBSCRIPT.sub(r"_\g<0>", _SUPERSCRIPT.sub(r"^\g<0>", text))  # NFKC would map `x²` to `x2`
    return " ".join(_SYMBOL.findall(unicodedata.normalize("NFKC", marked).lower()))


def _normalised(text: str) -> str:
    """The text without case and white space."""
    return " ".join(text.lower().split())


@functools.lru_cache(maxsize=1 << 16)
def _hash(word: str) -> int:
    """A hash that does not depend on PYTHONHASHSEED; 0 for the empty word."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big") if word else 0


def leave_one_out_hashes(text: str) -> list[tuple[int, int]]:
    """For each distinct word (not number), a hash of the text without it; texts that differ in one word share a hash.

    A trailing or separate s is ignored, so that a name and its genitive are one word. Punctuation is both removed and replaced
    by a space. The hash is a polynomial in the words' hashes, so leaving out a word only subtracts its own terms.
    """
    hashes = []
    for split in (False, True):
        power, total = 1, 0
        terms: dict[str, int] = {}
        for word in words_of(text, split):
            stem = word.removesuffix("s")
            terms[stem] = terms.get(stem, 0) + power
            total += power * _hash(stem)
            power = power * _BASE % _PRIME if stem else power
        hashes += [(power, (total - term * _hash(stem)) % _PRIME) for stem, term in terms.items() if stem.isalpha()]
    return hashes


class Entry(NamedTuple):
    """An indexed problem of the set `where`."""

    id: str
    where: str
    answer: str


class TextIndex:
    """Problems indexed by fingerprint, for the criterion `text`."""

    def __init__(self) -> None:
        self.by_fingerprint: dict[str, list[Entry]] = {}
        self.by_prompt: dict[str, Entry] = {}

    def add(self, problem: Problem, where: str) -> None:
        """Adds a problem of the set `where`."""
        entry = Entry(problem.id, where, problem.answer)
        self.by_prompt.setdefault(_normalised(problem.prompt), entry)
        candidates = self.by_fingerprint.setdefault(fingerprint(problem.prompt), [])
        if len(candidates) < MAX_CANDIDATES:
            candidates.append(entry)

    def candidates(self, problem: Problem) -> list[Entry]:
        """The entries with the same fingerprint, whatever their answers."""
        return self.by_fingerprint.get(fingerprint(problem.prompt), [])

    def find(self, problem: Problem) -> Overlap | None:
        """The first entry that `problem` duplicates, or None."""
        equal = (entry for entry in self.candidates(problem) if not golds.differ(problem.answer, entry.answer))
        same = self.by_prompt.get(_normalised(problem.prompt)) or next(equal, None)
        return Overlap(problem.id, "text", same.id, same.where) if same else None


class EvaluationIndex:
    """The problems of the evaluation sets, indexed for all three criteria, or for `text` alone if `ngram` is None."""

    def __init__(self, ngram: int | None) -> None:
        self.ngram = ngram
        self.texts = TextIndex()
        self.one_word: dict[tuple[int, int], tuple[str, str]] = {}
        self.ngrams: dict[str, tuple[str, str]] = {}

    def add(self, problem: Problem, where: str) -> None:
        """Adds an evaluation problem of the set `where`."""
        entry = (problem.id, where)
        self.texts.add(problem, where)
        if self.ngram is None:
            return
        words = words_of(problem.prompt)
        if len(words) >= self.ngram:
            for key in leave_one_out_hashes(problem.prompt):
                self.one_word.setdefault(key, entry)
        for ngram in self._ngrams(words):
            self.ngrams.setdefault(ngram, entry)

    def find(self, problem: Problem) -> Overlap | None:
        """The overlap of `problem` by the strictest criterion that applies, or None."""
        overlap = self.texts.find(problem)
        if overlap or self.ngram is None:
            return overlap
        words = words_of(problem.prompt)
        criteria = (
            ("one_word", self.one_word, leave_one_out_hashes(problem.prompt) if len(words) >= self.ngram else ()),
            ("ngram", self.ngrams, self._ngrams(words)),
        )
        for reason, index, keys in criteria:
            for key in keys:
                if key in index:
                    return Overlap(problem.id, reason, *index[key])
        return None

    def _ngrams(self, words: list[str]) -> Iterable[str]:
        return (" ".join(words[i : i + self.ngram]) for i in range(len(words) - self.ngram + 1))


def decontaminate(
    train: dict[str, Iterable[Problem]],
    evaluation: dict[str, Iterable[Problem]],
    ngram: int | None,
    generated: Mapping[str, Iterable[Problem]] = MappingProxyType({}),
) -> tuple[dict[str, list[int]], dict[str, list[Overlap]], dict[str, list[Overlap]]]:
    """For each train source: the indices of the problems kept, those removed, and those kept because their answer differs.

    Args:
        train: problems by source; of two duplicates the first in this order is kept.
        evaluation: problems by name of the evaluation set.
        ngram: words in an n-gram; None: only `text` applies.
        generated: template-generated test problems by name of the set. Only `text` applies, because they share templates.
    """
    index, seen = EvaluationIndex(ngram), TextIndex()
    for where, problems in generated.items():
        for problem in problems:
            index.texts.add(problem, where)
    for where, problems in evaluation.items():
        for problem in problems:
            index.add(problem, where)
    kept: dict[str, list[int]] = {source: [] for source in train}
    removed: dict[str, list[Overlap]] = {source: [] for source in train}
    other_answer: dict[str, list[Overlap]] = {source: [] for source in train}
    for source, problems in train.items():
        for i, problem in enumerate(tqdm(problems, desc=f"decontaminating {source}", delay=2)):
            overlap = index.find(problem) or seen.find(problem)
            if overlap:
                removed[source].append(overlap)
                continue
            candidates = index.texts.candidates(problem) or seen.candidates(problem)
            if candidates:
                other_answer[source].append(Overlap(problem.id, "text", candidates[0].id, candidates[0].where))
            seen.add(problem, f"{source} train")
            kept[source].append(i)
    return kept, removed, other_answer
