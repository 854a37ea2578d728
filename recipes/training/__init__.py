"""What the recipes share.

config.py        YAML and command line -> dataclasses; recipe.json
processes.py     a run's processes: their launcher, their folder's lock, and what they need without a GPU
preflight.py     what is known to be wrong before a model is loaded: the order of the checks, and the command
  checks.py        of mixture, tokenizer, rollouts, training
  environment.py   of packages, processes, GPUs, disk
  memory.py        of what a process needs
  findings.py      what they find
models.py        tokenizers, models from scratch, end tokens
algorithms.py    GRPO and its relatives in TRL's terms
policy.py        what TRL's trainer lacks for them
rounds.py        the folder of a STaR run
tracking.py      log.jsonl, held-out problems during training
patches/         what TRL and accelerate do not do yet, one file per library
checkpoints.py   atomic checkpoints and graceful shutdown
run.py           train, merge, save
"""
