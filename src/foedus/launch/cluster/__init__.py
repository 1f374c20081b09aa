"""What launchers of clusters share: everything but how one talks to the scheduler."""

from foedus.launch.cluster._job import BATCH_LOG, Times
from foedus.launch.cluster.launcher import ClusterLauncher
from foedus.launch.cluster.scheduler import Order, Program, Refused, Scheduler, Sight, Unreachable

__all__ = [
    "BATCH_LOG",
    "ClusterLauncher",
    "Order",
    "Program",
    "Refused",
    "Scheduler",
    "Sight",
    "Times",
    "Unreachable",
]
