"""Slurm: batch jobs by sbatch, squeue, scontrol, sacct and scancel, or by slurmrestd, run as their owner."""

from foedus.launch.cluster import Scheduler
from foedus.launch.slurm.rest import RestSlurmScheduler
from foedus.launch.slurm.scheduler import SlurmScheduler
from foedus.launch.slurm.site import Container, SlurmRest, SlurmSite

__all__ = ["Container", "RestSlurmScheduler", "SlurmRest", "SlurmScheduler", "SlurmSite", "scheduler_for"]


def scheduler_for(site: SlurmSite) -> Scheduler:
    """Return the scheduler for a site: through slurmrestd where `site.rest` is set, else by commands.

    Raises `InvalidSpec` for settings that cannot be used.
    """
    return RestSlurmScheduler(site) if site.rest is not None else SlurmScheduler(site)
