"""The demo's GRPO with rollouts from a server, in turn with training and ahead of it, next to the engine in its own process.

    python tests/bench/served.py

For each seed: the demo's mixture and SFT, then GRPO in the three ways; asynchronously with 1.2 times as many steps. Prints
greedy accuracy and median length after the last step, on 1,024 held-out problems, and draws p_long and reward over steps into
recipes/parity/served.png. Finished runs in --out are not repeated.
"""

import argparse
import sys
from pathlib import Path

from measure import ROOT, read_log, run, words
from server import URL, pinned, server

STUDY = ROOT / "recipes" / "parity"
STEPS = 30
WAYS = {
    "engine in the process": {"max_steps": STEPS},
    "server": {"max_steps": STEPS, "vllm_mode": "server", "vllm_server_base_url": URL},
    "server, asynchronous": {
        "max_steps": STEPS * 6 // 5, "vllm_mode": "server", "vllm_server_base_url": URL, "async_steps": 1,
    },
}  # fmt: skip


def train(folder: Path, seed: int) -> dict[str, list[dict]]:
    """The logs of a seed's three GRPO runs."""
    mixture, sft = folder / "mixture", folder / "sft"
    if not mixture.exists():
        run([sys.executable, "-m", "data_mix", "build", STUDY / "mixture.yaml", "--out", mixture, "--set", f"seed={seed}"])
    run([sys.executable, "recipes/sft.py", *words(config=STUDY / "sft.yaml", mixture=mixture, output_dir=sft, seed=seed)])
    logs = {}
    for way, options in WAYS.items():
        out = folder / way.replace(", ", "-").replace(" ", "-")
        where = words(mixture=mixture, model_name_or_path=sft, output_dir=out, seed=seed)
        config = words(config=STUDY / "grpo.yaml", heldout_problems=1024, heldout_every=0)
        line = ["recipes/grpo.py", *config, *where, *words(**options)]
        if "vllm_mode" in options:
            with server("recipes/parity/grpo.yaml", where):  # on core 1
                run([*pinned(0), *line])
        else:
            run([sys.executable, *line])
        logs[way] = read_log(out)
    return logs


def draw(logs: dict[int, dict[str, list[dict]]], path: Path) -> None:
    """p_long and reward of the rollouts over steps, a line per seed and way."""
    from eval.report.figures import LINES, plt

    fig, axes = plt.subplots(1, 2, figsize=(9, 3.4))
    for axis, name in zip(axes, ("p_long", "reward"), strict=True):
        for colour, way in zip(LINES, WAYS, strict=False):
            for number, ways in enumerate(logs.values()):
                entries = [entry for entry in ways[way] if "reward" in entry]
                steps, values = [entry["step"] for entry in entries], [entry[name] for entry in entries]
                axis.plot(steps, values, color=colour, alpha=0.7, linewidth=1.3, label=way if number == 0 else None)
        axis.set_xlabel("GRPO step")
        axis.set_ylabel(f"{name} of the rollouts")
    axes[0].legend()
    fig.tight_layout()
    fig.savefig(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="runs/served", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    args = parser.parse_args()
    logs = {seed: train((args.out / f"seed-{seed}").resolve(), seed) for seed in args.seeds}
    for seed, ways in logs.items():
        for way, log in ways.items():
            last = [entry for entry in log if "heldout/greedy/accuracy" in entry][-1]
            greedy = {name: last[f"heldout/greedy/{name}"] for name in ("accuracy", "length/median", "p_long")}
            print(f"seed {seed}, {way}, {last['step']} steps, greedy: {greedy}", flush=True)
    draw(logs, STUDY / "served.png")
