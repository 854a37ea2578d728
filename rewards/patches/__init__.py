"""Patches to sympy; see recipes/training/patches."""
