"""The report of a small run: self-contained, true to its metrics, and shown by a real browser where there is one."""

import json
import re
import shutil
import subprocess

import pytest

from eval.folder import write_folder
from eval.report import find_stages, pipeline_table, write_report
from tests.eval.test_folder import rows


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


def test_stages_come_in_the_order_of_the_pipeline(run):
    stages = find_stages(run)
    assert list(stages) == ["sft", "grpo"] and set(stages["sft"]) == {"greedy", "sampled"}
    sft, grpo = pipeline_table(stages)
    assert sft["greedy"]["value"] == 0.5 and sft["median_length"] == 1 and sft["p_long"] == pytest.approx(1 / 3)
    assert grpo["greedy"]["value"] == 0.9 and grpo["median_length"] == 4 and grpo["sampled"] is None


def test_the_report_needs_nothing_but_itself(run):
    said = write_report(str(run))
    assert "0.900" in said and said.endswith("report.html")
    page = (run / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "http" not in page
    assert page.count("data:image/png;base64,") == 5 == len(list((run / "figures").glob("*.png")))
    assert "&lt;b&gt;" in page and "<b>" not in page


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_a_real_browser_shows_table_and_figures(run, tmp_path):
    write_report(str(run))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    where = [f"--user-data-dir={tmp_path}", "--dump-dom", f"file://{run}/report.html"]
    dom = subprocess.run(["chromium", *flags, *where], capture_output=True, text=True, timeout=120, check=True).stdout
    table = dom[dom.index('id="pipeline"') :]
    cells = re.findall(r"<td>([^<]*)</td>", table[: table.index("</table>")])
    assert cells[0] == "sft" and cells[1].startswith("0.500 [")
    assert dom.count("<figure>") == 5
