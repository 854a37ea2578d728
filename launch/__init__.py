"""Installing, checking and starting: what surrounds a run. Starts recipes and evals as commands.

ablation.py    a YAML of a grid -> cells -> the jobs they need, shared where they can be
scheduler.py   jobs -> finished folders, several at a time, each on cores of its own
"""
