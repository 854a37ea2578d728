#!/bin/bash
# {{ job.made_by | join_words }}
# To submit it by hand: mkdir -p -- {{ job.logs | quote }} && sbatch THIS_FILE
#
#SBATCH --job-name={{ job.name }}
#SBATCH --nodes={{ cluster.nodes + cluster.vllm_nodes }}
#SBATCH --ntasks-per-node=1
{% if cluster.gpus_per_node %}
#SBATCH --gpus-per-node={{ cluster.gpus_per_node }}
{% endif %}
{% if cluster.cpus_per_node %}
#SBATCH --cpus-per-task={{ cluster.cpus_per_node }}
{% else %}
#SBATCH --exclusive
{% endif %}
#SBATCH --time={{ cluster.time }}
{% if cluster.partition %}
#SBATCH --partition={{ cluster.partition }}
{% endif %}
{% if job.array %}
#SBATCH --array={{ job.array }}
{% endif %}
#SBATCH --chdir={{ root | sbatch }}
#SBATCH --output={{ (job.logs | string | replace("%", "%%") ~ "/%x-" ~ ("%A_%a" if job.array else "%j") ~ ".log") | sbatch }}
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@{{ cluster.lead() }}
set -u

# Slurm runs this script again, with the same job id, after each requeue. An attempt has a log of its own.
attempt=${SLURM_RESTART_COUNT:-0}
{% if job.array %}
name=$SLURM_JOB_NAME-${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
{% else %}
name=$SLURM_JOB_NAME-$SLURM_JOB_ID
{% endif %}
log={{ job.logs | quote }}/$name.attempt-$attempt.log
pattern=${log//%/%%}  # as srun takes a file's name
say() { echo "$(date +%FT%T) $name, attempt $attempt: $*"; }
say "begins on $SLURM_JOB_NODELIST; its output is in $log"
{% if job.done %}
if [ "$attempt" -gt 0 ] && [ -f {{ job.done | quote }} ]; then say "finished before"; exit 0; fi
{% endif %}
# Before the time is up, or when someone runs `scancel --batch --signal=USR1`: the run saves, and this script queues it again.
asked=
ask() {  # through scancel: srun answers to SIGTERM by killing its step
    asked=yes
    local step=$(squeue --steps --noheader --jobs="$SLURM_JOB_ID" --format="%i %j" | awk '$2 == "train" { print $1 }')
    [ -z "$step" ] || { say "asked to end: saving"; scancel --signal=TERM "$step"; }
}
trap ask USR1

export TQDM_MININTERVAL=30  # progress bars are for terminals, and this is a file
export PATH={{ python.parent | string | quote }}:$PATH
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-}
[ -n "$SRUN_CPUS_PER_TASK" ] || unset SRUN_CPUS_PER_TASK
# A launcher that is asked to end waits so long for its processes to save; its own default is 30 s.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT={{ [cluster.lead() - 10, 5] | max }}
{% if not job.array %}

nodes=($(scontrol show hostnames "$SLURM_JOB_NODELIST"))
trainers=("${nodes[@]:0:{{ cluster.nodes }}}")
list() { local IFS=,; echo "$*"; }
# What a node calls itself; ports from the job's id, so that two jobs on a node do not meet.
address() { srun --nodes=1 --ntasks=1 --nodelist="$1" hostname; }
export MASTER_ADDR=$(address "${trainers[0]}")
export MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000 * 3))
export NCCL_DEBUG=${NCCL_DEBUG:-WARN}
{% endif %}
{% if job.server %}

# vLLM on the last {{ cluster.vllm_nodes }} of the nodes. Training begins when it answers.
servers=("${nodes[@]:{{ cluster.nodes }}}")
first=$(address "${servers[0]}")
# Whoever reaches its port can have it load weights, so it listens on the node's own address alone.
host=$(getent ahostsv4 "$first" | awk 'NR == 1 { print $1 }')
[ -n "$host" ] || { say "error: the vLLM node calls itself $first, and that name has no IPv4 address here"; exit 1; }
export first host server=http://$host:$((MASTER_PORT + 1))
srun --nodes={{ cluster.vllm_nodes }} --ntasks={{ cluster.vllm_nodes }} --nodelist="$(list "${servers[@]}")" --cpu-bind=none \
    --output="$pattern.vllm" bash -c '
    export VLLM_SERVER_DEV_MODE=1  # where the doors for weights are
    exec python -m vllm.entrypoints.cli.main "$@" --host $host --port $((MASTER_PORT + 1))
{%- if cluster.vllm_nodes > 1 %} \
        --node-rank $SLURM_PROCID --master-addr $first --master-port $((MASTER_PORT + 2)) $([ $SLURM_PROCID = 0 ] || echo --headless)
{%- endif %}' vllm {{ job.server | join_words }} &
serving=$!
trap 'kill $serving 2> /dev/null; wait $serving' EXIT
while true; do
    python -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + "/health", timeout=5)' "$server" 2> /dev/null && break
    kill -0 $serving 2> /dev/null || { say "error: vLLM ended before it answered $server/health; see $log.vllm"; exit 1; }
    [ $SECONDS -lt {{ server_start }} ] || { say "error: vLLM did not answer $server/health within {{ server_start }} s; see $log.vllm"; exit 1; }
    sleep 1
done
say "vLLM answers at $server after $SECONDS s"
{% endif %}

{% if job.array %}
srun --job-name=train --nodes=1 --ntasks=1 --cpu-bind=none --output="$pattern" python {{ job.command | join_words }} --cell $SLURM_ARRAY_TASK_ID &
{% else %}
# One launcher a node; it starts a process a GPU. Told to end, it tells them, and they save after the step they are in.
srun --job-name=train --nodes={{ cluster.nodes }} --ntasks={{ cluster.nodes }} --nodelist="$(list "${trainers[@]}")" --cpu-bind=none --kill-on-bad-exit=1 \
    --output="$pattern" bash -c 'exec python {{ job.launcher | join_words }} \
    --machine_rank $SLURM_PROCID --main_process_ip $MASTER_ADDR --main_process_port $MASTER_PORT "$@"
{%- if job.server %} --vllm_server_base_url "$server" --vllm_group_port $((MASTER_PORT + 2)){% endif %}' \
    train {{ job.command | join_words }} &
{% endif %}
running=$!
[ -z "$asked" ] || { sleep 5; ask; }  # asked before there was a step
while kill -0 $running 2> /dev/null; do wait $running; done  # a signal ends a wait, not what is waited for
wait $running
status=$?

if [ "$status" = 0 ]; then
    say "finished"
elif [ -n "$asked" ] || { [ "$status" -gt 128 ] && [ "$attempt" -lt 10 ]; }; then
    say "ended early (status $status); to be queued again"
    scontrol requeue "$SLURM_JOB_ID" && sleep 600  # until Slurm ends this attempt
    say "error: Slurm has not queued it again; see $log"
else
    say "error: ended with status $status; see $log"
fi
exit "$status"
