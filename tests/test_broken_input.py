"""Broken input to every command: exit code 2, one line that names the file or the field, and nothing written."""

import json
import shlex
from functools import partial

import pytest
import yaml

from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build
from eval.scoring.eval_folder import write_folder
from tests.conftest import ROOT

MIXTURE = {"p_cot": 0.5, "n_train": 64, "n_test": 16, "sources": [{"task": "parity", "d": 8}]}
SFT = (
    {"recipe": "sft", "mixture": "good/mixture", "output_dir": "new"}
    | yaml.safe_load((ROOT / "recipes/parity/sft.yaml").read_text())
    | {"mixture": "good/mixture", "output_dir": "new", "report_to": "none"}
)
GRPO = yaml.safe_load((ROOT / "recipes/parity/grpo.yaml").read_text()) | {
    "recipe": "grpo", "mixture": "good/mixture", "output_dir": "new", "model_name_or_path": "good/model", "report_to": "none",
}  # fmt: skip
ABLATION = {
    "out": "runs/x",
    "grid": {"seed": [0], "mixture.p_cot": [0.1, 0.2]},
    "stages": {"mixture": {"config": "mixture.yaml"}, "sft": {"config": "sft.yaml"}},
}
RECORDS = {"task": "records", "name": "mine", "path": "mine.jsonl", "question": "q", "solution": "s", "answer": "a"}
OWN = MIXTURE | {"answer_style": "boxed", "prompt_format": "plain", "n_train": 2, "n_test": 1}


def mixture(**changes) -> dict[str, str]:
    """The file mixture.yaml, changed."""
    return {"mixture.yaml": yaml.safe_dump(MIXTURE | changes)}


def own(rows: list[dict] | str, **changes) -> dict[str, str]:
    """A mixture of own records, and the records."""
    text = rows if isinstance(rows, str) else "\n".join(map(json.dumps, rows))
    source = RECORDS | changes.pop("source", {})
    return {"mixture.yaml": yaml.safe_dump(OWN | {"sources": [source]} | changes), "mine.jsonl": text}


def ablation(**changes) -> dict[str, str]:
    """An ablation beside its configs."""
    return {
        "ablation.yaml": yaml.safe_dump(ABLATION | changes),
        "mixture.yaml": yaml.safe_dump(MIXTURE),
        "sft.yaml": yaml.safe_dump(SFT),
    }


def sft(**changes) -> dict[str, str]:
    """A config of sft.py, changed."""
    return {"c.yaml": yaml.safe_dump(SFT | changes)}


def grpo(**changes) -> dict[str, str]:
    """A config of grpo.py, changed."""
    return {"c.yaml": yaml.safe_dump(GRPO | changes)}


ROWS = [{"q": f"what is {i} + 1?", "s": f"So {i + 1}.", "a": str(i + 1)} for i in range(4)]
BYTES = bytes(range(256))
BUILD = "data_mix build mixture.yaml --out new"
RUN = "eval run --model good/model --mixture good/mixture --out new"

