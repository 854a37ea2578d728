"""The output folder of a STaR run: `rollouts/round-N.parquet` and `checkpoint-N` for each round, both written atomically."""

import shutil
from collections import defaultdict
from pathlib import Path

from accelerate.utils import gather_object

from data_mix import files
from recipes.training.checkpoints.atomic import COMPLETE, MODEL, prune
from recipes.training.checkpoints.final import conclude, publish
from rewards.accounting import account
from rewards.scorer import Verdict


def read_rollouts(output_dir: str, number: int) -> list[dict] | None:
    """The rollouts of a round that was interrupted after writing them; None if there are none."""
    import pyarrow.parquet as pq

    path = _rollouts_path(output_dir, number)
    return pq.read_table(path).to_pylist() if path.is_file() else None


def write_rollouts(output_dir: str, number: int, shard: list[dict], accelerator) -> list[dict]:
    """Gathers the rollouts of all processes, writes them, and returns them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rollouts = gather_object(shard)
    if accelerator.is_main_process:
        path = _rollouts_path(output_dir, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.new_file(path) as temporary:
            pq.write_table(pa.Table.from_pylist(rollouts), temporary)
    accelerator.wait_for_everyone()
    return rollouts


def account_rollouts(rollouts: list[dict]) -> dict[str, float]:
    """A round's metrics: accuracy and length by form and outcome, the share of kept rollouts and of zero-variance problems."""
    by_problem = defaultdict(set)
    for row in rollouts:
        by_problem[row["problem_id"]].add(row["kept"])
    zero_variance = sum(len(values) == 1 for values in by_problem.values()) / len(by_problem)
    kept = {"kept": sum(row["kept"] for row in rollouts) / len(rollouts), "frac_reward_zero_std": zero_variance}
    verdicts = [Verdict(**{name: row[name] for name in Verdict.__dataclass_fields__}) for row in rollouts]
    return kept | account(verdicts, [row["n_tokens"] for row in rollouts], [row["truncated"] for row in rollouts])


def merged(trainer):
    """The trained model, unwrapped and with its adapter merged, for the next round's trainer."""
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def save_checkpoint(output_dir: str, number: int, model, tokenizer, accelerator, limit: int | None) -> None:
    """Writes a complete `checkpoint-N` atomically and removes all but the last `limit`."""
    if accelerator.is_main_process:
        with files.new_folder(Path(output_dir) / f"checkpoint-{number}") as folder:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            (folder / COMPLETE).touch()
        prune(output_dir, limit)
    accelerator.wait_for_everyone()


def finish(args, number: int, accelerator, problems: int, following: str) -> None:
    """Publishes a copy of the last round's checkpoint as the final model, with its card; pushes it with `push_to_hub`.

    Args:
        args: TRL's SFTConfig.
        number: of the last round.
        accelerator: the run's.
        problems: number of held-out problems, for the results at the end.
        following: the command to run next.
    """
    if not accelerator.is_main_process:
        return
    folder = Path(args.output_dir)
    shutil.copytree(folder / f"checkpoint-{number}", folder / MODEL, ignore=shutil.ignore_patterns(COMPLETE))
    publish(folder / MODEL, folder)
    conclude(args, problems, following)


def _rollouts_path(output_dir: str, number: int) -> Path:
    return Path(output_dir) / "rollouts" / f"round-{number}.parquet"
