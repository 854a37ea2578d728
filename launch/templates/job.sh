#!/bin/bash
# {{ job.made_by | join_words }}
# To submit it by hand: mkdir -p -- {{ job.logs | quote }} && sbatch THIS_FILE
#
#SBATCH --job-name={{ job.name }}
#SBATCH --nodes={{ resources.nodes + resources.vllm_nodes }}
#SBATCH --ntasks-per-node=1
{% if resources.gpus_per_node %}
#SBATCH --gpus-per-node={{ resources.gpus_per_node }}
{% endif %}
{% if resources.cpus_per_node %}
#SBATCH --cpus-per-task={{ resources.cpus_per_node }}
{% else %}
#SBATCH --exclusive
{% endif %}
#SBATCH --time={{ resources.time }}
{% if resources.partition %}
#SBATCH --partition={{ resources.partition }}
{% endif %}
{% if resources.after %}
#SBATCH --dependency=afterok:{{ resources.after }}
{% endif %}
{% for option in resources.sbatch %}
#SBATCH {{ option }}
{% endfor %}
{% if job.array %}
#SBATCH --array={{ job.array }}
{% endif %}
#SBATCH --chdir={{ workdir | sbatch }}
#SBATCH --output={{ (job.logs | string | replace("%", "%%") ~ "/%x-" ~ ("%A_%a" if job.array else "%j") ~ ".log") | sbatch }}
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@{{ resources.save_seconds() }}
{% if resources.setup %}
# From {{ resources.setup }}. The steps below inherit the environment.
{{ resources.setup_lines() }}
{% endif %}
set -u

# After each requeue Slurm runs this script again with the same job id. Each attempt has its own log.
attempt=${SLURM_RESTART_COUNT:-0}
{% if job.array %}
name=$SLURM_JOB_NAME-${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
{% else %}
name=$SLURM_JOB_NAME-$SLURM_JOB_ID
{% endif %}
log={{ job.logs | quote }}/$name.attempt-$attempt.log
pattern=${log//%/%%}  # srun expands % in file names
say() { echo "$(date +%FT%T) $name, attempt $attempt: $*"; }
say "starting on $SLURM_JOB_NODELIST; output in $log"
{% if job.done %}
if [ "$attempt" -gt 0 ] && [ -f {{ job.done | quote }} ]; then say "already finished"; exit 0; fi
{% endif %}
# SIGUSR1 comes shortly before the time limit, or from `scancel --batch --signal=USR1`: the run saves, and this script requeues it.
stopping=
stop() {  # with scancel, because srun kills its step on SIGTERM
    stopping=yes
    local step=$(squeue --steps --noheader --jobs="$SLURM_JOB_ID" --format="%i %j" | awk '$2 == "train" { print $1 }')
    [ -z "$step" ] || { say "shutdown requested: saving"; scancel --signal=TERM "$step"; }
}
trap stop USR1

export TQDM_MININTERVAL=30  # seconds: progress bars go to a log file
export PATH={{ python.parent | string | quote }}:$PATH
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-}
[ -n "$SRUN_CPUS_PER_TASK" ] || unset SRUN_CPUS_PER_TASK
# How long torchrun waits on SIGTERM for its processes to save; the default of 30 s is too short.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT={{ [resources.save_seconds() - 10, 5] | max }}
{% if not job.array %}

nodes=($(scontrol show hostnames "$SLURM_JOB_NODELIST"))
trainers=("${nodes[@]:0:{{ resources.nodes }}}")
list() { local IFS=,; echo "$*"; }
# A node's own hostname; ports derived from the job id, so that two jobs on a node do not collide.
address() { srun --nodes=1 --ntasks=1 --nodelist="$1" hostname; }
export MASTER_ADDR=$(address "${trainers[0]}")
export MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000 * 3))
export NCCL_DEBUG=${NCCL_DEBUG:-WARN}
{% endif %}
{% if job.server %}

# vLLM runs on the last {{ resources.vllm_nodes }} of the nodes. Training starts when it answers.
servers=("${nodes[@]:{{ resources.nodes }}}")
first=$(address "${servers[0]}")
# Anyone who can reach the port can load weights, so the server listens only on the node's own address.
host=$(getent ahostsv4 "$first" | awk 'NR == 1 { print $1 }')
[ -n "$host" ] || { say "error: the hostname of the vLLM node, $first, has no IPv4 address here"; exit 1; }
export first host server=http://$host:$((MASTER_PORT + 1))
srun --nodes={{ resources.vllm_nodes }} --ntasks={{ resources.vllm_nodes }} --nodelist="$(list "${servers[@]}")" --cpu-bind=none \
    --output="$pattern.vllm" bash -c '
    export VLLM_SERVER_DEV_MODE=1  # enables the endpoints that update weights
    exec python -m vllm.entrypoints.cli.main "$@" --host $host --port $((MASTER_PORT + 1))
{%- if resources.vllm_nodes > 1 %} \
        --node-rank $SLURM_PROCID --master-addr $first --master-port $((MASTER_PORT + 2)) $([ $SLURM_PROCID = 0 ] || echo --headless)
{%- endif %}' vllm {{ job.server | join_words }} &
server_pid=$!
trap 'kill $server_pid 2> /dev/null; wait $server_pid' EXIT
while true; do
    python -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + "/health", timeout=5)' "$server" 2> /dev/null && break
    kill -0 $server_pid 2> /dev/null || { say "error: vLLM exited before it answered $server/health; see $log.vllm"; exit 1; }
    [ $SECONDS -lt {{ server_start }} ] || { say "error: vLLM did not answer $server/health within {{ server_start }} s; see $log.vllm"; exit 1; }
    sleep 1
done
say "vLLM answers at $server after $SECONDS s"
{% endif %}

{% if job.array %}
srun --job-name=train --nodes=1 --ntasks=1 --cpu-bind=none --output="$pattern" python {{ job.command | join_words }} --cell $SLURM_ARRAY_TASK_ID &
{% else %}
# One launcher per node, one process per GPU. The launcher forwards SIGTERM, and the processes save after the current step.
srun --job-name=train --nodes={{ resources.nodes }} --ntasks={{ resources.nodes }} --nodelist="$(list "${trainers[@]}")" --cpu-bind=none --kill-on-bad-exit=1 \
    --output="$pattern" bash -c 'exec python {{ job.launcher | join_words }} \
    --machine_rank $SLURM_PROCID --main_process_ip $MASTER_ADDR --main_process_port $MASTER_PORT "$@"
{%- if job.server %} --vllm_server_base_url "$server" --vllm_group_port $((MASTER_PORT + 2)){% endif %}' \
    train {{ job.command | join_words }} &
{% endif %}
run_pid=$!
[ -z "$stopping" ] || { sleep 5; stop; }  # the signal came before the step existed
while kill -0 $run_pid 2> /dev/null; do wait $run_pid; done  # a trapped signal interrupts wait
wait $run_pid
status=$?

if [ "$status" = 0 ]; then
    say "finished"
elif [ -n "$stopping" ] || { [ "$status" -gt 128 ] && [ "$attempt" -lt 10 ]; }; then
    say "interrupted (status $status): requeueing"
    scontrol requeue "$SLURM_JOB_ID" && sleep 600  # until Slurm kills this attempt
    say "error: Slurm did not requeue the job; see $log"
else
    say "error: failed with status $status; see $log"
fi
exit "$status"
