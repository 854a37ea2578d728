"""What a completion's answer is, whether it is right, and what that earns: the one scorer of training and evaluation.

extraction.py   text -> final answer, by answer style
equality.py     two final answers -> equal or not
scorer.py       text + gold -> outcome, extracted answer, form
accounting.py   many scored completions -> accuracy and length by form and outcome
functions.py    reward functions with TRL's signature
"""
