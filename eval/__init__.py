"""Evaluation: generate completions, score them with the verifier that training uses, and say what came out.

`python -m eval run` generates and scores, `score` rescores a folder without a model, `compare` pairs two folders and
`report` writes a run's report.html.
"""
