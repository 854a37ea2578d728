"""Benchmarks: prompts, stop texts, invalid task files, and several tasks in one `eval run`."""

import json
import shutil

import pytest

from data_mix.errors import InputError
from eval import benchmarks
from eval.eval_config import EvalConfig
from eval.eval_spec import make_specs
from eval.generation.spool import find_changes
from eval.generation.tokens import decode
from eval.model_folder import load_tokenizer
from eval.scoring.eval_folder import read_completions, read_metrics


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Local copies for `--data`: four records in GSM8K's format and four in SVAMP's, one of them broken."""
    folder = tmp_path_factory.mktemp("data")
    gsm8k = [{"question": f"What is {i} + 1?", "answer": f"{i} + 1 = {i + 1}\n#### {i + 1}"} for i in range(4)]
    svamp = [
        {"Body": f"Tom has {i} nuts.", "Question": "How many is twice that?", "Equation": f"( {i} * 2 )", "Answer": 2 * i}
        for i in range(4)
    ]
    svamp[2]["Answer"] = 5
    for name, records in (("gsm8k", gsm8k), ("svamp", svamp)):
        (folder / name).mkdir()
        (folder / name / "test.jsonl").write_text("\n".join(map(json.dumps, records)))
    return str(folder)


def test_a_few_shot_prompt_is_the_worked_examples_followed_by_the_problem(copies):
    task = benchmarks.load("gsm8k", "few-shot", copies)
    prompt = task.rows[3]["prompt"]
    assert prompt.startswith("Q: There are 15 trees in the grove.") and prompt.count("\nA: ") == 8 == task.shots
    assert prompt.endswith("The answer is 8.\n\nQ: What is 3 + 1?\nA:") and task.stop == ("Q:",)
    assert task.rows[3]["answer"] == "4" and task.rows[3]["meta"] == {"style": "gsm8k"}


def test_zero_shot_prompts_contain_the_instruction(copies):
    chat, plain = (benchmarks.load("gsm8k", prompt, copies).rows[0]["prompt"] for prompt in ("chat", "plain"))
    assert [message["role"] for message in chat] == ["user"]
    assert chat[0]["content"].startswith("What is 0 + 1?\n\nReason step by step")
    assert plain.startswith("Problem:\nWhat is 0 + 1?\n\nReason step by step") and plain.endswith("Solution:\n")


@pytest.mark.parametrize(("name", "records"), [("gsm8k", 1319), ("math", 5000), ("math500", 500), ("olympiadbench", 675)])
def test_real_test_sets_are_complete_and_in_file_order(data, name, records):
    task = benchmarks.load(name, "few-shot", str(data))
    assert len(task.rows) == records and task.broken == 0
    first = json.loads((data / name / "test.jsonl").read_text().splitlines()[0])
    assert first.get("problem", first.get("question")).strip() in task.rows[0]["prompt"]


def test_broken_records_are_skipped_and_counted(copies):
    task = benchmarks.load("svamp", "chat", copies)
    assert len(task.rows) == 3 and task.broken == 1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("gsm8", None, "did you mean 'gsm8k'"),
        ("mine.yaml", "instruction: x", "needs at least a `source"),
        ("mine.yaml", "source: {task: gsm8k}\nstops: []", "unknown field 'stops'"),
        ("mine.yaml", "source: {task: gsm8k}\nshots: x", "no such file"),
        ("mine.yaml", f"source: {{task: gsm8q}}\nshots: {benchmarks.HERE}/shots/math.yaml", "did you mean 'gsm8k'"),
        ("mine.yaml", "source: {task: gsm8k}", "no worked examples"),
        ("mine.yaml", "source: [", "not YAML"),
        ("mine.yaml", "source: {task: gsm8k}\ninstruction:", "instruction is None; it must be a string"),
        ("mine.yaml", "source: {task: gsm8k}\nmax_tokens: '512'", "max_tokens is '512'; it must be an integer"),
        ("mine.yaml", "source: {task: gsm8k}\nshots: 3", "shots is 3; it must be a string"),
        ("mine.yaml", "source: {task: gsm8k}\nshots: mine.yaml", "unknown field 'source'"),
    ],
)
def test_an_invalid_task_is_a_one_line_error(tmp_path, name, text, said):
    if text:
        (tmp_path / name).write_text(text)
        name = str(tmp_path / name)
    with pytest.raises(InputError, match=said):
        benchmarks.load(name, "few-shot", None)


def test_a_stop_text_ends_a_completion_and_is_not_part_of_it(llama):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(llama["base"])
    count = lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])  # noqa: E731
    ids = tokenizer("The answer is 6.\n\nQ: What", add_special_tokens=False)["input_ids"]
    ended = decode(tokenizer, ids, set(), ("Q:", "Problem:"))
    assert ended.text == "The answer is 6.\n\n" and not ended.truncated
    assert count("The answer is 6.") <= ended.n_tokens <= count("The answer is 6.\n\n") + 1
    assert decode(tokenizer, ids, set()).truncated


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("template: '{question} {answer}'\nexamples: []", "stop is None; it must be a list"),
        ("stop: []\nexamples: []", "template is None"),
        ("template: '{question}'\nstop: []\nexamples: [{question: x}]", "each needs a question and an answer"),
    ],
)
def test_invalid_worked_examples_are_a_one_line_error(tmp_path, text, said):
    (tmp_path / "shots.yaml").write_text(text)
    (tmp_path / "mine.yaml").write_text("source: {task: gsm8k}\nshots: shots.yaml")
    with pytest.raises(InputError, match=said):
        benchmarks.load(str(tmp_path / "mine.yaml"), "few-shot", None)


def test_tasks_of_the_same_name_are_refused(tmp_path, llama):
    (tmp_path / "gsm8k.yaml").write_text("source: {task: gsm8k}")
    with pytest.raises(InputError, match="have the same name"):
        EvalConfig(llama["base"], "out", tasks=["gsm8k", str(tmp_path / "gsm8k.yaml")]).check()


def test_an_eval_of_other_problems_is_another_eval(llama, copies, tmp_path):
    shutil.copytree(copies, tmp_path / "data")
    file = tmp_path / "data" / "gsm8k" / "test.jsonl"
    file.write_text(file.read_text().replace("What is 3 +", "What is, then, 3 +"))
    tokenizer = load_tokenizer(llama["base"], "--model")
    configs = [
        EvalConfig(llama["base"], "out", tasks=["gsm8k"], prompt="plain", data=data, max_tokens=8)
        for data in (copies, str(tmp_path / "data"))
    ]
    before, now = (make_specs(config, tokenizer)[0].settings for config in configs)
    assert find_changes(before, now) == ["data"]
    del before["data"]  # as stored by an older version
    assert find_changes(before, now) == []


def test_several_tasks_in_one_call_get_one_folder_each(command, llama, copies, tmp_path):
    out = tmp_path / "eval"
    args = ["-m", "eval", "run", "--model", llama["base"], "--tasks", "gsm8k", "svamp", "--prompt", "plain", "--data", copies]
    done = command(*args, "--out", out, "--max-tokens", 8, check=False)
    # a random model never emits an end token: everything is written, then the command fails
    assert done.returncode == 2 and "more than --max-truncated 0.5" in done.stderr
    assert "svamp: 1 of 4 records are broken" in done.stderr
    assert {name: read_metrics(str(out / name))["n_problems"] for name in ("gsm8k", "svamp")} == {"gsm8k": 4, "svamp": 3}
    assert read_completions(str(out / "svamp"))[1]["asked"] == {"task": "svamp", "prompt": "plain"}
    again = command(*args, "--out", out, "--max-tokens", 8, "--max-truncated", 1)
    assert "warning" in again.stderr and "gsm8k: accuracy" in again.stdout


def test_prompt_needs_tasks(command, parity_run, tmp_path):
    where = ["--model", parity_run / "sft", "--mixture", parity_run / "mixture", "--out", tmp_path / "e"]
    done = command("-m", "eval", "run", *where, "--prompt", "chat", check=False)
    assert done.returncode == 2 and "--prompt and --data go with --tasks" in done.stderr


@pytest.mark.parametrize(
    ("style", "completion", "steps"),
    [("parity", "0110", 4), ("multiplication", "840;0630=8040", 2), ("gsm8k", "a\nb\n#### 3", 2), ("boxed", "\\boxed{3}", 0)],
)
def test_steps_are_counted_in_the_reference_solution(style, completion, steps):
    from eval.evaluate import _count_steps

    assert _count_steps({"completion": completion, "meta": {"style": style}}) == steps
