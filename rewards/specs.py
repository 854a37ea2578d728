"""The entries of a config's `rewards`, read into named, weighted rewards.

rewards:
  - answer                                # built in (built_in.py)
  - my_rewards.py:right_steps             # a function of your own (own.py); the path is relative to the current folder
  - my_package.rewards.right_steps        # the same in a module, as in TRL; `my_package.rewards:right_steps` works too
  - {reward: cosine, max_length: 200}     # with parameters: the function's keyword arguments
  - {reward: my_rewards.py:right_steps, weight: 0.2, least: 0.5}
"""

import collections
import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from rewards.built_in import BUILT_IN, check_values
from rewards.own import ARGUMENTS, load
from rewards.own_code import is_own, split


@dataclass(frozen=True)
class Spec:
    """One reward of a config.

    Attributes:
        reward: a name in BUILT_IN, or a user's function (own_code.py).
        name: in logs; unique among the config's.
        weight: of the reward in the sum.
        parameters: keyword arguments of its function.
    """

    reward: str
    name: str
    weight: float
    parameters: dict

    @property
    def is_own(self) -> bool:
        """Whether it is the user's function."""
        return self.reward not in BUILT_IN


def parse(entries: Sequence[str | dict], reward_weights: Sequence[float] | None = None) -> list[Spec]:
    """The rewards of a config, in order; loads the functions.

    Args:
        entries: the config's `rewards`.
        reward_weights: TRL's field; None if the entries have the weights, or all are 1.

    Raises:
        ValueError: for an entry that cannot be used, as one line that says what to do.
    """
    if not isinstance(entries, list | tuple) or not entries:
        raise ValueError("rewards is empty; name at least one" if not entries else f"rewards is {entries!r}; give a list")
    read = [_read(entry) for entry in entries]
    for number, entry in enumerate(read):
        if entry in read[:number]:
            raise ValueError(f"rewards: {entry[0]} is listed twice; remove one, or give it other parameters")
    weighted = [dict(entry)["weight"] for entry in entries if isinstance(entry, dict) and "weight" in entry]
    if reward_weights is not None and weighted:
        raise ValueError("rewards has a weight, and reward_weights is given, too; use one of the two")
    if reward_weights is not None and len(reward_weights) != len(entries):
        raise ValueError(f"reward_weights has {len(reward_weights)} numbers for {len(entries)} rewards; give one for each")
    weights = [entry.get("weight", 1.0) if isinstance(entry, dict) else 1.0 for entry in entries]
    weights = weights if reward_weights is None else list(reward_weights)
    for (reward, _), weight in zip(read, weights, strict=True):
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise ValueError(f"rewards: the weight of {reward} is {weight!r}; give a finite number")
    names = _name(read)
    return [
        Spec(reward, name, float(weight), parameters)
        for (reward, parameters), name, weight in zip(read, names, weights, strict=True)
    ]


def describe(entries: Sequence[str | dict], reward_weights: Sequence[float] | None = None) -> str:
    """The rewards of a config in words: `answer, 0.2 x brevity`. Arguments as for `parse`."""
    return ", ".join(f"{s.weight:g} x {s.name}" if s.weight != 1 else s.name for s in parse(entries, reward_weights))


def _read(entry: str | dict) -> tuple[str, dict]:
    """The reward and the parameters of an entry."""
    fields = {"reward": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, dict) or not isinstance(fields.get("reward"), str):
        example = "`answer`, `my_rewards.py:function` or {reward: ..., weight: ..., parameters}"
        raise ValueError(f"rewards: {entry!r} is not a reward; give {example}")
    reward = fields["reward"]
    parameters = {name: value for name, value in fields.items() if name not in ("reward", "weight")}
    if reward not in BUILT_IN and not is_own(reward):
        raise ValueError(
            f"rewards: '{reward}' is unknown{_nearest(reward, BUILT_IN)}; use one of {', '.join(BUILT_IN)}, or a function of "
            "your own, as my_rewards.py:function"
        )
    if reward in BUILT_IN:
        _check_parameters(reward, BUILT_IN[reward], parameters, ("batch",))
        if problem := check_values(parameters):
            raise ValueError(f"rewards: {reward}: {problem}")
    else:
        _check_parameters(reward, load(reward), parameters, ARGUMENTS)
    return reward, parameters


def _check_parameters(reward: str, function: Callable, parameters: dict, passed: Sequence[str]) -> None:
    """Compares parameters with a function's signature; `passed` are the arguments that it gets anyway."""
    signature = inspect.signature(function).parameters.values()
    if any(p.kind is p.POSITIONAL_ONLY for p in signature):
        raise ValueError(f"rewards: {reward} has positional-only arguments; remove the `/`, because it is called by keyword")
    named = [p for p in signature if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in passed]
    known = [p.name for p in named]
    for name in parameters:
        if name not in known:
            listed = f"it has {', '.join(known)}" if known else "it has none"
            raise ValueError(f"rewards: {reward} has no parameter '{name}'{_nearest(str(name), known)}; {listed}")
    missing = [p.name for p in named if p.default is p.empty and p.name not in parameters]
    if missing:
        extra = "" if reward in BUILT_IN else f" (a reward function is passed {', '.join(passed)})"
        example = f"{{reward: {reward}, {missing[0]}: ...}}"
        raise ValueError(f"rewards: {reward} needs the parameter {missing[0]}{extra}; write {example}")


def _name(read: list[tuple[str, dict]]) -> list[str]:
    """A name in logs for each: the function's, or with its file and parameters where that is not unique."""
    short = [split(reward)[1] if is_own(reward) else reward for reward, _ in read]
    counts = collections.Counter(short)
    full = ["_".join([reward, *(f"{k}_{v}" for k, v in parameters.items())]) for reward, parameters in read]
    return [
        name if counts[name] == 1 or long == name else re.sub(r"[^\w.-]+", "_", long)
        for name, long in zip(short, full, strict=True)
    ]


def _nearest(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""
