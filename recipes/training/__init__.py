"""What the recipes share, by purpose.

config.py      reads YAML and command line into dataclasses; writes recipe.json
arguments.py   TRL's configs with the defaults that cotmix needs
preflight/     checks before a model is loaded: config, runtime environment, memory; also `python -m launch check`
models.py      builds or loads models and tokenizers
trainers/      subclasses of TRL's trainers
    grpo.py        CotmixGRPOTrainer: baselines, dynamic sampling, fewer forward passes; lists the TRL methods it overrides
    scoring.py     log-probs of completions, for grpo.py
    shared_prompts.py  packs completions that share a prompt
    packed_rows.py sequences in a row without padding: attention within each, and the rows of SFT
    cpu_attention.py  causal attention on CPU in bfloat16
    algorithms.py  GRPO, Dr. GRPO, DAPO, REINFORCE and RLOO as TRL settings
    filters.py     log-probs under top-k, top-p and min-p
    correction.py  importance-sampling correction of the vLLM-trainer log-prob mismatch
    sft.py         CotmixSFTTrainer
    finite.py      stops on gradients that are NaN or infinite
    ahead.py       asynchronous rollouts: the next completions while a step trains
    reward_failures.py  stops when a user-defined reward function fails, after a checkpoint
    batching.py    micro-batches of similar length
    memory.py      returns freed memory to the system when the process has grown (CPU)
star_rollouts.py  the rollouts of a STaR round, and which are trained on
generation/    completions from the current weights, through vLLM or transformers
    source.py      the interface of GRPO and STaR: push the weights, complete prompts
    choose.py      the source that a config asks for
    engine.py      TRL's own backends: an engine in each process, or one server with NCCL
    transformers_source.py  the trainer's own model, without vLLM
    served.py      vLLM servers that load the weights from files
    weight_files.py  the checkpoints that they load
    generators.py  completions for held-out evaluation and STaR, and those of a trainer's own model
tracking/      log.jsonl, the console, held-out evaluation during training
checkpoints/   atomic.py (complete or ignored), shutdown.py (SIGTERM, Ctrl-C), rounds.py (STaR), final.py (the final model),
               card.py (its model card, push to the hub)
train.py       resume or start, train, save: the common end of sft.py and grpo.py
errors.py      TrainingError, for a run that must stop
fields.py      writes recipes/FIELDS.md, the reference of all fields
values.py      refuses values that libraries fail on late or ignore
processes.py   exit with the launcher, lock the output folder, defaults for CPU runs
patches/       one file per library: each patch with its upstream cause and the condition for removing it
"""
