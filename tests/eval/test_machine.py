"""The environment set before torch and vLLM are imported, and the KV-cache size."""

import json

SHOW = "import json, os; from eval.generation import machine; machine.prepare(); print(json.dumps(dict(os.environ)))"


def prepared(command, **env):
    return json.loads(command("-c", SHOW, **env).stdout)


def test_variables_set_by_the_user_are_kept(command):
    assert prepared(command, VLLM_LOGGING_LEVEL="INFO")["VLLM_LOGGING_LEVEL"] == "INFO"


def test_the_number_of_threads_is_the_number_of_available_cores(command):
    pinned = "import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1]); " + SHOW
    assert json.loads(command("-c", pinned, OMP_NUM_THREADS="1").stdout)["OMP_NUM_THREADS"] == "1"
    assert prepared(command, OMP_NUM_THREADS="3")["OMP_NUM_THREADS"] == "3"


def test_the_kv_cache_fits_the_longest_sequences_exactly(parity_run):
    from eval.generation.machine import cache_bytes
    from eval.model_folder import load_config

    config = load_config(str(parity_run / "sft"))
    # two layers of keys and values, width 128, 4 bytes; per sequence two blocks of 32 tokens and a spare one
    assert cache_bytes(config, "float32", 64, 256) == 2 * 2 * 128 * 4 * 256 * 96
    assert cache_bytes(config, "bfloat16", 64, 256) == 2 * 2 * 128 * 2 * 256 * 96
    assert cache_bytes(config, "float32", 64, 2**20) == 2 * 2**30
