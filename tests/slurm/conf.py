"""The configuration of the private cluster, as texts. Times are short, so that faults show within seconds."""

from dataclasses import dataclass
from pathlib import Path

NODES = ("n1", "n2", "n3", "n4")
CPUS, MEMORY_MB, GPUS = 4, 4000, 2


@dataclass(frozen=True)
class Ports:
    """Free ports of this machine: of the controller, and of one slurmd each."""

    controller: int
    nodes: tuple[int, ...]


def slurm_conf(root: Path, ports: Ports, accounting: str) -> str:
    """Return slurm.conf; `accounting` holds the lines about the accounting database."""
    nodes = "\n".join(
        f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} Boards=1 "
        f"SocketsPerBoard=1 CoresPerSocket={CPUS} ThreadsPerCore=1 RealMemory={MEMORY_MB} "
        f"Gres=gpu:h100:{GPUS} State=UNKNOWN"
        for name, port in zip(NODES, ports.nodes, strict=True)
    )
    return f"""\
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={ports.controller}
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=socket={root}/munge/s,cred_expire=5
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={root}/etc/jwt.key
CredType=cred/munge
MpiDefault=none
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/pid/slurmctld.pid
SlurmdPidFile={root}/pid/slurmd.%n.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=10
BatchStartTimeout=10
KillWait=3
UnkillableStepTimeout=50
MinJobAge=300
InactiveLimit=0
JobRequeue=1
EnforcePartLimits=ALL
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=256
GresTypes=gpu
{accounting}
JobCompType=jobcomp/filetxt
JobCompLoc={root}/log/jobcomp.log
{nodes}
PartitionName=batch Nodes=ALL Default=YES MaxTime=1:00:00 DefaultTime=5 State=UP PreemptMode=REQUEUE
"""


def gres_conf(root: Path) -> str:
    """Return gres.conf: GPUs that are null devices."""
    return f"NodeName=n[1-4] Name=gpu Type=h100 File={root}/gpu/nvidia[0-{GPUS - 1}]\n"


def slurmdbd_conf(root: Path, port: int, database_port: int) -> str:
    """Return slurmdbd.conf."""
    return f"""\
AuthType=auth/munge
AuthInfo=socket={root}/munge/s,cred_expire=5
DbdHost=localhost
DbdPort={port}
SlurmUser=slurm
LogFile={root}/log/slurmdbd.log
PidFile={root}/pid/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct
"""


NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none"


def accounting_lines(root: Path, port: int) -> str:
    """Return the lines of slurm.conf for an accounting database."""
    return f"""\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={port}
AccountingStoragePass={root}/munge/s
AccountingStorageEnforce=associations,limits,qos"""
