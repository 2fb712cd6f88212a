"""A real SLURM of one node, from Debian's packages, in a temporary folder: nothing of
the machine's own configuration is read or changed."""

import os
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sinfo", "sbatch", "squeue", "scancel")
SETTINGS = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1
ReturnToService=2
MpiDefault=none
KillWait=1
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=20000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(n):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait_for(condition, what, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds} s in vain for {what}"
        time.sleep(0.05)


def answer(*command):
    """What a command of SLURM prints; "" where it fails."""
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def start(folder):
    """The three daemons, in the foreground of this process's children."""
    user = answer("id", "-un")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o600)
    host, (controller, daemon) = socket.gethostname().split(".")[0], free_ports(2)
    text = SETTINGS.format(**locals())
    (folder / "slurm.conf").write_text(text)
    munge = ["munged", "--foreground", "--force", "--socket", folder / "munge.socket"]
    munge += ["--key-file", folder / "key", "--pid-file", folder / "munged.pid"]
    munge += ["--seed-file", folder / "seed", "--log-file", folder / "munged.log"]
    control, daemon = ["slurmctld", "-D", "-c"], ["slurmd", "-D", "-c", "-N", host]
    started = []
    for command in (munge, control, daemon):
        with (folder / "daemons.log").open("a") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
        if command is munge:
            wait_for(Path(folder / "munge.socket").exists, "munge")
    return started
