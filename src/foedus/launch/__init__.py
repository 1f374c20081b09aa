"""Batch jobs: the job folder, and the launchers that run jobs on it. No torch here, and no network."""

from foedus.launch.folder import Failure, JobFolder
from foedus.launch.local import LocalLauncher

__all__ = ["Failure", "JobFolder", "LocalLauncher"]
