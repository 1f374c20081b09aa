"""Tests against a real Slurm."""

from tests.slurm.fixtures import slurm, slurm_accounting, slurm_accounting_session, slurm_session, users

__all__ = ["slurm", "slurm_accounting", "slurm_accounting_session", "slurm_session", "users"]
