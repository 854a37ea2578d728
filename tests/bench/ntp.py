"""Next-token prediction from scratch: recipes/sft.py on parity, d = 50, batch size 256, against a bare PyTorch loop.

    python tests/bench/ntp.py

The loop is short: the same LlamaForCausalLM, eager, padded batches, the model's own loss, AdamW, all threads. Reports median
seconds per step on the same rows, without start-up and saving; the two run alternately.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from measure import ROOT, publish, read_log, run, words

from eval.generation import machine

machine.prepare()

STUDY = ROOT / "recipes" / "parity" / "headline"


def ours(mixture: Path, steps: int, out: Path) -> float:
    """Median seconds per step of the recipe, from its log."""
    where = words(config=STUDY / "sft.yaml", mixture=mixture, output_dir=out, max_steps=steps)
    quiet = words(heldout_every=0, heldout_problems=1, heldout_max_tokens=1, logging_steps=1, report_to="none")
    run([sys.executable, "recipes/sft.py", *where, *quiet])
    ends = [entry["seconds"] for entry in read_log(out) if "loss" in entry]
    return statistics.median(after - before for before, after in zip(ends[2:-1], ends[3:], strict=False))


def bare(rows: list[dict], steps: int) -> float:
    """Median seconds per step of the loop."""
    import torch
    from transformers import AutoModelForCausalLM

    from data_mix.mapping import read_mapping
    from recipes.training.models import character_tokenizer, make_config

    fields = read_mapping(STUDY / "sft.yaml")
    tokenizer = character_tokenizer(fields["tokenizer_characters"])
    model = AutoModelForCausalLM.from_config(make_config(fields["model_config"], tokenizer)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=fields["learning_rate"])
    tokenizer.padding_side = "right"
    times, batch = [], fields["per_device_train_batch_size"] * fields["gradient_accumulation_steps"]
    for step in range(steps):
        began = time.perf_counter()
        chosen = rows[step * batch : (step + 1) * batch]
        texts = [row["prompt"] + row["completion"] + tokenizer.eos_token for row in chosen]
        inputs = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
        labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
        for label, row in zip(labels, chosen, strict=True):
            label[: len(row["prompt"])] = -100  # one token per character
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - began)
    return statistics.median(times[2:])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    from data_mix.mixture_config import load_config
    from data_mix.mixture_folder import build, read_rows

    with tempfile.TemporaryDirectory() as folder:
        mixture = Path(folder) / "mixture"
        build(load_config(str(STUDY / "mixture.yaml"), [f"n_train={256 * args.steps}", "n_test=8"]), str(mixture))
        rows = read_rows(str(mixture), "train")
        pairs = [(ours(mixture, args.steps, Path(folder) / f"run-{i}"), bare(rows, args.steps)) for i in range(args.repeats)]
    publish("NTP, parity 50, batch 256", *map(list, zip(*pairs, strict=True)), "s a step")
