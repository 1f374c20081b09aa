"""Batch jobs: the job folder, and the launchers that run jobs on it. No torch here, and no network."""

from foedus.launch._failure import Failure
from foedus.launch.folder import JobFolder
from foedus.launch.local import LocalLauncher

__all__ = ["Failure", "JobFolder", "LocalLauncher"]
