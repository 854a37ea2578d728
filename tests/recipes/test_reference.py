"""CotmixGRPOTrainer against plain PyTorch (reference.py): parameters agree to 5e-5 of the distance that training moves them."""

import json

import pytest

from tests.conftest import LAUNCH
from tests.recipes.reference import CASES, Case, distance

CORE = [
    *(Case(algorithm, per_generation=2, accumulation=2) for algorithm in ("grpo", "dr_grpo", "dapo", "reinforce", "rloo")),
    Case("grpo", per_generation=2, accumulation=4),
    Case("dapo", per_generation=2),
    Case("dapo", mu=2, steps=4),
    Case("grpo", beta=0.1, mu=2, steps=4),
    Case("dr_grpo", level="sequence", mu=2, steps=4),
    Case("dr_grpo", temperature=0.7, correction="token_truncate", missing=True),
    Case("rloo", correction="sequence_mask", per_generation=2, accumulation=2),
    Case("grpo", correction="sequence_truncate", mu=2, steps=4),
    # micro-batches of truncated rows alone
    Case("dr_grpo", rows=1, group=2, per_generation=8, accumulation=8, mask_truncated=True),
    # computed per micro-batch: TRL's own grouping
    Case("dr_grpo", entropy_coef=0.3, per_generation=2, accumulation=2),
    Case("grpo", entropy_quantile=0.3, rows=2, per_generation=4, accumulation=4),
    Case("dr_grpo", top_k=3, correction="token_truncate"),
    Case("grpo", top_p=0.7, temperature=0.8, mu=2, steps=4),
    Case("dr_grpo", min_p=0.7, top_k=3, top_p=0.8, beta=0.1, per_generation=2, accumulation=2),
    Case("grpo", model_type="gpt2", per_generation=2, accumulation=2),
    Case("dapo", correction="token_mask", mask_truncated=True, per_generation=2, accumulation=2),
]


@pytest.mark.parametrize("case", CORE, ids=str)
def test_training_matches_plain_pytorch(tmp_path, case):
    assert distance(case, 1, str(tmp_path)) < 5e-5


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_every_configuration_matches_in_one_and_two_processes(command, tmp_path, processes):
    stdout = command(*LAUNCH, "--num_processes", processes, "-m", "tests.recipes.reference", tmp_path).stdout
    found = json.loads(next(line for line in stdout.splitlines() if line.startswith('{"')))
    assert len(found) == len(CASES) and max(found.values()) < 5e-5
