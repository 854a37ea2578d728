"""Runs that take their rollouts from a real vLLM server, with weights from files; the server is killed on the way."""

import json
import random
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data_mix.errors import InputError
from data_mix.mixture_folder import read_rows
from eval.generation import server_folder
from eval.scoring.eval_folder import read_completions
from recipes.training.checkpoints.atomic import find_complete, last_complete
from tests.conftest import LAUNCH, read_log
from tests.serving import Server

STEPS, KILLS = 4, 8

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def where(parity_run, tmp_path_factory) -> list[str]:
    """Fields of the runs in this file. They have the same output folder, because a server belongs to one."""
    out = tmp_path_factory.mktemp("served") / "grpo"
    return ["--mixture", f"{parity_run}/mixture", "--model_name_or_path", f"{parity_run}/sft", "--output_dir", str(out)]


@pytest.fixture(scope="module")
def server(where):
    started = Server(where)
    started.wait_for(started.is_healthy)
    yield started
    started.kill()


def arguments(where, server, batch):
    size = ["--max_steps", STEPS, "--per_device_train_batch_size", batch, "--heldout_problems", 9, "--heldout_every", 2]
    served = ["--vllm_mode", "server", "--vllm_server_base_url", server.url]
    return list(map(str, ["recipes/grpo.py", *where, *size, *served, "--learning_rate", 1e-3, "--report_to", "none"]))


def rollouts(folder):
    """What the completions of each step were worth, held-out ones included."""
    wanted = ("step", "reward", "length/mean", "p_long", "weights_step", "weights_age")
    return [
        {k: v for k, v in entry.items() if k in wanted or k.startswith("heldout/")}
        for entry in read_log(folder)
        if "reward" in entry or "heldout/greedy/accuracy" in entry
    ]


def test_eval_takes_completions_from_a_server(command, where, server, tmp_path):
    """The same completions as transformers', and the samples of one request are those of several."""
    from eval.generation.engines import Sampling, TransformersEngine, in_order, load_model
    from eval.generation.server_engine import ServerEngine
    from eval.generation.tokens import encode_prompts, end_ids
    from eval.model_folder import load_tokenizer

    model, mixture, token = where[3], where[1], server_folder.folder(where[-1]) / "token"
    tokenizer = load_tokenizer(model, "--model")
    prompts = encode_prompts(tokenizer, [row["prompt"] for row in read_rows(mixture, "test")[:16]])
    engine = ServerEngine([server.url], server_folder.read_token(token)).load(model, tokenizer, 40, seed=3)
    greedy = Sampling(1, 0.0, 24, frozenset(end_ids(tokenizer)))
    assert in_order(engine.stream(prompts, greedy)) == in_order(
        TransformersEngine(load_model(model, "float32"), tokenizer, 0).stream(prompts, greedy)
    )
    four, one = replace(greedy, n=4, temperature=1.0), replace(greedy, temperature=1.0)
    repeated = [ids for ids in prompts for _ in range(4)]
    assert sum(in_order(engine.stream(prompts, four)), []) == [ids for [ids] in in_order(engine.stream(repeated, one))]

    command(
        *("-m", "eval", "run", "--model", model, "--mixture", mixture, "--out", tmp_path / "eval"),
        *("--base-url", server.url, "--token-file", token),
    )
    assert len(read_completions(str(tmp_path / "eval"))[0]) == 64
    other = shutil.copytree(model, tmp_path / "other")
    with pytest.raises(InputError, match=f"serves {model}, not {other}"):
        engine.load(str(other), tokenizer, 40, seed=0)


def test_two_processes_and_a_killed_server_change_no_rollout(command, start, where, server, tmp_path):
    out = tmp_path.joinpath(where[-1])
    command(*arguments(where, server, 32))
    steps = [entry for entry in read_log(out) if "reward" in entry]
    assert [entry["step"] for entry in steps] == [1, 2, 3, 4]
    assert [entry["weights_step"] for entry in steps] == [0, 1, 2, 3] and not any(entry["weights_age"] for entry in steps)
    # at this learning rate, the gap shows whether the weights of each step have arrived
    assert max(entry["sampling/sampling_logp_difference/max"] for entry in steps) < 1e-3
    assert (out / "model.safetensors").is_file()
    assert not server_folder.weights_folder(str(out), ["127.0.0.1"]).exists()

    whole = out.rename(out.with_name("whole"))
    run = start(*LAUNCH, *arguments(where, server, 16))
    while not (out / "log.jsonl").is_file() or len(rollouts(out)) < 3:
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)
    server.kill()
    server.start()
    assert run.wait() == 0, run.communicate()
    assert any("does not answer" in text for text in run.communicate())
    assert rollouts(out) == rollouts(whole)