# command, files beside it (text, bytes, fields to change in a JSON file, or None for the first half of what is at that path),
# words of the one line
CASES = {
    # ---- mixtures: the config
    "no config": ("data_mix build no.yaml --out new", {}, ["no.yaml", "no such file"]),
    "a config of random bytes": (BUILD, {"mixture.yaml": BYTES}, ["mixture.yaml", "not"]),
    "an empty config": (BUILD, {"mixture.yaml": ""}, ["mixture.yaml", "mapping"]),
    "half a config": (BUILD, {"mixture.yaml": "{p_cot: ["}, ["mixture.yaml", "not YAML"]),
    "a list for a config": (BUILD, {"mixture.yaml": "[1]"}, ["mixture.yaml", "mapping"]),
    "a folder for a config": ("data_mix build good --out new", {}, ["good"]),
    "a key twice": (BUILD, {"mixture.yaml": "seed: 1\nseed: 2\n"}, ["mixture.yaml", "seed", "twice"]),
    "a key twice, nested": (
        BUILD, {"mixture.yaml": "sources:\n  - {task: parity, d: 8, d: 9}\n"}, ["mixture.yaml", "'d'", "twice"],
    ),
    "an unknown field": (BUILD, mixture(p_cott=0.1), ["p_cott", "p_cot"]),
    "p_cot is NaN": (BUILD, mixture(p_cot=float("nan")), ["p_cot"]),
    "p_cot is a word": (BUILD, mixture(p_cot="much"), ["p_cot", "much"]),
    "p_cot is over one": (BUILD, mixture(p_cot=1.5), ["p_cot", "1.5"]),
    "p_cot and forms": (BUILD, mixture(forms={"short": 1.0}), ["p_cot", "forms"]),
    "a seed that is a word": (BUILD, mixture(seed="x"), ["seed"]),
    "a negative number of rows": (BUILD, mixture(n_train=-1), ["n_train", "-1"]),
    "no sources": (BUILD, mixture(sources=[]), ["sources"]),
    "sources that are no list": (BUILD, mixture(sources="parity"), ["sources"]),
    "a source without a task": (BUILD, mixture(sources=[{"d": 8}]), ["task"]),
    "an unknown task": (BUILD, mixture(sources=[{"task": "party", "d": 8}]), ["party", "parity"]),
    "an unknown option of a task": (BUILD, mixture(sources=[{"task": "parity", "d": 8, "e": 1}]), ["'e'"]),
    "a task without its option": (BUILD, mixture(sources=[{"task": "parity"}]), ["parity", "d"]),
    "zero bits": (BUILD, mixture(sources=[{"task": "parity", "d": 0}]), ["d", "0"]),
    "bits in words": (BUILD, mixture(sources=[{"task": "parity", "d": "eight"}]), ["d", "eight"]),
    "more rows than problems": (BUILD, mixture(sources=[{"task": "parity", "d": 4}]), ["parity", "16"]),
    "shares over one": (BUILD, mixture(p_cot=None, forms={"long": 1.0, "short": 1.0}), ["forms"]),
    "an unknown form": (BUILD, mixture(p_cot=None, forms={"lang": 1.0}), ["forms", "lang"]),
    "a negative share": (BUILD, mixture(sources=[{"task": "parity", "d": 8, "share": -1}]), ["share", "-1"]),
    "a template without its place": (BUILD, mixture(prompt_template="What?"), ["prompt_template", "{prompt}"]),
    "an unknown prompt format": (BUILD, mixture(prompt_format="chatty"), ["prompt_format", "chatty"]),
    "a tokenizer that is not there": (BUILD, mixture(tokenizer="models/none", max_tokens=64), ["tokenizer", "models/none"]),
    "--set without a value": (BUILD + " --set seed", mixture(), ["--set", "seed"]),
    "--set of an unknown field": (BUILD + " --set sed=1", mixture(), ["sed", "seed"]),
    "--set of a source that is not there": (BUILD + " --set sources.3.d=4", mixture(), ["sources.3"]),
    "a folder that is taken": ("data_mix build mixture.yaml --out good/mixture", mixture(), ["good/mixture"]),
    "a file in the place of the folder": ("data_mix build mixture.yaml --out good/file", mixture(), ["good/file"]),
    "a folder in a file": ("data_mix build mixture.yaml --out good/file/new", mixture(), ["good/file"]),
    "a folder that cannot be made": ("data_mix build mixture.yaml --out /proc/new", mixture(), ["/proc/new"]),
    # ---- mixtures: own data
    "no data set": (BUILD, mixture(sources=[{"task": "gsm8k", "path": "./no"}]), ["./no", "no such file or folder"]),
    "no data": (BUILD, mixture(**OWN | {"sources": [RECORDS]}), ["mine.jsonl"]),
    "half a line of JSON": (BUILD, own('{"q": "1", "s": "2", "a": "2"}\n{"q": '), ["mine.jsonl", "2"]),
    "a line that is no record": (BUILD, own("[1, 2]\n"), ["mine.jsonl"]),
    "data of random bytes": (BUILD, mixture(**OWN | {"sources": [RECORDS]}) | {"mine.jsonl": BYTES}, ["mine.jsonl"]),
    "half a parquet file": (
        BUILD,
        mixture(**OWN | {"sources": [RECORDS | {"path": "good/mixture/train.parquet"}]}) | {"good/mixture/train.parquet": None},
        ["train.parquet"],
    ),
    "a column that is not there": (BUILD, own(ROWS, source={"question": "qq"}), ["qq"]),
    "a column that is not there, dropped": (BUILD, own(ROWS, source={"question": "qq"}, on_error="drop"), ["qq"]),
    "an answer that is NaN": (BUILD, own([*ROWS, {"q": "x", "s": "y", "a": float("nan")}]), ["mine.jsonl:5", "`a` is nan"]),
    "a problem without a text": (BUILD, own([*ROWS, {"q": "", "s": "y", "a": "1"}]), ["mine.jsonl"]),
    "a problem that is a number": (BUILD, own([*ROWS, {"q": 7, "s": "y", "a": "1"}]), ["mine.jsonl"]),
    # ---- mixtures: folders
    "show: no folder": ("data_mix show no", {}, ["no"]),
    "show: no mixture": ("data_mix show good/model", {}, ["good/model"]),
    "show: half a manifest": ("data_mix show good/mixture", {"good/mixture/manifest.json": None}, ["manifest.json"]),
    "show: another manifest": ("data_mix show good/mixture", {"good/mixture/manifest.json": "{}"}, ["manifest.json"]),
    "show: a list for a manifest": ("data_mix show good/mixture", {"good/mixture/manifest.json": "[]"}, ["manifest.json"]),
    "show: half the rows": ("data_mix show good/mixture", {"good/mixture/train.parquet": None}, ["train.parquet"]),
    "show: random rows": ("data_mix show good/mixture", {"good/mixture/train.parquet": BYTES}, ["train.parquet"]),
    "verify: half a manifest": ("data_mix verify good/mixture", {"good/mixture/manifest.json": None}, ["manifest.json"]),
    "verify: no folder": ("data_mix verify no", {}, ["no"]),
    "diff: no folder": ("data_mix diff good/mixture no", {}, ["no"]),
    # ---- eval run
    "run: no model": ("eval run --model no --mixture good/mixture --out new", {}, ["--model", "no"]),
    "run: no folder of models": (
        "eval run --model checkpoints/no --mixture good/mixture --out new", {}, ["checkpoints does not exist"],
    ),
    "run: no config": (RUN, {"good/model/config.json": "remove"}, ["good/model", "config.json"]),
    "run: half a config": (RUN, {"good/model/config.json": None}, ["config.json"]),
    "run: no weights": (RUN, {"good/model/model.safetensors": "remove"}, ["good/model", "weights"]),
    "run: half the weights": (RUN, {"good/model/model.safetensors": None}, ["model.safetensors"]),
    "run: random weights": (RUN, {"good/model/model.safetensors": BYTES}, ["model.safetensors"]),
    "run: no tokenizer": (RUN, {"good/model/tokenizer.json": "remove"}, ["good/model", "tokenizer"]),
    "run: half a tokenizer": (RUN, {"good/model/tokenizer.json": None}, ["good/model", "tokenizer"]),
    "run: no mixture": ("eval run --model good/model --mixture no --out new", {}, ["no", "mixture"]),
    "run: half a mixture": (RUN, {"good/mixture/test.parquet": None}, ["test.parquet"]),
    "run: no test rows": (RUN, {"good/mixture/test.parquet": "remove"}, ["test.parquet"]),
    "run: no samples": (RUN + " --samples 0", {}, ["--samples"]),
    "run: the same samples": (RUN + " --samples 4", {}, ["--samples", "temperature"]),
    "run: a temperature below zero": (RUN + " --temperature -1", {}, ["--temperature"]),
    "run: a temperature that is NaN": (RUN + " --temperature nan", {}, ["--temperature"]),
    "run: no tokens": (RUN + " --max-tokens 0", {}, ["--max-tokens"]),
    "run: more tokens than the context": (RUN + " --max-tokens 4000", {}, ["--max-tokens", "context"]),
    "run: no problems": (RUN + " --problems 0", {}, ["--problems"]),
    "run: problems below zero": (RUN + " --problems -3", {}, ["--problems"]),
    "run: a share over one": (RUN + " --max-truncated 2", {}, ["--max-truncated"]),
    "run: another eval's folder": ("eval run --model good/model --mixture good/mixture --out good/eval", {}, ["good/eval"]),
    "run: a file for a folder": ("eval run --model good/model --mixture good/mixture --out good/file", {}, ["good/file"]),
    "run: a folder that cannot be made": ("eval run --model good/model --mixture good/mixture --out /proc/new", {}, ["/proc"]),
    "run: an unknown task": ("eval run --model good/model --tasks gsm8q --out new", {}, ["gsm8q", "gsm8k"]),
    "run: half a task": ("eval run --model good/model --tasks t.yaml --out new", {"t.yaml": "source: ["}, ["t.yaml"]),
    "run: a task without data": ("eval run --model good/model --tasks gsm8k --data no --out new", {}, ["no"]),
    "run: no checkpoints": (RUN + " --checkpoints", {}, ["good/model", "save_strategy: steps"]),
    # ---- other evals
    "score: no folder": ("eval score no", {}, ["no"]),
    "score: no eval": ("eval score good/empty", {}, ["good/empty", "no completions.parquet"]),
    "score: half the completions": ("eval score good/eval", {"good/eval/completions.parquet": None}, ["completions.parquet"]),
    "score: random completions": ("eval score good/eval", {"good/eval/completions.parquet": BYTES}, ["completions.parquet"]),
    "score: other rows": (
        "eval score good/eval", {"good/eval/completions.parquet": ("copy", "good/mixture/test.parquet")},
        ["completions.parquet"],
    ),
    "compare: no folder": ("eval compare good/eval no", {}, ["no"]),
    "compare: half the completions": (
        "eval compare good/eval good/eval", {"good/eval/completions.parquet": None}, ["completions.parquet"],
    ),
    "report: no folder": ("eval report no", {}, ["no"]),
    "report: nothing in it": ("eval report good/empty", {}, ["good/empty"]),
    "report: half the metrics": ("eval report good/run", {"good/run/eval/sft/metrics.json": None}, ["metrics.json"]),
    "report: other metrics": ("eval report good/run", {"good/run/eval/sft/metrics.json": "{}"}, ["metrics.json"]),
    "report: half the completions": (
        "eval report good/run", {"good/run/eval/sft/completions.parquet": None}, ["completions.parquet"],
    ),
    "report: half a log": ("eval report good/run", {"good/run/sft/log.jsonl": BYTES}, ["log.jsonl"]),
    "table: no folder": ("eval table no", {}, ["no"]),
    "table: half a list": ("eval table good/empty", {"good/empty/evals.json": "["}, ["evals.json"]),
    "table: another list": ("eval table good/empty", {"good/empty/evals.json": "[1]"}, ["evals.json"]),
    "export: no folder": ("eval export no --format lm-eval", {}, ["no"]),
    "export: half the completions": (
        "eval export good/eval --format model-index", {"good/eval/completions.parquet": None}, ["completions.parquet"],
    ),
    "forecast: no folder": ("eval forecast no", {}, ["no"]),
    "forecast: a greedy eval": ("eval forecast good/eval", {}, ["good/eval", "sampl"]),
    "forecast: rounds below zero": ("eval forecast good/sampled --rounds -1", {}, ["--rounds"]),
    "plan: no folder": ("eval plan no --target 0.9", {}, ["no"]),
    "plan: no results": ("eval plan good/empty --target 0.9", {}, ["results.jsonl", "eval table"]),
    "plan: random bytes": ("eval plan r.jsonl --target 0.9", {"r.jsonl": BYTES}, ["r.jsonl:1"]),
    "plan: other lines": ("eval plan r.jsonl --target 0.9", {"r.jsonl": '{"a": 1}\n'}, ["r.jsonl:1", "eval table"]),
    "plan: an empty file": ("eval plan r.jsonl --target 0.9", {"r.jsonl": ""}, ["r.jsonl", "greedy"]),
    "plan: another study": ("eval plan " + f"{ROOT}/recipes/parity/results/switch.jsonl --target 0.9", {}, ["mixture.p_cot"]),
    "plan: a target over one": ("eval plan r.jsonl --target 99", {}, ["--target", "99"]),
    "plan: a price below zero": ("eval plan r.jsonl --target 0.9 --long-row -1", {}, ["--long-row", "-1"]),
    # ---- rewards
    "score: no input": ("rewards score no.jsonl out.jsonl", {}, ["no.jsonl"]),
    "score: half a line": ("rewards score in.jsonl out.jsonl", {"in.jsonl": '{"completion": '}, ["in.jsonl", "1"]),
    "score: no gold": ("rewards score in.jsonl out.jsonl", {"in.jsonl": '{"completion": "1"}\n'}, ["in.jsonl", "gold"]),
    "score: a number": ("rewards score in.jsonl out.jsonl", {"in.jsonl": '{"completion": 1, "gold": "1"}\n'}, ["in.jsonl"]),
    "score: random bytes": ("rewards score in.jsonl out.jsonl", {"in.jsonl": BYTES}, ["in.jsonl"]),
    "score: no folder for the output": (
        "rewards score in.jsonl no/out.jsonl", {"in.jsonl": '{"completion": "1", "gold": "1"}\n'}, ["no/out.jsonl"],
    ),
    # ---- ablations
    "ablate: no file": ("launch ablate no.yaml --dry-run", {}, ["no.yaml"]),
    "ablate: no grid": ("launch ablate ablation.yaml --dry-run", ablation(grid={}), ["ablation.yaml", "grid"]),
    "ablate: an empty axis": ("launch ablate ablation.yaml --dry-run", ablation(grid={"seed": []}), ["ablation.yaml", "seed"]),
    "ablate: an unknown stage": (
        "launch ablate ablation.yaml --dry-run", ablation(grid={"stf.seed": [1]}), ["ablation.yaml", "stf.seed"],
    ),
    "ablate: an unknown field of a recipe": (
        "launch ablate ablation.yaml --dry-run", ablation(grid={"sft.learning_rat": [1]}), ["learning_rat", "learning_rate"],
    ),
    "ablate: an unknown field of a mixture": (
        "launch ablate ablation.yaml --dry-run", ablation(grid={"mixture.p_cott": [0.1]}), ["p_cott", "p_cot"],
    ),
    "ablate: an unknown field of a stage": (
        "launch ablate ablation.yaml --dry-run",
        ablation(stages=ABLATION["stages"] | {"sft": {"config": "sft.yaml", "max_step": 3}}), ["max_step", "max_steps"],
    ),
    "ablate: a value of the wrong type": (
        "launch ablate ablation.yaml --dry-run", ablation(grid={"sft.max_steps": ["many"]}), ["max_steps", "many"],
    ),
    "ablate: a value that only the recipe's own classes refuse": (
        "launch ablate ablation.yaml --dry-run", ablation(grid={"sft.optim": ["adamv"]}), ["sft", "optim", "adamv"],
    ),
    "ablate: an unknown argument of eval": (
        "launch ablate ablation.yaml --dry-run", ablation(eval={"greedy": {"sampels": 3}}), ["eval", "sampels"],
    ),
    "ablate: an eval that would fail": (
        "launch ablate ablation.yaml --dry-run", ablation(eval={"sampled": {"samples": 4}}), ["sft-sampled", "temperature"],
    ),
    "ablate: a folder outside": ("launch ablate ablation.yaml --dry-run", ablation(out="../../etc"), ["out", "../../etc"]),
    "ablate: out is a number": ("launch ablate ablation.yaml --dry-run", ablation(out=3), ["out", "3"]),
    "ablate: a value twice": ("launch ablate ablation.yaml --dry-run", ablation(grid={"seed": [1, 1]}), ["seed"]),
    "ablate: a key twice": (
        "launch ablate ablation.yaml --dry-run", {"ablation.yaml": "out: a\nout: b\n"}, ["ablation.yaml", "out", "twice"],
    ),
    "ablate: no config": (
        "launch ablate ablation.yaml --dry-run", ablation(stages={"mixture": {"config": "none.yaml"}}), ["none.yaml"],
    ),
    "ablate: a launcher that is not there": (
        "launch ablate ablation.yaml --dry-run", ablation(launcher="acelerate launch"), ["launcher", "acelerate"],
    ),
    "ablate: no such cell": ("launch ablate ablation.yaml --dry-run --cell 9", ablation(), ["--cell", "9"]),
    "ablate: no jobs": ("launch ablate ablation.yaml --dry-run --jobs 0", ablation(), ["--jobs", "0"]),
    # ---- recipes, through `launch check`, which asks what they ask
    "check: no file": ("check no.yaml", {}, ["no.yaml"]),
    "check: an unknown field": ("check c.yaml", sft(learning_rat=1), ["learning_rat", "learning_rate"]),
    "check: a key twice": ("check c.yaml", {"c.yaml": "recipe: sft\nseed: 1\nseed: 2\n"}, ["c.yaml", "seed", "twice"]),
    "check: random bytes": ("check c.yaml", {"c.yaml": BYTES}, ["c.yaml"]),
    "check: a learning rate that is NaN": ("check c.yaml", sft(learning_rate=float("nan")), ["learning_rate", "nan"]),
    "check: an infinite learning rate": ("check c.yaml", sft(learning_rate=float("inf")), ["learning_rate", "inf"]),
    "check: no rows in a batch": ("check c.yaml", sft(per_device_train_batch_size=0), ["per_device_train_batch_size", "0"]),
    "check: no batches in a step": ("check c.yaml", sft(gradient_accumulation_steps=0), ["gradient_accumulation_steps", "0"]),
    "check: no tokens": ("check c.yaml", sft(heldout_max_tokens=0), ["heldout_max_tokens", "0"]),
    "check: steps below zero": ("check c.yaml", sft(heldout_every=-1), ["heldout_every", "-1"]),
    "check: no steps between saves": ("check c.yaml", sft(save_strategy="steps", save_steps=0), ["save_steps", "0"]),
    "check: no steps between logs": ("check c.yaml", sft(logging_steps=0), ["logging_steps", "0"]),
    "check: a word for a number": ("check c.yaml", sft(max_steps="many"), ["max_steps", "many"]),
    "check: half the weights": (
        "check c.yaml", grpo() | {"good/model/model.safetensors": None}, ["model_name_or_path", "model.safetensors"],
    ),
    "check: half the mixture": ("check c.yaml", sft() | {"good/mixture/train.parquet": None}, ["train.parquet"]),
    "run: half a manifest": (RUN, {"good/mixture/manifest.json": None}, ["manifest.json"]),
    "check: an empty mixture": ("check c.yaml", sft(mixture="good/empty"), ["mixture", "good/empty"]),
    "check: no generations": ("check c.yaml", grpo(num_generations=0), ["num_generations", "0"]),
    "check: a single generation": ("check c.yaml", grpo(num_generations=1), ["num_generations", "1"]),
    "check: a temperature that is NaN": ("check c.yaml", grpo(temperature=float("nan")), ["temperature", "nan"]),
    "check: a KL weight below zero": ("check c.yaml", grpo(beta=-1.0), ["beta", "-1"]),
    "check: a limit of zero": ("check c.yaml", grpo(max_logp_difference=0.0), ["max_logp_difference", "0"]),
    # ---- Slurm
    "slurm: no recipe": ("launch slurm recipes/no.py --config c.yaml", sft(), ["no.py"]),
    "slurm: no config": ("launch slurm recipes/sft.py --config no.yaml", {}, ["no.yaml"]),
    "slurm: an unknown field": ("launch slurm recipes/sft.py --config c.yaml --learnin_rate 3", sft(), ["learnin_rate"]),
    "slurm: another tool's option": ("launch slurm recipes/sft.py --config c.yaml --mem 100G", sft(), ["--mem"]),
    "slurm: an account": ("launch slurm recipes/sft.py --config c.yaml --acount abc", sft(), ["--acount"]),
    "slurm: a value of the wrong type": ("launch slurm recipes/sft.py --config c.yaml --max_steps many", sft(), ["max_steps"]),
    "slurm: no nodes": ("launch slurm recipes/sft.py --config c.yaml --nodes 0", sft(), ["--nodes"]),
    "slurm: a time in words": ("launch slurm recipes/sft.py --config c.yaml --time soon", sft(), ["--time", "soon"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A mixture, a model, evals and a run, from which each case gets a copy."""
    from transformers import AutoModelForCausalLM

    from recipes.training.models import character_tokenizer, make_config
    from tests.eval.test_eval_folder import INFO, rows

    root = tmp_path_factory.mktemp("good")
    build(parse_config(MIXTURE), str(root / "mixture"))
    tokenizer = character_tokenizer("01=")
    fields = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    config = make_config({**fields, "num_attention_heads": 1, "max_position_embeddings": 64}, tokenizer)
    AutoModelForCausalLM.from_config(config).save_pretrained(root / "model")
    tokenizer.save_pretrained(root / "model")
    for folder in ("eval", "sampled", "run/eval/sft"):
        write_folder(str(root / folder), rows("1001", "1", "0"), INFO | {"temperature": 1.0 if folder == "sampled" else 0.0})
    (root / "run" / "sft").mkdir()
    (root / "run" / "sft" / "log.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    (root / "empty").mkdir()
    (root / "file").write_text("")
    return root


def call(command: str) -> int:
    """Runs a command in this process; returns its exit code."""
    from importlib import import_module

    program, *argv = shlex.split(command)
    module = "recipes.training.preflight" if program == "check" else program
    try:
        return import_module(f"{module}.__main__").main(argv)
    except SystemExit as end:
        return end.code


@pytest.fixture
def refused(good, tmp_path, monkeypatch, capfd):
    """Asserts that a command ends with exit code 2 and one line with these words, and writes nothing."""
    return partial(_refused, good, tmp_path, monkeypatch, capfd)


def _refused(good, tmp_path, monkeypatch, capfd, command, files, words):
    import shutil

    shutil.copytree(good, tmp_path / "good")
    for name, content in files.items():
        path = tmp_path / name
        if content == "remove":
            path.unlink()
        elif isinstance(content, tuple):
            shutil.copy(tmp_path / content[1], path)
        elif isinstance(content, dict):
            path.write_text(json.dumps(json.loads(path.read_text()) | content))
        elif content is None:
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2])
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    status = call(command)
    err = capfd.readouterr().err
    said = [line for line in err.splitlines() if "error:" in line]
    assert status == 2 and len(said) == 1 and "Traceback" not in err, err[-2000:]
    assert all(word in said[0] for word in words), said[0]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("case", CASES)
def test_one_line_and_nothing_written(refused, case):
    refused(*CASES[case])


def test_output_that_nobody_reads_ends_quietly(good):
    import subprocess
    import sys

    line = f"{sys.executable} -m data_mix show {good}/mixture | true"
    done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
