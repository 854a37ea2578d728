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
{% if job.restart %}
servers=("${nodes[@]:{{ resources.nodes }}}")
{% else %}
servers=("$(list "${nodes[@]:{{ resources.nodes }}}")")
{% endif %}
server_pids=() hosts=() urls=()
export port=$((MASTER_PORT + 1)) group_port=$((MASTER_PORT + 2))
for server in "${servers[@]}"; do
    first=$(address "${server%%,*}")
    # Requests need a token but are not encrypted, so the server listens only on the node's own address.
    host=$(getent ahostsv4 "$first" | awk 'NR == 1 { print $1 }')
    [ -n "$host" ] || { say "error: the hostname of the vLLM node, $first, has no IPv4 address here"; exit 1; }
    hosts+=("$host") urls+=("http://$host:$port")
done
export first url_list="${urls[*]}"
{% set size = 1 if job.restart else resources.vllm_nodes %}
serve() {  # starts the server with the given number
    host=${hosts[$1]} srun --job-name=vllm --nodes={{ size }} --ntasks={{ size }} --nodelist="${servers[$1]}" --cpu-bind=none \
        --open-mode=append --output="$pattern.vllm" bash -c 'exec python "$@" --host $host --port $port
{%- if size > 1 %} \
        --nnodes {{ size }} --node-rank $SLURM_PROCID --master-addr $first --master-port $group_port
{%- endif %}' vllm {{ job.server | join_words }} &
    server_pids[$1]=$!
}
trap 'kill "${server_pids[@]}" 2> /dev/null; wait "${server_pids[@]}"' EXIT
for number in "${!servers[@]}"; do serve $number; done
for number in "${!servers[@]}"; do
    server=${urls[$number]} server_pid=${server_pids[$number]}
    while true; do
        python -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + "/health", timeout=5)' "$server" 2> /dev/null && break
        kill -0 $server_pid 2> /dev/null || { say "error: vLLM exited before it answered $server/health; see $log.vllm"; exit 1; }
        [ $SECONDS -lt {{ server_start }} ] || { say "error: vLLM did not answer $server/health within {{ server_start }} s; see $log.vllm"; exit 1; }
        sleep 1
    done
    say "vLLM answers at $server after $SECONDS s"
done
{% endif %}

{% if job.array %}
srun --job-name=train --nodes=1 --ntasks=1 --cpu-bind=none --output="$pattern" python {{ job.command | join_words }} --cell $SLURM_ARRAY_TASK_ID &
{% else %}
# One launcher per node, one process per GPU. The launcher forwards SIGTERM, and the processes save after the current step.
srun --job-name=train --nodes={{ resources.nodes }} --ntasks={{ resources.nodes }} --nodelist="$(list "${trainers[@]}")" --cpu-bind=none --kill-on-bad-exit=1 \
    --output="$pattern" bash -c 'exec python "${@:1:{{ job.launcher | length }}}" \
    --machine_rank $SLURM_PROCID --main_process_ip $MASTER_ADDR --main_process_port $MASTER_PORT "${@:{{ job.launcher | length + 1 }}}"
{%- if job.server %} --vllm_server_base_url $url_list{% endif %}{% if job.has_group_port %} --vllm_group_port $group_port{% endif %}' \
    train {{ job.launcher | join_words }} \
    {{ job.command | join_words }} &
{% endif %}
run_pid=$!
[ -z "$stopping" ] || { sleep 5; stop; }  # the signal came before the step existed
{% if job.restart %}
while kill -0 $run_pid 2> /dev/null; do
    wait -n $run_pid "${server_pids[@]}"  # a trapped signal interrupts wait
    kill -0 $run_pid 2> /dev/null || break
    for number in "${!servers[@]}"; do  # the run waits for a server that is gone, and gives it the current weights
        kill -0 ${server_pids[$number]} 2> /dev/null || { say "vLLM at ${urls[$number]} has exited: starting it again"; serve $number; }
    done
done
{% else %}
while kill -0 $run_pid 2> /dev/null; do wait $run_pid; done  # a trapped signal interrupts wait
{% endif %}
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
