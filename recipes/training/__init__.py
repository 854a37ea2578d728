"""What the recipes share.

config.py       YAML and command line -> dataclasses; recipe.json
checks.py       what RL can know to be wrong before a model is loaded
models.py       tokenizers, models from scratch, end tokens
algorithms.py   GRPO and its relatives on TRL's trainer
rounds.py       the folder of a STaR run
tracking.py     log.jsonl, held-out problems during training
cpu.py          TRL and vLLM on CPU
run.py          train, merge, save
"""
