"""The report of a small run: self-contained, consistent with metrics.json, and rendered by a real browser."""

import json
import re
import shutil
import subprocess

import pyarrow.parquet as pq
import pytest

from data_mix.errors import InputError
from eval.report.browser import pack
from eval.report.page import figures, find_stages, pipeline_table, write_report
from eval.scoring.eval_folder import score_rows, write_folder
from tests.conftest import skip
from tests.eval.test_eval_folder import rows


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    evals = {
        "grpo": (["1001"] * 9 + ["0"], 0.0),
        "sft": (["1"] * 5 + ["0"] * 5, 0.0),
        "sft-sampled": (["1001", "0", "<b>"], 1.0),
    }
    for name, (texts, temperature) in evals.items():
        info = {"model": name, "temperature": temperature, "seed": 0, "max_tokens": 8}
        write_folder(str(run / "eval" / name), rows(*texts), info)
    heldout = {f"heldout/{kind}/{key}": 0.5 for kind in ("greedy", "sampled") for key in ("accuracy", "length/mean", "p_long")}
    entry = {"step": 1, "reward": 0.5, "p_long": 0.2, "truncated": 0.0, "frac_reward_zero_std": 0.1, "length/correct": 3.0}
    for stage, line in (("sft", {"step": 10} | heldout), ("star", {"step": 0} | heldout), ("grpo", entry | heldout)):
        (run / stage).mkdir()
        (run / stage / "log.jsonl").write_text(json.dumps(line) + "\n")
    return run


def test_stages_are_in_pipeline_order(run):
    stages = find_stages(run)
    assert list(stages) == ["sft", "grpo"] and set(stages["sft"]) == {"greedy", "sampled"}
    sft, grpo = pipeline_table(stages)
    assert sft["greedy"]["value"] == 0.5 and sft["median_length"] == 1 and sft["p_long"] == pytest.approx(1 / 3)
    assert grpo["greedy"]["value"] == 0.9 and grpo["median_length"] == 4 and grpo["sampled"] is None


def test_a_sampled_eval_of_any_name_is_not_shown_as_greedy(run, tmp_path):
    for name in ("sft", "sft-sampled", "sft-t05"):
        shutil.copytree(run / "eval" / "sft-sampled", tmp_path / "eval" / name)
    table = pipeline_table(find_stages(tmp_path))
    assert {row["stage"] for row in table} == {"sft", "sft-sampled", "sft-t05"}
    assert all(row["greedy"] is None and row["sampled"] for row in table)


