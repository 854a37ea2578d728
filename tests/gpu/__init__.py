"""What works on this machine's GPUs: `make gpu`, or `python -m tests.gpu`.

Every row runs the recipes as commands, as users do, and compares what they log with a bar.

machine.py     the GPUs, and what a bug report says of the machine
lab.py         commands with a log and a time limit; the mixture and the model that the rows start from
training.py    rows of SFT
rollouts.py    rows of GRPO, by where its completions come from
pipelines.py   rows of a killed run and of `make demo`
speed.py       rows of tokens per second and memory
"""
