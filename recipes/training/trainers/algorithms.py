"""The RL algorithms of recipes/grpo.py, as settings of TRL's GRPOTrainer.

    grpo        arXiv 2402.03300: advantage (r - group mean) / group std; loss averaged over tokens, then over completions
    dr_grpo     arXiv 2503.20783: no division by the std; the loss is divided by a constant instead of the completion length
    dapo        arXiv 2503.14476: higher upper clip, loss averaged over all tokens, dynamic sampling of zero-variance groups
    reinforce   dr_grpo's loss with the batch mean as baseline (with `baseline: group` it is dr_grpo)
    rloo        arXiv 2402.14740: dr_grpo's loss with the mean of the group's other completions as baseline

TRL implements the losses, but its baseline is always the group mean and it keeps zero-variance groups. The other baselines
and dynamic sampling are in grpo.py.
"""

import dataclasses
from collections.abc import Collection

import trl

from data_mix.errors import InputError, nearest

BASELINES = ("group", "leave_one_out", "batch")


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """What an algorithm sets.

    Attributes:
        fields: of GRPOConfig, which make it this algorithm.
        baseline: one of BASELINES.
        resamples: the maximum number of times that zero-variance groups are resampled.
        defaults: fields of GRPOConfig that the user may set otherwise.
    """

    fields: dict
    baseline: str = "group"
    resamples: int = 0
    defaults: dict = dataclasses.field(default_factory=dict)


# With beta > 0, the KL term of arXiv 2402.03300, eq. 4: TRL multiplies it by the policy ratio by default.
_KL = {"use_bias_correction_kl": False}
# TRL's other aggregation of several rewards divides by standard deviations, whatever scale_rewards says.
_SUM = {"loss_type": "dr_grpo", "scale_rewards": "none", "multi_objective_aggregation": "sum_then_normalize"}
ALGORITHMS = {
    "grpo": Algorithm({"loss_type": "grpo", "scale_rewards": "group"}),
    "dr_grpo": Algorithm(_SUM),
    "dapo": Algorithm({"loss_type": "dapo", "scale_rewards": "group"}, resamples=3, defaults={"epsilon_high": 0.28}),
    "reinforce": Algorithm(_SUM, baseline="batch"),
    "rloo": Algorithm(_SUM, baseline="leave_one_out"),
}


def choose(name: str, baseline: str | None, args: trl.GRPOConfig, given: Collection[str]) -> Algorithm:
    """The algorithm `name`, with `baseline` if given; sets its fields in `args`.

    Args:
        name: one of ALGORITHMS.
        baseline: one of BASELINES; None for the algorithm's own.
        args: the run's GRPOConfig.
        given: the fields that the user has set.

    Raises:
        InputError: for an unknown name or baseline, or a field that the config sets to another value.
    """
    for field, value, known in (("algorithm", name, ALGORITHMS), ("baseline", baseline, BASELINES)):
        if value is not None and value not in known:
            raise InputError(f"{field} '{value}' is unknown", f"choose from {', '.join(known)}{nearest(value, known)}")
    algorithm = ALGORITHMS[name]
    for field, value in algorithm.fields.items():
        if field in given and getattr(args, field) != value:
            problem = f"algorithm {name} sets {field} to {value}, but the config says {getattr(args, field)}"
            raise InputError(problem, f"leave {field} out" + ("" if "algorithm" in given else ", or choose another algorithm"))
        setattr(args, field, value)
    for field, value in (_KL | algorithm.defaults).items():
        if field not in given:
            setattr(args, field, value)
    if baseline is None:
        return algorithm
    if baseline != algorithm.baseline and args.scale_rewards != "none":
        problem = f"baseline {baseline}: {name} divides by the group's std, so its baseline is the group's mean"
        raise InputError(problem, "leave baseline out")
    return dataclasses.replace(algorithm, baseline=baseline)
