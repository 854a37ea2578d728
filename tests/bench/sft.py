"""SFT of SmolLM2-135M on GSM8K: recipes/sft.py against `trl sft` with its defaults; same rows, batch size and dtype.

    python recipes/export_smollm2.py --out models/smollm2-135m && python tests/bench/sft.py --data ../shared/data

Reports the training seconds by each trainer's own count (`train_runtime`), and the mean losses, which must agree within noise.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from pathlib import Path

from measure import ROOT, choose_dtype, publish, read_log, run, words

STUDY = ROOT / "recipes" / "gsm8k" / "smollm2-135m-cpu"


def ours(model: str, mixture: Path, shared: list[str], out: Path) -> tuple[float, float, float]:
    """Training seconds, mean loss and peak memory in GiB of the recipe."""
    quiet = words(heldout_problems=1, heldout_max_tokens=1, heldout_every=0)
    where = words(config=STUDY / "sft.yaml", model_name_or_path=model, mixture=mixture, output_dir=out)
    _, peak = run([sys.executable, "recipes/sft.py", *where, *shared, *quiet])
    end = next(entry for entry in read_log(out) if "train_loss" in entry)
    return end["train_runtime"], end["train_loss"], peak


def reference(model: str, rows: Path, shared: list[str], out: Path) -> tuple[float, float, float]:
    """The same for TRL's script, on the same rows."""
    where = words(model_name_or_path=model, dataset_name=rows, output_dir=out)
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    output, peak = run([Path(sys.executable).parent / "trl", "sft", *where, *shared], env)
    figures = [float(re.search(rf"'{name}': '?([\d.e+-]+)", output).group(1)) for name in ("train_runtime", "train_loss")]
    return figures[0], figures[1], peak


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/smollm2-135m")
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    from data_mix.mixture_config import parse_config
    from data_mix.mixture_folder import build, read_rows

    with tempfile.TemporaryDirectory() as folder:
        mixture, rows = Path(folder) / "mixture", Path(folder) / "rows"
        source = {"task": "gsm8k", "path": f"{args.data}/gsm8k"}
        build(
            parse_config({"p_cot": 1.0, "n_train": args.rows, "n_test": 8, "sources": [source], "prompt_format": "chat"}),
            str(mixture),
        )
        rows.mkdir()
        lines = [json.dumps({k: row[k] for k in ("prompt", "completion")}) for row in read_rows(str(mixture), "train")]
        (rows / "train.jsonl").write_text("\n".join(lines))
        shared = words(
            num_train_epochs=1,
            per_device_train_batch_size=args.batch,
            gradient_accumulation_steps=1,
            learning_rate="1e-4",
            lr_scheduler_type="linear",
            warmup_steps=0,
            dtype=choose_dtype(),
            bf16="false",
            use_cpu="true",
            seed=0,
            save_strategy="no",
            report_to="none",
        )
        figures = {ours: [], reference: []}
        for repeat in range(args.repeats):
            for system, data in ((ours, mixture), (reference, rows)):
                seconds, loss, peak = system(args.model, data, shared, Path(folder) / f"{system.__name__}-{repeat}")
                figures[system].append((seconds, peak))
                print(f"{system.__name__}: {seconds:.0f} s, loss {loss:.4f}, {peak:.1f} GiB", flush=True)
    name = f"SFT, SmolLM2-135M, {args.rows} rows of GSM8K"
    (seconds, peaks), (their_seconds, their_peaks) = (list(zip(*figures[system], strict=True)) for system in (ours, reference))
    publish(name, seconds, their_seconds, "s")
    publish(f"{name}, memory", peaks, their_peaks, "GiB")
