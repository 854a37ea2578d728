"""`make gpu` without GPUs: its command line and report, and the rows that run on CPU, for real."""

import re
from importlib.metadata import version

import pytest

from data_mix.errors import InputError
from tests.gpu import __main__ as gpu
from tests.gpu import machine, speed
from tests.gpu.lab import Lab
from tests.gpu.machine import GPU


def a_gpu(name="NVIDIA A100-SXM4-80GB", gib=80) -> GPU:
    return GPU("0", "GPU-0", name, gib * 2**30, (8, 0))


def test_list_says_what_each_row_needs(capsys):
    assert gpu.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(gpu.ROWS)
    needs = dict(zip(gpu.ROWS, (line[line.rindex("(") :] for line in lines), strict=True))
    assert needs["lora"] == "(needs 1 GPU or --cpu)" and needs["server-nccl"] == "(needs 2 GPUs)"
    assert needs["speed-1b"] == "(needs 1 GPU with 70 GiB)"


def test_unknown_rows_and_a_machine_without_gpus_are_one_line(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "has_gpu", lambda: False)
    assert gpu.main(["sft", "serverfiles", "--out", str(tmp_path / "out")]) == 2
    [error] = capsys.readouterr().err.splitlines()
    assert error.startswith("error: there is no row serverfiles; did you mean 'server-files'?; the rows are sft, ")
    assert gpu.main(["sft", "--out", str(tmp_path / "out")]) == 2
    [error] = capsys.readouterr().err.splitlines()
    assert error == "error: no NVIDIA GPU is visible; use a machine with one, or --cpu for the rows that run without"
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not version("torch").endswith("+cpu"), reason="with the GPU stack, torch can use GPUs")
def test_a_torch_that_cannot_use_the_gpu_is_one_line(monkeypatch):
    monkeypatch.setattr(machine, "has_gpu", lambda: True)  # the CPU build of torch beside a driver
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(InputError, match=r"torch \S+ cannot use the GPU \(AssertionError: Torch not compiled with CUDA"):
        machine.find_gpus()


def test_rows_run_where_they_can():
    rows, one, two = gpu.ROWS, [a_gpu()], [a_gpu(), a_gpu()]
    assert {name for name in rows if not rows[name].can_run(one)} == {"server-nccl", "zero2", "zero3", "fsdp2"}
    assert all(row.can_run(two) for row in rows.values())
    assert not rows["speed-1b"].can_run([a_gpu("NVIDIA L4", 22)]) and rows["speed-135m"].can_run([a_gpu("NVIDIA L4", 22)])
    assert {name for name in rows if not rows[name].can_run([])} == {"grpo-sleep", "server-nccl", "speed-135m", "speed-1b"}


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("NVIDIA L40", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
    ],
)
def test_the_peak_of_a_card_is_that_of_its_own_name(name, peak):
    assert machine.peak_flops(name) == peak


def test_a_failing_row_says_what_to_report_and_the_others_run(capsys, monkeypatch, tmp_path):
    def passes(lab):
        lab.run("fine", ["-c", "print('fine')"])
        return "1.0 tokens/s"

    def fails(lab):
        lab.run("broken", ["-c", "import sys; print(*range(40), sep='\\n'); sys.exit('it broke')"])

    rows = {
        "fails": gpu.Row(fails, "fails"),
        "sleeps": gpu.Row(passes, "sleeps", cpu=False),
        "passes": gpu.Row(passes, "passes"),
    }
    monkeypatch.setattr(gpu, "ROWS", rows)
    assert gpu.main(["--cpu", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    [report] = tmp_path.glob("*/report.txt")
    assert said == report.read_text()
    table = [line for line in said.splitlines() if line.split(" ")[0] in rows]
    assert [re.split(r"\s{2,}", re.sub(r"\d+ s ", "", line)) for line in table[3:]] == [
        ["fails", "FAIL", "broken failed with status 1"],
        ["sleeps", "skipped", "needs 1 GPU"],
        ["passes", "pass", "1.0 tokens/s"],
    ]
    log = report.parent / "fails" / "broken.log"
    start = said.index("--- fails failed; please report the following")
    assert "command: CUDA_VISIBLE_DEVICES= " in said[start:] and "torch 2" in said[start:]
    assert f"end of {log}:\n    11\n" in said and "    it broke\n" in said  # the last 30 of 41 lines
    assert said.endswith("1 of 3 rows failed\n")


def test_a_command_that_hangs_is_killed(monkeypatch, tmp_path):
    monkeypatch.setattr("tests.gpu.lab.LIMIT", 1)
    lab = Lab(tmp_path, [])
    lab.begin("row")
    with pytest.raises(gpu.RowError, match="hangs was killed after 1 s"):
        lab.run("hangs", ["-c", "import time; time.sleep(60)"])
    assert lab.commands[0].process.poll() is not None


@pytest.mark.slow
@pytest.mark.timeout(2700)  # 18 commands, none forked from a process that has imported the libraries
def test_the_rows_that_need_no_gpu(capsys, tmp_path):
    """All but the demo, which CI runs as `make demo`, with the same bars."""
    rows = ["sft", "grpo-colocate", "lora", "server-files", "resume", "zero2", "zero3", "fsdp2"]
    assert gpu.main([*rows, "--cpu", "--out", str(tmp_path)]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert [line.split()[:2] for line in said.splitlines() if line.split(" ")[0] in rows] == [[row, "pass"] for row in rows]
    gaps = [float(gap) for gap in re.findall(r"log-prob gap ([\d.]+)", said)]
    assert len(gaps) == 7 and max(gaps) < 1e-3  # float32


@pytest.mark.slow
def test_the_row_of_speed_with_a_tiny_model(tmp_path):
    lab = Lab(tmp_path, [])
    lab.begin("speed")
    figures = speed.speed(lab, {"vocab_size": 1000}, bits=31, rows=8, completions=32, limit=8)
    assert re.match(r"SFT [\d,]+ tokens/s, on CPU, [\d.]+ GiB \(estimated [\d.]+\); rollouts [\d,]+ tokens/s, a GRPO ", figures)
    assert not list(tmp_path.rglob("*.safetensors"))
