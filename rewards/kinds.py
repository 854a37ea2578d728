"""The kinds of final answers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """A parsed answer. `kind` determines `parts` and `extra`:

    value             one expression tree (parsing.py); `extra`: the number of decimals if it is a long decimal (answers.py)
    words             one normalized string
    label             one letter in brackets, as in (C)
    letters           a run of letters, and its tree as a product (words.py)
    points            the letters of named points; `extra`: the figure, such as `segment` (words.py)
    list, set, union  answers, unordered; `extra` of a list: the name, if its values have a common one
    tuple             answers, ordered; `extra`: the two brackets. Intervals are tuples
    matrix            rows, as tuples
    assignment        the assigned answer; `extra`: the name
    system            the values of different names, in the order written; `extra`: the names, separated by `|`, with `(` before
                      them if they were written as a tuple
    equation          the tree of left - right
    inequality        the tree of left - right; `extra`: `<`, `<=` or `!=`
    """

    kind: str
    parts: tuple
    extra: str = ""
