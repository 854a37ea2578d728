"""What a completion's answer is, whether it is right, and what that earns: the one scorer of training and evaluation.

extraction.py   text -> final answer, by answer style
answers.py      a final answer -> its structure, by the conventions of README.md
expression.py   an expression -> a tree -> its exact value
equality.py     two final answers -> equal, different, or a question for the pool
pool.py         worker processes (worker.py) for what only math-verify can compare
steps.py        a chain of thought -> which of its calculations are true
scorer.py       text + gold -> outcome, extracted answer, form
accounting.py   many scored completions -> accuracy and length by form and outcome
functions.py    reward functions with TRL's signature
"""
