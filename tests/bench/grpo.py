"""A GRPO step: recipes/grpo.py against bare vLLM and PyTorch, and against TRL's script `trl grpo`.

    python recipes/export_smollm2.py --out models/smollm2-135m && python tests/bench/grpo.py smollm2

The bare engines: vLLM generates the same number of completions for the same number of prompts, with the same token limit; then
one plain PyTorch forward and backward pass over them in micro-batches, and a step of AdamW. `trl grpo` has the same model,
prompts, batch size, completions per prompt, lengths and dtype, and its own reward; otherwise its defaults, i.e. it generates
with transformers. The learning rate is close to zero, so every step samples from the same model. Reports the median seconds
per step, without the first step and, for the recipe, without the last.

    python tests/bench/grpo.py shared
    python tests/bench/grpo.py few-shot

The recipe with shared prompts against `--shared_prompts false`: with the prompts as they are (about 80 tokens), and with five
solved problems before each (about 600 tokens).
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from measure import ROOT, choose_dtype, publish, read_log, run, words

from eval.generation import machine

machine.prepare()

ENGINES, TRL = "the engines alone", "trl grpo"
STUDY = ROOT / "recipes" / "gsm_symbolic" / "smollm2-135m-cpu"
HEADLINE = ROOT / "recipes" / "parity" / "headline"


@dataclasses.dataclass
class Workload:
    """A model, its prompts, and the size of a step."""

    config: Path
    model: str
    mixture: Path
    rows: int  # per micro-batch
    batches: int  # micro-batches per step
    limit: int  # tokens per completion
    dtype: str  # of the computation; the trainer's weights are float32
    n: int = 8  # completions per prompt

    @property
    def size(self) -> list[str]:
        """The size of a step as TRL options."""
        return words(
            per_device_train_batch_size=self.rows,
            gradient_accumulation_steps=self.batches,
            num_generations=self.n,
            max_completion_length=self.limit,
            learning_rate="1e-12",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
        )


def ours(load: Workload, steps: int, out: Path, *more: str) -> tuple[float, float]:
    """Median seconds per step of the recipe, between two entries of its log, and its peak memory in GiB.

    Without the first step, and without the last, whose entry comes after the final held-out completions.
    """
    where = words(config=load.config, mixture=load.mixture, model_name_or_path=load.model, output_dir=out, max_steps=steps)
    quiet = words(heldout_problems=1, heldout_every=0)
    _, peak = run([sys.executable, "recipes/grpo.py", *where, *load.size, *quiet, *more])
    ends = [entry["seconds"] for entry in read_log(out) if "loss" in entry][:-1]
    return statistics.median(after - before for before, after in zip(ends, ends[1:], strict=False)), peak


def trl_grpo(load: Workload, steps: int, prompts: list, folder: Path) -> tuple[float, float]:
    """The same for `trl grpo`, by its own `step_time`."""
    folder.mkdir()
    (folder / "train.jsonl").write_text("\n".join(json.dumps({"prompt": prompt, "solution": "$1$"}) for prompt in prompts))
    where = words(model_name_or_path=load.model, dataset_name=folder, output_dir=folder / "out", max_steps=steps)
    more = words(reward_funcs="accuracy_reward", use_cpu="true", bf16=str(load.dtype == "bfloat16").lower())
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "VLLM_"))}
    output, peak = run([Path(sys.executable).parent / "trl", "grpo", *where, *more, *load.size], env)
    times = [float(found) for found in re.findall(r"'step_time': '?([\d.e+-]+)", output)]
    return statistics.median(times[1:]), peak


class Engines:
    """Bare vLLM and PyTorch."""

    def __init__(self, load: Workload, prompts: list) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from vllm import LLM, SamplingParams

        from eval.generation.tokens import encode_prompts, end_ids
        from eval.model_folder import load_config

        self.load = load
        tokenizer = AutoTokenizer.from_pretrained(load.model)
        self.prompts = encode_prompts(tokenizer, prompts)
        length = max(map(len, self.prompts)) + load.limit
        sequences = load.rows * load.batches
        cache = machine.cache_bytes(load_config(load.model), load.dtype, length, sequences)
        self.llm = LLM(
            model=load.model,
            dtype=load.dtype,
            max_model_len=length,
            max_num_seqs=sequences,
            enforce_eager=True,
            kv_cache_memory_bytes=cache,
        )
        ends = sorted(end_ids(tokenizer))
        self.sampling = SamplingParams(n=load.n, max_tokens=load.limit, temperature=1.0, stop_token_ids=ends)
        self.model = AutoModelForCausalLM.from_pretrained(load.model, dtype=torch.float32).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-12)

    def step(self, number: int) -> float:
        """Seconds of step `number`; the steps cycle through the prompts."""
        import torch

        count = self.load.rows * self.load.batches // self.load.n
        prompts = [self.prompts[(number * count + i) % len(self.prompts)] for i in range(count)]
        began = time.perf_counter()
        outputs = self.llm.generate([{"prompt_token_ids": ids} for ids in prompts], self.sampling, use_tqdm=False)
        rows = [(output.prompt_token_ids, list(one.token_ids)) for output in outputs for one in output.outputs]
        widths = max(len(prompt) for prompt, _ in rows), max(len(ids) for _, ids in rows)
        for start in range(0, len(rows), self.load.rows):
            part = rows[start : start + self.load.rows]
            ids = torch.zeros(len(part), sum(widths), dtype=torch.long)
            mask = torch.zeros_like(ids)
            for i, (prompt, completion) in enumerate(part):
                first, last = widths[0] - len(prompt), widths[0] + len(completion)
                ids[i, first:last], mask[i, first:last] = torch.tensor([*prompt, *completion]), 1
            with torch.autocast("cpu", torch.bfloat16, enabled=self.load.dtype == "bfloat16"):
                logits = self.model(ids, attention_mask=mask, logits_to_keep=widths[1] + 1).logits[:, :-1]
            logps = logits.float().log_softmax(-1).gather(2, ids[:, widths[0] :, None]).squeeze(2)
            (-(logps * mask[:, widths[0] :]).sum() / 1000).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return time.perf_counter() - began


def bare(load: Workload, steps: int, prompts: list) -> float:
    """Median seconds per step of the bare engines, without the first step."""
    engines = Engines(load, prompts)
    return statistics.median([engines.step(number) for number in range(steps)][1:])


def compare(name: str, load: Workload, prompts: list, steps: int, repeats: int, against_trl: bool) -> None:
    """Runs and prints the comparisons of one workload."""
    seconds: dict[str, list[float]] = defaultdict(list)
    peaks: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            found = {"ours": ours(load, steps, Path(folder) / f"ours-{repeat}")}
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:  # its memory is free again afterwards
                seconds[ENGINES].append(pool.submit(bare, load, steps, prompts).result())
            if against_trl:
                found[TRL] = trl_grpo(load, steps, prompts, Path(folder) / f"trl-{repeat}")
            for system, (median, peak) in found.items():
                seconds[system].append(median)
                peaks[system].append(peak)
            print(", ".join(f"{system}: {times[-1]:.2f} s per step" for system, times in seconds.items()), flush=True)
    for reference in (ENGINES, TRL):
        if seconds[reference]:
            publish(f"GRPO step, {name}, against {reference}", seconds["ours"], seconds[reference], "s a step")
    if against_trl:
        publish(f"GRPO, {name}, memory", peaks["ours"], peaks[TRL], "GiB")


def compare_shared(name: str, load: Workload, steps: int, repeats: int) -> None:
    """Runs and prints the comparison of the recipe with and without shared prompts."""
    found: dict[str, list[tuple[float, float]]] = {"true": [], "false": []}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            for shared, kept in found.items():
                more = words(shared_prompts=shared, vllm_max_model_length=1024)
                kept.append(ours(load, steps, Path(folder) / f"{shared}-{repeat}", *more))
                print(f"{name}, shared_prompts {shared}: {kept[-1][0]:.2f} s per step", flush=True)
    (seconds, peaks), (seconds_without, peaks_without) = (zip(*kept, strict=True) for kept in found.values())
    publish(f"GRPO step, {name}, shared prompts", seconds, seconds_without, "s a step")
    publish(f"GRPO, {name}, shared prompts, memory", peaks, peaks_without, "GiB")


def few_shot(rows: list[dict], examples: int = 5) -> str:
    """A prompt template with problems that are solved in long form."""
    solved = [(row["prompt"][0]["content"], row["completion"][0]["content"]) for row in rows if row["form"] == "long"]
    return "\n\n".join(f"{problem}\n{solution}" for problem, solution in solved[:examples]) + "\n\n{prompt}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=["smollm2", "parity", "shared", "few-shot"])
    parser.add_argument("--model", default="models/smollm2-135m", help="checkpoint of SmolLM2-135M")
    parser.add_argument("--steps", type=int, default=4, help="at least 3: neither the first nor the last is counted")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batches", type=int, default=6, help="micro-batches of 16 completions in a step of SmolLM2-135M")
    parser.add_argument("--trl", action="store_true", help="also against `trl grpo` (minutes per step)")
    args = parser.parse_args()
    from data_mix.mixture_config import load_config
    from data_mix.mixture_folder import build, read_rows

    with tempfile.TemporaryDirectory() as folder:
        mixture = Path(folder) / "mixture"
        if args.workload == "parity":
            source = HEADLINE / "mixture.yaml"
            load = Workload(HEADLINE / "grpo.yaml", f"{folder}/sft", mixture, rows=128, batches=4, limit=60, dtype="float32")
        else:
            source = ROOT / "recipes" / "gsm_symbolic" / "mixture.yaml"
            size = {"rows": 16, "batches": args.batches, "limit": 96}
            load = Workload(STUDY / "grpo.yaml", args.model, mixture, **size, dtype=choose_dtype())
        build(load_config(str(source), ["n_train=2560", "n_test=8"]), str(mixture))
        if args.workload == "parity":
            size = words(max_steps=60, heldout_problems=1, heldout_every=0, report_to="none")
            where = words(config=HEADLINE / "sft.yaml", mixture=mixture, output_dir=load.model)
            run([sys.executable, "recipes/sft.py", *where, *size])
        rows = read_rows(str(mixture), "train")
        if args.workload == "shared":
            compare_shared("SmolLM2-135M, prompts of 80 tokens", load, args.steps, args.repeats)
        elif args.workload == "few-shot":
            longer = Path(folder) / "few-shot"
            template = f"prompt_template={json.dumps(few_shot(rows))}"
            build(load_config(str(source), ["n_train=2560", "n_test=8", template]), str(longer))
            few = dataclasses.replace(load, mixture=longer)
            compare_shared("SmolLM2-135M, prompts of 600 tokens", few, args.steps, args.repeats)
        else:
            model = "SmolLM2-135M" if args.workload == "smollm2" else "parity 50"
            name = f"{model}, {load.rows * load.batches} completions"
            compare(name, load, [row["prompt"] for row in rows], args.steps, args.repeats, args.trl)
