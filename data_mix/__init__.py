"""Builds mixtures of short and long chain-of-thought solutions at exact shares.

mixture_config.py   YAML -> a validated MixtureConfig
values.py           checks of single values
tasks/              one module per task; generated problems, or records read by reading.py
own_code.py         loads user-defined functions and reports their errors
problem.py          Problem and ProblemPool; forms.py writes a problem as a completion
own_forms.py        user-defined forms; recognition.py finds the rule that tells them apart in completions
sources.py          loads each source, checks its gold answers (golds.py), decontaminates it (decontamination.py)
plan.py             number of rows of each source and form
lengths.py          measures lengths in tokens or characters
mixture.py          the rows, in an order computed by permutation.py, with the columns of rows.py
mixture_folder.py   builds, reads and verifies a mixture folder; show.py prints it, card.py writes its dataset card

Other packages also use files.py (writes files atomically and reads them), locks.py, errors.py, mapping.py (YAML) and hub.py.
Nothing here imports torch.
Of the other packages only rewards is imported: its verifier, its `\\boxed` reader, its loader of user code, and `text_of`.
"""
