"""Slurm: batch jobs by sbatch, squeue, scontrol, sacct and scancel, run as the user they belong to."""

from foedus.launch.slurm.scheduler import SlurmScheduler
from foedus.launch.slurm.site import Container, SlurmSite

__all__ = ["Container", "SlurmScheduler", "SlurmSite"]
