"""Installs the CPU stack, and launches recipes, evals and vLLM servers as commands: ablation grids and Slurm jobs.

ablation.py     reads a YAML with a grid into cells and the jobs they need
check_jobs.py   checks the fields of all jobs before the first one starts
records.py      what made each job's folder, so that none is reused by mistake
scheduler.py    runs jobs in parallel, each pinned to its own CPU cores
slot.py         a set of cores and the processes that run on them
fork_server.py  a process with torch, TRL and vLLM imported, from which jobs are forked
serve.py        the vLLM server of a GRPO run: checks, options, start
guard.py        what stands between the network and that server: a token, and which weights it may load
worker.py       adapts the server's worker processes
slurm.py        fills in templates/job.sh for a recipe or an ablation
accelerate/     accelerate configs: DDP, DeepSpeed, FSDP2, CPU
patches/        patches to vLLM's command line
"""
