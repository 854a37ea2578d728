"""Patches to vLLM; see recipes/training/patches."""
