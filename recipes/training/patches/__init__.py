"""Patches to TRL, accelerate, torch and peft, one file per library. vLLM's are in eval/patches/, sympy's in rewards/patches/.

Each patch says what it fixes, where the cause is upstream, which version it was tested with, and when to remove it. Third-party
globals are replaced nowhere else. tests/test_patches.py fails when a name that a patch relies on disappears upstream.
"""
