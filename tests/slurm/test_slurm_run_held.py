"""A federation whose clients hold their nodes over all rounds, by the command line, on a real Slurm."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.slurm.cluster import SlurmCluster
from tests.slurm.fixtures import GROUP
from tests.slurm.processes import wait_until
from tests.slurm.test_slurm_run import SETTINGS, SPEC, foedus

pytestmark = [pytest.mark.slow, GROUP]

HELD = f'allocation = "held"\n{SETTINGS}\n[held]\nwalltime_s = 600\n'


@pytest.fixture
def home(slurm: SlurmCluster, tmp_path: Path) -> Path:
    folder = slurm.folder / f"home-{tmp_path.name}"
    folder.mkdir()
    (folder / "config.toml").write_text(HELD)
    return folder


def spec(folder: Path) -> str:
    path = folder / "small.toml"
    path.write_text(SPEC)
    return str(path)


def running(slurm: SlurmCluster) -> str:
    return slurm.command("squeue", "-h", "-o", "%j %T").stdout


def test_one_batch_job_for_each_client_serves_all_rounds(
    slurm: SlurmCluster, home: Path, tmp_path: Path
) -> None:
    before = len(slurm.accepted("foedus-"))
    held = json.loads(foedus("run", spec(tmp_path), "--format", "json", home=home))
    assert held["version"] == 5
    assert len(slurm.accepted("foedus-")) - before == 3
    wait_until(lambda: not running(slurm), 30, "the end of the allocations")
    foedus("verify", "small-1", home=home)
    here = json.loads(foedus("run", spec(tmp_path), "--format", "json", home=tmp_path / "here"))
    assert held["model"] == here["model"]


def test_a_run_that_was_killed_takes_up_its_allocations(
    slurm: SlurmCluster, home: Path, tmp_path: Path
) -> None:
    before = len(slurm.accepted("foedus-"))
    command = [sys.executable, "-m", "foedus.client.cli", "run", spec(tmp_path), "--home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_until(
            lambda: list(home.glob("runs/*/jobs/r00002.*/*/result.json")) != [], 120, "the second round"
        )
        process.kill()
    ended = json.loads(foedus("resume", "small-1", "--format", "json", home=home))
    assert (ended["state"], ended["version"]) == ("completed", 5)
    assert len(slurm.accepted("foedus-")) - before == 3
    wait_until(lambda: not running(slurm), 30, "the end of the allocations")
