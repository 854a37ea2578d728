"""Evaluation: generate completions, score them with the verifier that training uses, and say what came out.

`python -m eval run` generates and scores, `score` rescores a folder without a model, `compare` pairs two folders, `report`
writes a run's report.html, `table` an ablation's table and figures, `forecast` says what STaR will do from here,
and `export` prints an eval in the formats of other tools.
"""
