"""What the recipes share, grouped by purpose.

config.py      YAML and command line to dataclasses; recipe.json
preflight/     checks before a model is loaded: of the config, the runtime environment, memory; `launch check`
models.py      models and tokenizers, from scratch or from a checkpoint
trainers/      TRL's trainers and what they lack
    grpo.py        CotmixGRPOTrainer: baselines, dynamic sampling, fewer forward passes
    algorithms.py  GRPO and its relatives in TRL's terms
    correction.py  importance-sampling correction of the vLLM-trainer log-prob mismatch
    sft.py         CotmixSFTTrainer
    batching.py    micro-batches of similar length
rollouts.py    completions from the weights in training, through transformers or vLLM
tracking/      log.jsonl, and held-out evaluation during training
checkpoints/   atomic checkpoints, graceful shutdown, STaR's rounds, the final model
loop.py        resume or start, train, save
processes.py   a run's processes: their launcher, the lock of the output folder, settings without a GPU
patches/       what TRL and accelerate lack, one file per library, with the condition for removing each patch
"""
