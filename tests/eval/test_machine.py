"""The environment that a process is given before torch and vLLM are imported."""

import json

SHOW = "import json, os; from eval.generation import machine; machine.prepare(); print(json.dumps(dict(os.environ)))"


def prepared(command, **env):
    return json.loads(command("-c", SHOW, **env).stdout)


def test_what_the_user_has_set_is_kept(command):
    assert prepared(command, VLLM_LOGGING_LEVEL="INFO")["VLLM_LOGGING_LEVEL"] == "INFO"


def test_threads_are_the_cores_that_the_process_may_use(command):
    pinned = "import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1]); " + SHOW
    assert json.loads(command("-c", pinned, OMP_NUM_THREADS="1").stdout)["OMP_NUM_THREADS"] == "1"
    assert prepared(command, OMP_NUM_THREADS="3")["OMP_NUM_THREADS"] == "3"


def test_the_kv_cache_is_as_large_as_the_sequences_can_be_and_no_larger(parity_run):
    from eval.generation.machine import cache_bytes

    # two layers of keys and values, 128 wide, 4 bytes each; a block of 128 tokens and one to spare for each sequence
    assert cache_bytes(str(parity_run / "sft"), "float32", 64, 256) == 2 * 2 * 128 * 4 * 256 * 256
    assert cache_bytes(str(parity_run / "sft"), "bfloat16", 64, 256) == 2 * 2 * 128 * 2 * 256 * 256
    assert cache_bytes(str(parity_run / "sft"), "float32", 64, 2**20) == 2 * 2**30
