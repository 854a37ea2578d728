"""The environment that a process is given before torch and vLLM are imported."""

import json

SHOW = "import json, os; from eval import machine; machine.prepare(); print(json.dumps(dict(os.environ)))"


def prepared(command, **env):
    return json.loads(command("-c", SHOW, **env).stdout)


def test_what_the_user_has_set_is_kept(command):
    assert prepared(command, VLLM_CPU_KVCACHE_SPACE="7")["VLLM_CPU_KVCACHE_SPACE"] == "7"


def test_threads_are_the_cores_that_the_process_may_use(command):
    pinned = "import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1]); " + SHOW
    assert json.loads(command("-c", pinned, OMP_NUM_THREADS="1").stdout)["OMP_NUM_THREADS"] == "1"
    assert prepared(command, OMP_NUM_THREADS="3")["OMP_NUM_THREADS"] == "3"
