"""A federation and a simulation, by the command line, on a real Slurm."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.slurm.cluster import SlurmCluster
from tests.slurm.fixtures import GROUP
from tests.slurm.processes import wait_until

from foedus.launch import JobFolder
from foedus.rounds.home import Home

pytestmark = [pytest.mark.slow, GROUP]

SETTINGS = """
launcher = "slurm"

[resources]
memory_mb = 1000
walltime_s = 600

[slurm]
poll_s = 1.0
"""
SPEC = """
name = "small"
rounds = 5

[model]
name = "2nn"

[data]
source = "small"
images = 600
test = 60
shared = 60

[partition]
kind = "iid"
clients = 3

[training]
learning_rate = 0.1
batch_size = 16

[policy]
beta = -0.5
epsilon = 0.3
"""


@pytest.fixture
def home(slurm: SlurmCluster, tmp_path: Path) -> Path:
    """A home folder where all nodes see it."""
    folder = slurm.folder / f"home-{tmp_path.name}"
    folder.mkdir()
    (folder / "config.toml").write_text(SETTINGS)
    return folder


def foedus(*arguments: str, home: Path) -> str:
    command = [sys.executable, "-m", "foedus.client.cli", *arguments, "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_three_clients_train_five_rounds_as_they_would_here(
    slurm: SlurmCluster, home: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "small.toml"
    spec.write_text(SPEC)
    on_slurm = json.loads(foedus("run", str(spec), "--format", "json", home=home))
    assert on_slurm["version"] == 5
    foedus("verify", "small-1", home=home)
    here = json.loads(foedus("run", str(spec), "--format", "json", home=tmp_path / "here"))
    assert on_slurm["model"] == here["model"]

    jobs = [path.parent for path in Home(home).runs.glob("small-1/jobs/*/*/batch.json")]
    assert len(jobs) == 5 * 3 * 2  # training, then merging
    assert len(slurm.accepted("foedus-")) >= len(jobs) + 1
    assert all(JobFolder(job).attempts() == [] for job in jobs)
    shutil.rmtree(home)


def test_a_simulation_becomes_a_private_dataset_and_a_picture(home: Path) -> None:
    wishes = ["-p", "size=64", "-p", "steps=400", "-p", "frames=4", "--dataset", "waves"]
    submitted = foedus("app", "submit", "SIM_REACTION_DIFFUSION", *wishes, "--format", "json", home=home)
    job = json.loads(submitted)
    assert json.loads(foedus("dataset", "list", "--format", "json", home=home))
    folder = JobFolder(home / "jobs" / job["job"])
    assert folder.read_events()[0], "it showed no progress"
    assert (folder.path / "output" / "v.npy").is_file()
    assert (folder.path / "batch.json").is_file(), "it did not run on Slurm"

    drawn = json.loads(
        foedus("app", "submit", "SIM_RENDER", "-p", "frames=waves", "--format", "json", home=home)
    )
    picture = Path(drawn["output"]) / "last_frame.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    shutil.rmtree(home)


def test_a_batch_job_is_looked_at_and_cancelled_from_elsewhere(slurm: SlurmCluster, home: Path) -> None:
    wishes = ["-p", "size=512", "-p", "steps=10000000", "--no-wait", "--format", "json"]
    foedus("app", "submit", "SIM_REACTION_DIFFUSION", *wishes, home=home)
    (listed,) = json.loads(foedus("job", "list", "--format", "json", home=home))
    assert listed["state"] in ("queued", "running")
    assert listed["name"] == "sim_reaction_diffusion-1"
    assert slurm.accepted("foedus-")[-1] == listed["scheduler_id"]
    foedus("job", "cancel", "sim", home=home)
    ended = ["squeue", "-h", "-t", "all", "-j", listed["scheduler_id"], "-o", "%T"]
    wait_until(lambda: slurm.command(*ended).stdout.strip() == "CANCELLED", 30, "its end")
    shutil.rmtree(home)
