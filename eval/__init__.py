"""Evaluation: generates completions, scores them with the verifier used in training, and reports accuracy and length.

__main__.py          the commands, `python -m eval ...`
evaluate.py          `eval run`: generates, scores and writes eval folders
eval_config.py       EvalConfig, the options of `eval run`, and their validation
eval_spec.py         prompts, token limit and settings of each eval folder
checkpoint_sweep.py  `eval run --checkpoints`: every checkpoint of a training run
model_folder.py      model folders: completeness, checkpoints, precision, the recipes that trained them
training_data.py     the mixtures that a model was trained on: overlap with benchmarks, user-defined forms, rows
benchmarks/          public test sets, one YAML each, and their prompts
generation/
    engines.py       completions through vLLM or transformers
    sampler.py       sampling through transformers, with a seed and log-probs for each completion
    tokens.py        tokenizing prompts, decoding completions, end tokens
    server.py        HTTP client of a vLLM server: completions, new weights
    servers.py       several of them, which can be lost and return
    server_engine.py the servers as an engine; checks that they serve the expected model
    server_folder.py what a run shares with its vLLM servers: token and weights
    spool.py         saves completions during generation, so that runs are resumable
    machine.py       environment variables, malloc and KV-cache size for the machine
    quiet.py         hides library messages that users cannot act on
scoring/
    eval_folder.py   `eval score`: completions.parquet and metrics.json
    metrics.py       accuracy, pass@k, maj@k and length, with intervals
    breakdown.py     the rows of each source, and of each value of a field of meta
    compare.py       `eval compare`: two evals, paired by problem
    forecast.py      `eval forecast`: p_long and accuracy over STaR rounds
    plan.py          `eval plan`: the cheapest recipe that reaches a target accuracy
    price_study.py   cost and accuracy of every recipe of an ablation
report/
    page.py          `eval report`: report.html of a run or an ablation
    watch.py         `eval report --watch`: follows a run in progress
    table.py         `eval table`: an ablation's table and figures
    results.py       results.jsonl of an ablation, small enough to publish
    figures.py       matplotlib figures
    browser.py       data of the page's completion browser
    export.py        `eval export`: lm-eval and model-card formats
patches/             patches to vLLM
"""
