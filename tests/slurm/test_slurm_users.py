"""Two system users on one cluster: jobs run as their owner, and neither gets at the other's."""

import json
import os
import pwd
import shutil
from pathlib import Path

import pytest
from tests.shared import missing
from tests.slurm.cluster import SlurmCluster
from tests.slurm.fixtures import GROUP
from tests.slurm.processes import wait_until

pytestmark = [pytest.mark.slow, GROUP]

PYTHON = "/usr/bin/python3"  # ours may lie where other users cannot read

SUBMIT = """
import os, sys
from pathlib import Path
from foedus.core.records import JobSpec, JobState, Resources
from foedus.launch import JobFolder
from foedus.launch.cluster import ClusterLauncher, Program, Times
from foedus.launch.slurm import SlurmScheduler, SlurmSite

root, do, library = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
folder = JobFolder(root / do)
folder.path.mkdir(mode=0o700, parents=True)
folder.write_spec({"do": do})
program = Program("batch_application:application", python=f"{library}/python", path=(library,))
with ClusterLauncher(SlurmScheduler(SlurmSite()), program, Times(poll_s=1.0)) as launcher:
    native_id = launcher.submit(JobSpec("TEST", str(folder.path), Resources(walltime_s=300)), do)
    wanted = JobState.RUNNING if do == "sleep" else JobState.COMPLETED
    while (status := launcher.states([native_id], 1.0)[native_id]).state is not wanted:
        assert not status.state.is_final, status
    print(status.scheduler_id)
"""


@pytest.fixture
def library(slurm: SlurmCluster) -> Path:
    """Return a folder that all can read, with our package and the application."""
    if not Path(PYTHON).exists():
        missing(f"{PYTHON}, which other users can run")
    folder = slurm.folder / "library"
    package = Path(__file__).parents[2] / "src/foedus"
    shutil.copytree(package, folder / "foedus", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).parents[1] / "batch_application.py", folder)
    python = folder / "python"  # as if Foedus were installed for it
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {PYTHON} "$@"\n')
    python.chmod(0o755)
    slurm.command("chmod", "-R", "a+rX", str(folder))
    return folder


def submit(cluster: SlurmCluster, library: Path, user: str, do: str) -> tuple[Path, str]:
    """Submit as this user from a home folder of their own; return the job folder and the native id."""
    home = cluster.folder / user
    script = [f"{library}/python", "-c", SUBMIT, str(home), do, str(library)]
    done = cluster.command(*script, user=user, limit_s=120)
    assert done.returncode == 0, done.stderr
    return home / do, done.stdout.strip()


def test_each_job_is_its_owners_alone(slurm: SlurmCluster, users: tuple[str, str], library: Path) -> None:
    first, second = users
    told, _ = submit(slurm, library, first, "tell")
    assert json.loads((told / "result.json").read_text())["uid"] == pwd.getpwnam(first).pw_uid

    folder, number = submit(slurm, library, first, "sleep")
    wait_until(lambda: any(folder.glob("attempt-*")), 30, "the attempt's folder")  # a little after RUNNING
    (attempt,) = folder.glob("attempt-*")
    assert {path.owner() for path in (folder, attempt, folder / "batch.json")} == {first}
    for path in (folder, folder / "spec.json", folder / "out.log", told / "result.json"):
        done = slurm.command("ls" if path.is_dir() else "cat", str(path), user=second)
        assert "Permission denied" in done.stderr, path
    assert os.stat(folder / "batch.json").st_mode & 0o077 == 0

    slurm.command("scancel", number, user=second)
    slurm.command("scancel", f"--user={first}", user=second)
    assert state(slurm, number) == "RUNNING"
    slurm.command("scancel", number, user=first)
    wait_until(lambda: state(slurm, number) != "RUNNING", 30, "its end")


def state(cluster: SlurmCluster, number: str) -> str:
    return cluster.command("squeue", "-h", "-j", number, "-o", "%T").stdout.strip()