def test_the_report_is_self_contained(run):
    said = write_report(str(run))
    assert "0.900" in said and said.endswith("report.html")
    page = (run / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "http" not in page
    assert page.count("data:image/png;base64,") == 6 == len(list((run / "figures").glob("*.png")))
    assert "\\u003cb>" in page and "<b>" not in page


def test_a_star_run_without_held_out_results_has_a_report(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "star" / "log.jsonl").write_text(json.dumps({"step": 1, "reward": 0.5}) + "\n")
    assert "0.900" in write_report(str(tmp_path / "run"))


def test_an_ablation_has_a_report(run, tmp_path):
    folder = tmp_path / "ablation"
    shutil.copytree(run / "eval", folder / "eval")
    axes = {"sft": 0.1, "grpo": 0.4}
    evals = [
        {"folder": f"eval/{name}", "stage": "sft", "kind": "greedy", "axes": {"mixture.p_cot": p}} for name, p in axes.items()
    ]
    (folder / "evals.json").write_text(json.dumps(evals))
    (folder / "sft" / "grpo").mkdir(parents=True)
    log = [{"step": 5, "heldout/greedy/accuracy": 0.123456, "seconds": 3.0}, {"step": 6, "loss": 0.5}]
    (folder / "sft" / "grpo" / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    assert "| 0.1 | sft | greedy | 1 | 0.500 |" in write_report(str(folder))
    *found, logged = map(json.loads, (folder / "results.jsonl").read_text().splitlines())
    assert [(line["mixture.p_cot"], line["kind"], line["accuracy"]) for line in found] == [
        (0.1, "greedy", 0.5),
        (0.4, "greedy", 0.9),
    ]
    assert logged == {"mixture.p_cot": 0.4, "stage": "sft", "kind": "log", "step": 5, "heldout/greedy/accuracy": 0.1235}
    page = (folder / "report.html").read_text()
    assert page.count("<figure>") == 2 and "Accuracy and length by p_cot" in page


def ablation(run, folder, *axes, stage="sft", kind="greedy"):
    """Makes an ablation folder from the run's evals, with the given axes."""
    shutil.copytree(run / "eval", folder / "eval")
    evals = [
        {"folder": f"eval/{name}", "stage": stage, "kind": kind, "axes": values}
        for name, values in zip(("sft", "grpo", "sft-sampled"), axes, strict=False)
    ]
    (folder / "evals.json").write_text(json.dumps(evals))
    return folder


def test_fields_with_the_same_name_in_two_stages_are_distinguished(run, tmp_path):
    rates = [{"sft.learning_rate": a, "grpo.learning_rate": b, "rl.beta": c} for a, b, c in ((1, 3, 0), (2, 3, 1), (2, 4, 2))]
    folder = ablation(run, tmp_path / "ablation", *rates)
    assert "| sft.learning_rate | grpo.learning_rate | beta | stage |" in write_report(str(folder))
    drawn = {path.name for path in (folder / "figures").glob("*.png")}
    assert {"sft.learning_rate.png", "grpo.learning_rate.png", "beta.png", "grpo.learning_rate_map.png"} <= drawn


def test_dollar_signs_in_names_are_not_parsed_as_math(run, tmp_path):
    templates = [{"mixture.prompt_template": value} for value in ("$x_$", "$5 to $x_", "plain")]
    folder = ablation(run, tmp_path / "ablation", *templates, stage="$x_", kind="$")
    assert "| $x_$ | $x_ | $ |" in write_report(str(folder))
    drawn = figures.draw_budgets({"$x_$": score_rows(rows("1", "0"))}, tmp_path / "budgets.png")
    assert drawn.path.is_file()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a list of evals"),
        ("[3]", "not a list of evals"),
        ('[{"folder": "../run", "axes": {}}]', "'../run' may lead out of"),
        ('[{"folder": "/run", "axes": {}}]', "'/run' may lead out of"),
        ('[{"folder": "eval/sft", "axes": {"sft./../../x": 1}}]', "'sft./../../x' may lead out of"),
    ],
)
def test_an_ablation_s_evals_json_is_validated(tmp_path, text, said):
    (tmp_path / "evals.json").write_text(text)
    with pytest.raises(InputError, match=said) as error:
        write_report(str(tmp_path))
    assert "writes it again" in str(error.value)


def test_few_shot_examples_are_removed_from_prompts():
    prompts = ["Q: one\nA: 1\n\nQ: two\nA:", "Q: one\nA: 1\n\nQ: three\nA:"]
    packed = pack({"e": [{**row, "prompt": prompt} for row, prompt in zip(score_rows(rows("1", "0")), prompts, strict=True)]})
    assert packed["prompts"] == ["Q: two\nA:", "Q: three\nA:"]


# Operates the page as a reader would and records what it shows.
READER = """<script>
const seen = {};
const text = (row) => row.children[2].textContent + row.children[0].textContent;
const look = (name) => { seen[name] = [...document.querySelectorAll("#rows tr")].map(text); };
const set = (id, value, event) => { element(id).value = value; element(id).dispatchEvent(new Event(event)); };
look("all"); set("outcome", "wrong", "change"); look("wrong"); set("outcome", "", "change");
set("search", "1001", "input"); look("searched"); set("search", "", "input");
const button = document.querySelectorAll("#head button")[2];
button.focus(); seen.focused = document.activeElement === button;
button.click(); look("up"); button.click(); look("down");
seen.sorted = document.querySelectorAll("#head th")[2].getAttribute("aria-sort"); seen.hash = location.hash;
const requested = performance.getEntriesByType("resource").map((entry) => entry.name);
seen.requested = requested.filter((name) => !name.startsWith("data:"));
const out = document.createElement("pre"); out.id = "seen"; out.textContent = JSON.stringify(seen); document.body.append(out);
</script>"""


