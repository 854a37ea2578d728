"""Starts a real Slurm on this machine: munge, slurmctld and two `slurmd -N` as nodes, with all files in one folder.

    make test-deps    # installs it

The nodes, n1 and n2, have half of this machine's cores each. Root only.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("taskset", "munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
# cred_expire is also how many seconds a requeued job is held; 120 by default
AuthInfo=socket={folder}/munge.socket,cred_expire=20
CryptoType=crypto/munge
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=0
KillWait=10
CompleteWait=0
# keep finished jobs, so that their state can be queried
MinJobAge=60000
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port_one} CPUs={cores} Gres=gpu:1 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={port_two} CPUs={cores} Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def missing_requirement() -> str | None:
    """Why Slurm cannot run here; None if it can."""
    if os.geteuid() != 0:
        return "slurmd must run as root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"{missing[0]} is not installed; on Debian: make test-deps" if missing else None


@contextlib.contextmanager
def start(folder: Path) -> Iterator["Cluster"]:
    """Runs the daemons in `folder` for the duration of the context. Raises RuntimeError if they do not start."""
    ports = dict(zip(("port", "port_one", "port_two"), _free_ports(3), strict=True))
    cores = sorted(os.sched_getaffinity(0))
    parts = [cores[i::2] or cores for i in range(2)]
    (folder / "state").mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "slurm.conf").write_text(CONF.format(folder=folder, host=socket.gethostname(), cores=len(parts[1]), **ports))
    # fake GPUs: a job can request one, but will not find it
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    munge = [f"--{name}={folder}/munge.{end}" for name, end in (("socket", "socket"), ("key-file", "key"))]
    munge += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "seed", "log")]
    env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    daemons = [["munged", "--foreground", "--force", *munge], ["slurmctld", "-D"]]
    # Jobs inherit the affinity, so the nodes do not slow each other down.
    daemons += [
        ["taskset", "--cpu-list", ",".join(map(str, part)), "slurmd", "-D", "-N", f"n{i + 1}"] for i, part in enumerate(parts)
    ]
    running = []
    try:
        for number, line in enumerate(daemons):
            with (folder / f"{line[0]}-{number}.out").open("w") as out:
                running.append(subprocess.Popen(line, env=env, stdout=out, stderr=out))
            time.sleep(1)  # munged must be up before its clients, slurmctld before the nodes
        _wait_for_nodes(env)
        yield Cluster(folder, env)
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait()


def _wait_for_nodes(env: dict[str, str]) -> None:
    """Raises RuntimeError if the two nodes are not idle after a minute."""
    for _ in range(120):
        done = subprocess.run(["sinfo", "-h", "-o", "%T %D"], env=env, capture_output=True, text=True, check=False)
        if done.stdout.split() == ["idle", "2"]:
            return
        time.sleep(0.5)
    raise RuntimeError(f"Slurm's nodes are not idle after a minute: {done.stdout} {done.stderr}")


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Cluster:
    """A running Slurm: runs its commands and waits for jobs."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env = folder, env

    def ask(self, *line: object) -> str:
        """Runs a Slurm command; returns its output."""
        done = subprocess.run([str(word) for word in line], env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stdout} {done.stderr}"
        return done.stdout

    def state(self, job: str) -> str:
        """The state of a job (PENDING, RUNNING, COMPLETED, ...), or the states of its array tasks, separated by spaces."""
        lines = self.ask("scontrol", "-o", "show", "job", job).splitlines()
        return " ".join(
            sorted({field.removeprefix("JobState=") for line in lines for field in line.split() if "JobState=" in field})
        )

    def has_ended(self, job: str) -> bool:
        """Whether a job, or each of its array tasks, has ended for good; other states include SIGNALING."""
        return set(self.state(job).split()) <= {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}

    def wait_for_end(self, job: str, seconds: float = 400) -> str:
        """Waits until a job has ended; returns its state. Fails after the given time."""
        deadline = time.monotonic() + seconds
        while not self.has_ended(job):
            assert time.monotonic() < deadline, f"job {job} has not ended within {seconds} s; see {self.folder}"
            time.sleep(0.2)
        return self.state(job)