def test_star_through_a_server_keeps_what_it_keeps_with_an_engine(command, where, server, tmp_path):
    """Completions depend on the seed, the round and the prompt alone: a server that is lost changes nothing."""
    small = ["--rounds", 2, "--problems", 16, "--num_generations", 4, "--heldout_problems", 9]
    recipe = ["recipes/star.py", *where, *small, "--per_device_train_batch_size", 8, "--report_to", "none"]
    served = ["--vllm_mode", "server", "--vllm_server_base_url", server.url]
    out = tmp_path.joinpath(where[-1])
    shutil.rmtree(out, ignore_errors=True)
    command(*recipe)
    alone = out.rename(out.with_name("alone"))
    server.kill()
    server.start()  # the run waits for it
    command(*recipe, *served)
    assert kept_of(out) == kept_of(alone) and rollouts(out) == rollouts(alone)
    assert (out / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()
    shutil.rmtree(out)


def kept_of(folder):
    """(problem, completion, whether it was kept) of each rollout, by round."""
    paths = sorted((folder / "rollouts").glob("round-*.parquet"))
    wanted = ("problem_id", "completion", "kept")
    return [[tuple(row[name] for name in wanted) for row in pq.read_table(path).to_pylist()] for path in paths]


RECORD = """
import json

def record(problem_id, trainer_state, **kwargs):
    with open({path!r}, "a") as file:
        file.write(json.dumps([trainer_state.global_step, sorted(problem_id)]) + "\\n")
    return [None] * len(problem_id)
"""


@pytest.mark.parametrize(("config", "lora"), [("zero3", False), ("zero3", True), ("fsdp2", True)])
def test_the_servers_get_sharded_models_whole_and_adapters_merged(command, where, server, config, lora):
    out = Path(where[-1])
    shutil.rmtree(out, ignore_errors=True)
    launch = ["-m", "accelerate.commands.launch", "--config_file", f"launch/accelerate/{config}.yaml", "--num_processes", 2]
    adapter = ["--use_peft", "true", "--lora_r", 4, "--lora_dropout", 0, "--learning_rate", 1e-2] if lora else []
    command(*launch, "--main_process_port", 0, *arguments(where, server, 16), *adapter, OMP_NUM_THREADS="1")
    steps = [entry for entry in read_log(out) if "reward" in entry]
    assert [entry["weights_step"] for entry in steps] == [0, 1, 2, 3]
    assert max(entry["sampling/sampling_logp_difference/max"] for entry in steps) < 1e-3
    shutil.rmtree(out)


def test_kills_of_server_or_trainer_change_no_rollout(command, start, where, server, tmp_path):
    words = [*arguments(where, server, 32), "--save_strategy", "steps", "--save_steps", "1"]
    out, draw, kills = tmp_path.joinpath(where[-1]), random.Random(0), 0
    shutil.rmtree(out, ignore_errors=True)
    command(*words)
    whole = rollouts(out.rename(tmp_path / "whole"))
    while kills < KILLS:
        status = None
        while status != 0:  # a killed run is started again, with the same server
            run = start(*words)
            while run.poll() is None:
                time.sleep(draw.uniform(0.5, 10))
                if kills == KILLS or run.poll() is not None:
                    continue
                kills += 1
                if draw.random() < 0.5:
                    run.kill()
                else:
                    server.kill()
                    server.start()
            status = run.wait()
            assert status in (0, -signal.SIGKILL)
        assert rollouts(out) == whole  # each step logged once
        shutil.rmtree(out)
    server.wait_for(server.is_healthy)


def problems_of_steps(log):
    """Step → its problems; without the few completions on which the checks before training try a reward."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return {step: problems for step, problems in records if len(problems) == 32}


def test_asynchronous_rollouts_use_each_problem_once_and_are_one_step_old(command, start, where, server, tmp_path):
    out, log = tmp_path.joinpath(where[-1]), tmp_path / "problems.jsonl"
    for earlier in (out, out.with_name("whole")):
        shutil.rmtree(earlier, ignore_errors=True)
    (tmp_path / "mine.py").write_text(RECORD.format(path=str(log)))
    words = [*arguments(where, server, 32), "--rewards", "answer", f"{tmp_path}/mine.py:record"]
    command(*words)
    in_turn = problems_of_steps(log)
    shutil.rmtree(out)
    log.unlink()

    words += ["--async_steps", "1", "--save_strategy", "steps", "--save_steps", "1"]
    run = start(*words)
    while not find_complete(str(out)):
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)
    run.kill()
    run.wait()
    resumed, _ = last_complete(str(out))
    command(*words)
    steps = [entry for entry in read_log(out) if "reward" in entry]
    assert [entry["step"] for entry in steps] == [1, 2, 3, 4]
    first = [0, resumed]  # after which nothing has been generated ahead
    assert [entry["weights_age"] for entry in steps] == [0 if entry["step"] - 1 in first else 1 for entry in steps]
    # the steps that were killed are done again, with the same problems
    assert in_turn == problems_of_steps(log)
