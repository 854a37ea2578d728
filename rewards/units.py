"""Removes units from cleaned text: `5 bags`, `25 km/h`, `80 miles + 150 miles`, `x^2 "cm"^2`.

    phrase  = factor or `/` factor, then any of: word, `/` factor, `per` factor, `\\cdot` factor, quoted text
    factor  = quoted text | word, each with an optional power

A phrase follows a number or a closing bracket (quoted text also a variable) and ends at the end of the text or at an
operator or relation. A bare word of one or two letters may be a product of variables, so it is a unit only if it is in
_SYMBOLS, or after `/`. Degree signs go, too, unless a trigonometric function needs them. A phrase with one of the words in
NOT_UNITS is never a unit, because they change the meaning.
"""

import re

from rewards.parsing import is_function, is_product

_CHANGE_THE_MEANING = (
    "hundred hundreds thousand thousands million millions billion billions trillion trillions dozen dozens tenth tenths "
    "hundredth hundredths thousandth thousandths half halves third thirds fourth fourths fifth fifths sixth sixths seventh "
    "sevenths eighth eighths ninth ninths eleventh elevenths twelfth twelfths ten point lakh lakhs crore crores mil mln "
    "quadrillion quadrillions gross grand repeating recurring below squared cubed factorial mod modulo base plus minus "
    "divided not no nor or and is are was if answer than least most except wrong false incorrect negative otherwise "
    "else maybe perhaps choose root doubled tripled halved"
)
_CARDINAL_WORDS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred"
)
_ORDINAL = re.compile(r"(?:teen|ie|llion)ths?$")  # twentieths, millionths
_SHORT_UNITS = "cm mm km ft in kg lb oz ml mL hr mi sq yd mg cl dl hz Hz kW min mph"
NOT_UNITS = frozenset(_CHANGE_THE_MEANING.split())
_CARDINALS = frozenset(_CARDINAL_WORDS.split())
_SYMBOLS = frozenset(_SHORT_UNITS.split())
_RATES = frozenset("shmgLl")  # only after `/`
_LETTERS = frozenset("mgsLlhACFJKNVW")  # only as text
_SHORT = frozenset("amsgL")  # only after another word
_MAX_WORDS = 4  # bare words in one phrase
_TOKEN = re.compile(r'\s*("[^"]*"|\\[A-Za-z]+|[A-Za-z]+|[0-9.]*[0-9]|\^\s*\{?\s*-?[1-9]\s*\}?|.)', re.DOTALL)
_DEGREE = re.compile(r'\\degree ?(?:"?[CF]"?(?![A-Za-z]))?')
_FUNCTION = re.compile(r"(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_STOPS = frozenset(["+", "-", "=", "<", ">", ")", "\\le", "\\ge", "\\ne", "\\approx"])
_CLOSING = frozenset([")", "]", "}", "\\pi", "\\infty"])


def without_units(text: str) -> str:
    """The text without its units."""
    if not any(map(str.isalpha, text)):
        return text
    if "\\degree" in text and not _FUNCTION.search(text):
        text = _DEGREE.sub("", text).strip()
    tokens = [(found[1], found.start(), found.end()) for found in _TOKEN.finditer(text)]
    names = [token for token, _, _ in tokens]
    kept, start, at = [], 0, 1
    while at < len(tokens):
        end = _phrase(names, at) if _may_follow(names, at) else at
        if end > at and (end == len(names) or names[end] in _STOPS):
            kept.append(text[start : tokens[at][1]])
            start = tokens[end - 1][2]
        at = max(end, at + 1)
    return "".join([*kept, text[start:]]).strip() if kept else text


def _may_follow(names: list[str], at: int) -> bool:
    """Whether a unit can start at a token."""
    before, token = names[at - 1], names[at]
    if before[0].isdigit() or before[-1].isdigit() or before in _CLOSING:
        return token[0] == '"' or token[0].isalpha() or token in ("\\frac", "/")
    if before == ".":
        return token[0].isalpha() and at > 1 and names[at - 2][-1].isdigit()
    return token[0] == '"' and (before[-1].isalnum() or before[0] == "^" or before == "}")


def _phrase(names: list[str], at: int) -> int:
    """The end of the phrase that starts at a token; the same position if none does."""
    if names[at] == "\\frac":
        return _fraction(names, at)
    start = at + (names[at] == "/")  # `18/day`
    end = _factor(names, start)
    if end == start:
        return at
    words = 1
    while at < end < len(names):
        token = names[end]
        if token in ("/", "per", "\\cdot", "*", "\\times"):
            following = _factor(names, end + 1, rate=token in ("/", "per"))
            if following == end + 1:
                return end
            end = following
        elif token == "." or _is_phrase(token):
            end += 1
            end += end < len(names) and names[end][0] == "^"
        elif words < _MAX_WORDS and _may_continue(names, end):
            words += 1
            end += 1
            end += end < len(names) and names[end][0] == "^"
        else:
            break
    return end


def _may_continue(names: list[str], at: int) -> bool:
    """Whether a bare word can belong to the phrase before it."""
    token = names[at]
    possible = token.isalpha() and (len(token) > 1 or token in _SHORT)
    following = "".join(names[at + 1 : at + 2])  # `42 cards in one deck`
    counts = token.lower() in _CARDINALS and names[at - 1] in ("for", "in", "per") and following.isalpha()
    return possible and (counts or not _forbidden(token)) and not _is_time(names, at)


def _factor(names: list[str], at: int, rate: bool = False) -> int:
    token = names[at] if at < len(names) else ""
    seconds = token == "sec" and at + 1 == len(names)  # not the function: nothing follows
    word = len(token) > 2 and not is_product(token) and (seconds or not is_function(token))
    bare = token.isalpha() and (word or token in _SYMBOLS or (rate and token in _RATES))
    first = bare or (token == "m" and names[at + 1 : at + 3] == ["/", "s"])
    if not (_is_phrase(token) or (first and not _forbidden(token) and not _is_time(names, at))):
        return at
    return at + 1 + (at + 1 < len(names) and names[at + 1][0] == "^")


def _fraction(names: list[str], at: int) -> int:
    r"""The end of `\frac{"m"}{"s"}`."""
    end = at + 1
    for _ in range(2):
        if names[end : end + 1] != ["{"]:
            return at
        inside = _factor(names, end + 1) if names[end + 1 : end + 2] and _is_phrase(names[end + 1]) else end + 1
        if inside == end + 1 or names[inside : inside + 1] != ["}"]:
            return at
        end = inside + 1
    return end


def _is_phrase(token: str) -> bool:
    """Whether a token is quoted text that can be a unit."""
    if token[:1] != '"' or len(token) < 3:
        return False
    words = token.strip('"').replace(".", "").split()
    if not words or words[0].lower() in ("pi", "infinity") or (is_function(words[0]) and words != ["sec"]):
        return False
    if len(words) == 1 and len(words[0]) == 1 and words[0] not in _LETTERS:
        return False
    return not any(map(_forbidden, words)) and [word.lower() for word in words] not in (["am"], ["pm"], ["a", "m"], ["p", "m"])


def _forbidden(word: str) -> bool:
    word = word.lower()
    return word in NOT_UNITS or _CARDINALS.issuperset(word.split("-")) or _ORDINAL.search(word) is not None


def _is_time(names: list[str], at: int) -> bool:
    """Whether `a.m.` or `p.m.` starts at a token."""
    return names[at].lower() in ("am", "pm") or "".join(names[at : at + 3]).lower() in ("a.m", "p.m")
