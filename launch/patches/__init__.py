"""Patches to vLLM's command; see recipes/training/patches."""
