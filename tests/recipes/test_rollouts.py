"""Generation in several processes: each asks for equally many completions, and keeps its own.

As a script under `accelerate launch`, prints how many prompts the processes have before and after padding.
"""

import pytest

from tests.conftest import LAUNCH


@pytest.mark.slow
def test_processes_with_fewer_prompts_repeat_one(command):
    stdout = command(*LAUNCH, "--num_processes", 2, "-m", "tests.recipes.test_rollouts").stdout
    assert "[2, 1] [2, 2]" in stdout


if __name__ == "__main__":
    from accelerate import Accelerator
    from accelerate.utils import gather_object

    from recipes.training.generation.generators import pad_to_longest
    from recipes.training.tracking.heldout import shard

    accelerator = Accelerator(cpu=True)
    mine = shard([[1], [2], [3]])
    padded = pad_to_longest(mine, accelerator)
    assert padded[: len(mine)] == mine
    before, after = gather_object([len(mine)]), gather_object([len(padded)])
    if accelerator.is_main_process:
        print(before, after)
