"""Installing, checking and starting: what surrounds a run. Starts recipes and evals as commands.

ablation.py    a YAML of a grid -> cells -> the jobs they need, shared where they can be
scheduler.py   jobs -> finished folders, several at a time, each on cores of its own
slot.py        the cores, and the process that runs jobs on them
slurm.py       a recipe or an ablation -> templates/job.sh, filled in
accelerate/    how the processes of a run share a model
"""
