"""The folder of a STaR run: `rollouts/round-N.parquet` and `checkpoint-N` for each round, both atomic."""

import shutil
from collections import defaultdict
from pathlib import Path

from accelerate.utils import gather_object

from data_mix import files
from recipes.training.checkpoints.atomic import COMPLETE, MODEL, find_complete, prune
from recipes.training.checkpoints.final import publish
from rewards.accounting import account
from rewards.scorer import Verdict


def last_complete(output_dir: str, start: str) -> tuple[int, str]:
    """The last round that is done and its checkpoint; 0 and `start` before the first."""
    number, path = max(find_complete(output_dir).items(), default=(0, start))
    return number, str(path)


def read_rollouts(output_dir: str, number: int) -> list[dict] | None:
    """The rollouts of a round that was interrupted after drawing them."""
    import pyarrow.parquet as pq

    path = _rollouts(output_dir, number)
    return pq.read_table(path).to_pylist() if path.is_file() else None


def write_rollouts(output_dir: str, number: int, mine: list[dict], accelerator) -> list[dict]:
    """Writes the rollouts of all processes; returns them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rollouts = gather_object(mine)
    if accelerator.is_main_process:
        path = _rollouts(output_dir, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.new_file(path) as temporary:
            pq.write_table(pa.Table.from_pylist(rollouts), temporary)
    accelerator.wait_for_everyone()
    return rollouts


def account_rollouts(rollouts: list[dict]) -> dict[str, float]:
    """Accuracy and length of a round's rollouts, by form and outcome; the shares kept and of zero-variance problems."""
    by_problem = defaultdict(set)
    for row in rollouts:
        by_problem[row["problem_id"]].add(row["kept"])
    flat = sum(len(kinds) == 1 for kinds in by_problem.values()) / len(by_problem)
    kept = {"kept": sum(row["kept"] for row in rollouts) / len(rollouts), "frac_reward_zero_std": flat}
    verdicts = [Verdict(**{name: row[name] for name in Verdict.__dataclass_fields__}) for row in rollouts]
    return kept | account(verdicts, [row["n_tokens"] for row in rollouts], [row["truncated"] for row in rollouts])


def merged(trainer):
    """The trained model without what the trainer wrapped around it, for the next round's trainer."""
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def save_checkpoint(output_dir: str, number: int, model, tokenizer, accelerator, limit: int | None) -> None:
    """Writes `checkpoint-N`, which appears whole; removes all but the last `limit`."""
    if accelerator.is_main_process:
        with files.new_folder(Path(output_dir) / f"checkpoint-{number}") as folder:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            (folder / COMPLETE).touch()
        prune(output_dir, limit)
    accelerator.wait_for_everyone()


def finish(output_dir: str, number: int, accelerator) -> None:
    """Copies the last round's checkpoint to where every recipe leaves its model, the weights last."""
    if not accelerator.is_main_process:
        return
    folder = Path(output_dir)
    shutil.copytree(folder / f"checkpoint-{number}", folder / MODEL, ignore=shutil.ignore_patterns(COMPLETE))
    publish(folder / MODEL, folder)
    print(f"{output_dir}: saved; next `python -m eval run --model {output_dir} ...`")


def _rollouts(output_dir: str, number: int) -> Path:
    return Path(output_dir) / "rollouts" / f"round-{number}.parquet"