def test_a_browser_shows_figures_and_filters_completions(run, tmp_path):
    if not shutil.which("chromium"):
        skip("chromium is not installed")
    write_report(str(run))
    page = tmp_path / "page.html"
    page.write_text((run / "report.html").read_text().replace("</body>", READER + "</body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    where = ["--enable-logging=stderr", f"--user-data-dir={tmp_path}/profile", "--dump-dom", f"file://{page}#eval=1"]
    done = subprocess.run(["chromium", *flags, *where], capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    dom = done.stdout
    table = dom[dom.index('id="pipeline"') :]
    cells = re.findall(r"<td>([^<]*)</td>", table[: table.index("</table>")])
    assert cells[0] == "sft" and cells[1].startswith("0.500 [")
    assert dom.count("<figure>") == 6 and '<pre id="seen">' in dom
    seen = json.loads(re.search(r'<pre id="seen">(.*?)</pre>', dom).group(1))
    assert len(seen["all"]) == 3 and seen["searched"] == ["4correct"]
    assert seen["wrong"] == [row for row in seen["all"] if row.endswith("wrong")] != []
    assert seen["up"] == sorted(seen["all"]) and seen["down"] == seen["up"][::-1]
    assert seen["requested"] == []
    assert seen["focused"] and seen["sorted"] == "descending" and seen["hash"].endswith("eval=1&amp;sort=-n_tokens")


def split_run(folder):
    """A run with two sources, three values of `steps` in meta, and a form of the user's own."""
    for name, temperature in (("sft", 0.0), ("grpo", 0.0)):
        made = rows(*["1001", "1", "0", "0"] * 3)
        for i, one in enumerate(made):
            one |= {"source": "ours" if i % 2 else "gsm8k", "meta": json.dumps(json.loads(one["meta"]) | {"steps": i % 3})}
        write_folder(str(folder / "eval" / name), made, {"model": name, "temperature": temperature, "seed": 0})
    return folder


def test_sources_fields_and_forms_have_tables_of_their_own(tmp_path):
    run = split_run(tmp_path)
    write_report(str(run))
    page = (run / "report.html").read_text()
    assert [title for title in ("form", "source", "steps", "style") if f"<h2>By {title}</h2>" in page] == [
        "form",
        "source",
        "steps",
    ]
    assert re.search(r"<td>sft, greedy</td><td>gsm8k</td><td>6</td><td>0\.500 \[", page)
    axes = [
        {"folder": f"eval/{name}", "stage": "sft", "kind": "greedy", "axes": {"p_cot": p}}
        for name, p in (("sft", 0.1), ("grpo", 0.2))
    ]
    (run / "evals.json").write_text(json.dumps(axes))
    said = write_report(str(run))
    assert "By source:\n\n| p_cot | by source | stage |" in said and "| 0.1 | gsm8k | sft | greedy | 1 | 0.500 |" in said
    assert "<td>0.1</td><td>gsm8k</td>" in (run / "report.html").read_text()


def test_forms_besides_long_and_short_have_columns_in_the_table(tmp_path):
    evals = [
        {"folder": f"eval/{name}", "stage": "sft", "kind": "greedy", "axes": {"mixture.p_cot": p}}
        for name, p in (("a", 0.1), ("b", 0.2))
    ]
    (tmp_path / "evals.json").write_text(json.dumps(evals))
    for name, texts in (("a", ("1001", "1", "0", "10")), ("b", ("1001", "1"))):
        write_folder(str(tmp_path / "eval" / name), rows(*texts), {"model": name, "temperature": 0.0, "seed": 0})
    write_report(str(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [(line["p_other"], line["accuracy_other"]) for line in lines] == [(0.25, 0.0), (0.0, None)]
    head, _, first, second, *_ = (tmp_path / "table.md").read_text().splitlines()
    assert head.endswith("| p_other | accuracy_other |")
    assert first.endswith("| 0.250 | 0.000 |") and second.endswith("| 0.000 | - |")


def test_the_table_has_every_axis_with_its_exact_values(tmp_path):
    axes = [{}, {"grpo.learning_rate": 1e-6, "mixture.forms": 0.25}, {"grpo.learning_rate": 5e-6, "mixture.forms": "all"}]
    evals = [{"folder": f"eval/{i}", "stage": "sft", "kind": "greedy", "axes": own} for i, own in enumerate(axes)]
    (tmp_path / "evals.json").write_text(json.dumps(evals))
    for i in range(3):
        write_folder(str(tmp_path / "eval" / str(i)), rows("1001"), {"model": "m", "temperature": 0.0, "seed": 0})
    write_report(str(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    table = pq.read_table(tmp_path / "table.parquet")
    assert [line.get("grpo.learning_rate") for line in lines] == [None, 1e-6, 5e-6] == table["grpo.learning_rate"].to_pylist()
    assert table["mixture.forms"].to_pylist() == [None, "0.25", "all"]


def test_evals_of_an_older_version_are_readable(tmp_path, command):
    run = split_run(tmp_path)
    for path in run.glob("eval/*/metrics.json"):
        new = ("by_source", "by_meta", "by_form")
        path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key not in new}))
    assert "By source" not in write_report(str(run)) and "<h2>By" not in (run / "report.html").read_text()
    assert "12 shared problems" in command("-m", "eval", "compare", run / "eval" / "sft", run / "eval" / "grpo").stdout


def test_forms_of_any_name_are_drawn(tmp_path):
    forms = ("think", "short", "partial-2", "mine")
    drawn = [{**row, "form": form} for row, form in zip(score_rows(rows("1001", "1", "0", "0")), forms, strict=True)]
    assert figures.draw_lengths({"sft": drawn}, "form", tmp_path / "forms.png").path.is_file()
    heldout = {f"heldout/{kind}/{key}": 0.5 for kind in ("greedy", "sampled") for key in ("accuracy", "length/mean", "p_long")}
    log = [{"step": 0} | heldout, {"step": 1} | heldout | {"heldout/sampled/accuracy_think": 1.0}]
    assert figures.draw_curves({"sft": log}, tmp_path / "curves.png").path.is_file()


def test_a_run_in_progress_has_a_report_without_evals(tmp_path):
    heldout = {f"heldout/{kind}/{key}": 0.5 for kind in ("greedy", "sampled") for key in ("accuracy", "length/mean", "p_long")}
    lines = [{"step": 0, "seconds": 1.0} | heldout, {"step": 60, "seconds": 90.0, "loss": 0.25}]
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 70, "lo')
    (tmp_path / "sft" / "recipe.json").write_text('{"max_steps": 300}')
    assert "stage sft step 60 of 300 minutes 1.5 loss 0.250" in write_report(str(tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert re.search("<td>sft</td><td>60 of 300</td><td>1.5</td><td>0.250</td>", page) and page.count("<figure>") == 1
    assert "Completions" not in page and "The pipeline" not in page and "refresh" not in page
    (tmp_path / "sft" / "model.safetensors").touch()
    write_report(str(tmp_path))
    assert "In progress" not in (tmp_path / "report.html").read_text()


def test_the_folder_of_a_stage_is_not_that_of_a_run(run):
    with pytest.raises(InputError, match="give the folder that contains sft/"):
        write_report(str(run / "sft"))
