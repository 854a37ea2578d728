"""Completions from a trainer's current weights.

source.py        the interface: push the weights, complete prompts
choose.py        the source that a config asks for
engine.py        TRL's own ways: an engine in each process, or one server with NCCL
transformers_source.py  the trainer's own model, without vLLM
served.py        vLLM servers that load the weights from files
weight_files.py  the checkpoints that these servers load
generators.py    completions for held-out evaluation and STaR, and those of a trainer's own model
"""
