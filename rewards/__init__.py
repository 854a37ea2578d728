"""The verifier: extracts and checks final answers, scores completions for training and evaluation, and computes rewards.

extraction.py   completion -> final answer, by answer style
boxed.py        reads the last `\\boxed{...}`, or a list of them
answers.py      final answer -> its structure, one of kinds.py
cleaning.py     removes formatting; marks text
units.py        removes units
relations.py    equations, named results, chains, inequalities
matrices.py     matrices, their sums and products
words.py        words, letters, points
brackets.py     splits text outside its brackets
parsing.py      expression -> tree
arithmetic.py   tree -> exact value
equality.py     compares two final answers
pool.py         worker processes (worker.py) that run math-verify where exact arithmetic cannot decide
steps.py        checks the calculations written out in a chain of thought
scorer.py       completion + gold answer -> outcome, extracted answer, form
audit.py        `python -m rewards audit`: what the verifier may be getting wrong
accounting.py   scored completions -> accuracy and length by form and outcome
built_in.py     the built-in rewards
own.py          user-defined reward functions
own_code.py     runs a user's Python file
specs.py        a config's `rewards` -> named, weighted rewards
functions.py    rewards as functions with TRL's signature
trial.py        what the rewards of a config pay for gold, empty and truncated completions
"""
