"""The algorithms of recipes/grpo.py: what each is made of in TRL's terms.

    grpo        arXiv 2402.03300: advantage (r - mean of the group) / its deviation, a mean over tokens, then over completions
    dr_grpo     arXiv 2503.20783: no deviation, a constant in place of the length
    dapo        arXiv 2503.14476: clipping higher, a mean over all tokens, dynamic sampling of zero-variance groups
    reinforce   dr_grpo's sum over tokens with the mean of the whole batch as baseline (`baseline: group` makes it dr_grpo)
    rloo        arXiv 2402.14740: the same with the mean of the group's other completions as baseline

TRL has the losses. Its baseline is always the group's mean, and it keeps groups that can teach nothing: policy.py adds both.
"""

import dataclasses

import trl

from data_mix.errors import InputError, nearest

BASELINES = ("group", "leave_one_out", "batch")


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """Fields of GRPOConfig, the baseline that rewards are compared with, and how often zero-variance groups are resampled."""

    fields: dict
    baseline: str = "group"
    resamples: int = 0


_SUM = {"loss_type": "dr_grpo", "scale_rewards": "none"}
ALGORITHMS = {
    "grpo": Algorithm({"loss_type": "grpo", "scale_rewards": "group"}),
    "dr_grpo": Algorithm(_SUM),
    "dapo": Algorithm({"loss_type": "dapo", "scale_rewards": "group", "epsilon_high": 0.28}, resamples=3),
    "reinforce": Algorithm(_SUM, baseline="batch"),
    "rloo": Algorithm(_SUM, baseline="leave_one_out"),
}


def choose(name: str, baseline: str | None, args: trl.GRPOConfig) -> Algorithm:
    """The algorithm, its fields set in `args`.

    Raises:
        InputError: for an unknown name or baseline, or a field that the config sets to something else.
    """
    if name not in ALGORITHMS:
        raise InputError(f"algorithm: '{name}' is unknown; there are {', '.join(ALGORITHMS)}{nearest(name, ALGORITHMS)}")
    if baseline not in (None, *BASELINES):
        raise InputError(f"baseline: '{baseline}' is unknown; there are {', '.join(BASELINES)}{nearest(baseline, BASELINES)}")
    algorithm = ALGORITHMS[name]
    defaults = {f.name: f.default for f in dataclasses.fields(trl.GRPOConfig)}
    for field, value in algorithm.fields.items():
        given = getattr(args, field)
        if given not in (defaults[field], value):
            raise InputError(f"algorithm {name} sets {field} to {value}, and the config says {given}; leave one of them out")
        setattr(args, field, value)
    if baseline is None:
        return algorithm
    if baseline != algorithm.baseline and args.scale_rewards != "none":
        raise InputError(f"baseline: {name} divides by the group's deviation, so its baseline is the group's mean")
    return dataclasses.replace(algorithm, baseline=baseline)
