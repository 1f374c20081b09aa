"""`foedus site check` on a real Slurm: what is right is said to be, what is wrong is named."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.slurm.cluster import SlurmCluster
from tests.slurm.fixtures import GROUP
from tests.slurm.processes import wait_until

pytestmark = [pytest.mark.slow, GROUP]


@pytest.fixture
def home(slurm: SlurmCluster, tmp_path: Path) -> Path:
    folder = slurm.folder / f"home-{tmp_path.name}"
    folder.mkdir()
    return folder


def checked(home: Path, settings: str, *options: str) -> tuple[int, dict[str, dict[str, Any]]]:
    text = f'launcher = "slurm"\n{settings}'
    (home / "config.toml").write_text(text)
    command = [sys.executable, "-m", "foedus.client.cli", "site", "check", "--format", "json", *options]
    done = subprocess.run(
        [*command, "--home", str(home)], capture_output=True, text=True, timeout=150, check=False
    )
    assert done.stdout, done.stderr
    assert not (home / "site-check").exists()
    return done.returncode, {one["name"]: one for one in json.loads(done.stdout)["found"]}


def test_a_working_cluster_passes_and_no_batch_job_is_left(slurm: SlurmCluster, home: Path) -> None:
    scratch = home / "scratch"
    scratch.mkdir()
    settings = "[resources]\ncpus = 2\nmemory_mb = 800\nwalltime_s = 600\n"
    code, found = checked(home, f'{settings}[slurm]\npoll_s = 0.5\nscratch = "{scratch}"\n')
    assert code == 0, found
    assert list(found) == [
        *("settings", "commands", "scheduler", "batch job", "home folder", "user", "program"),
        *("processors", "scratch", "log", "cancel", "limits"),
    ]
    assert found["commands"]["words"].startswith("slurm-wlm 22.05")
    assert found["scratch"]["words"].startswith(f"{scratch}/foedus-")
    wait_until(lambda: not slurm.command("squeue", "-h").stdout, 30, "the end of all batch jobs")


def test_gpus_are_given_but_this_pytorch_cannot_use_them(home: Path) -> None:
    settings = "[resources]\nwalltime_s = 600\n[resources.FL_TRAIN]\ngpus = 2\nmemory_mb = 800\n"
    code, found = checked(home, f"{settings}[slurm]\npoll_s = 0.5\n")
    assert code == 1
    assert found["GPUs"]["words"] == "2 given (0, 1), asked for 2; PyTorch can use 0"
    assert {name for name, one in found.items() if not one["is_ok"]} == {"GPUs"}


@pytest.mark.parametrize(
    ("settings", "words", "advice"),
    [
        ("[resources]\nqueue = 'gpu'", "invalid partition specified: gpu", "Correct [resources]"),
        ("[slurm]\npython = '/no/such/python'\npoll_s = 0.5", "/no/such/python", "Set slurm.python to"),
        ("[slurm]\npython = '/usr/bin/python3'\npoll_s = 0.5", "No module named", "Install Foedus there"),
        ("[slurm]\nscratch = '/no/such/disk'\npoll_s = 0.5", "/no/such/disk", "Set slurm.scratch to"),
        ("[slurm]\nmodules = ['cuda/12']\npoll_s = 0.5", "no environment modules", "Leave slurm.modules out"),
        (
            "[slurm]\nprologue = 'module load foo'\npoll_s = 0.5",
            "prologue ended with code 127",
            "Correct slurm.prologue",
        ),
        ("[resources]\nmemory_mb = 20\n[slurm]\npoll_s = 0.5", "out of memory", "Ask for more"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(home: Path, settings: str, words: str, advice: str) -> None:
    code, found = checked(home, settings)
    assert code == 1
    assert list(found)[-1] == "batch job"
    assert words in found["batch job"]["words"]
    assert found["batch job"]["advice"].startswith(advice), found


@pytest.mark.parametrize(
    ("settings", "words", "advice"),
    [
        (
            "[resources]\nwalltime_s = 3600\n",
            "time limit",
            "3600 s and a minute were asked for: lower resources.walltime_s",
        ),
        (
            "allocation = 'held'\n[held]\nwalltime_s = 14400\n[resources]\nwalltime_s = 600\n",
            "time limit",
            "14400 s and a minute were asked for: lower held.walltime_s",
        ),
        (
            "[resources]\nwalltime_s = 600\n[resources.FL_VERIFY]\nqueue = 'gpu'\n",
            "FL_VERIFY: ",
            "Correct [resources]",
        ),
    ],
)
def test_what_runs_would_be_refused_for_is_found_beforehand(
    home: Path, settings: str, words: str, advice: str
) -> None:
    code, found = checked(home, f"{settings}[slurm]\npoll_s = 0.5\n")
    assert code == 1
    assert {name for name, one in found.items() if not one["is_ok"]} == {"limits"}
    assert words in found["limits"]["words"]
    assert found["limits"]["advice"].startswith(advice), found


def test_a_home_folder_that_nodes_do_not_see_is_found_out(slurm: SlurmCluster, home: Path) -> None:
    """All nodes are this machine: a prologue takes the folder away, as if the node had another disk."""
    hide = f"[slurm]\npoll_s = 0.5\nprologue = 'mv {home}/site-check {home}/elsewhere'\n"
    code, found = checked(home, hide)
    assert code == 1
    assert found["batch job"]["advice"].startswith("The home folder must lie on a file system"), found


def test_a_full_cluster_is_told_in_time(slurm: SlurmCluster, home: Path) -> None:
    filler = ["sbatch", "--exclusive", "--nodes=4", "--time=5", "--output=/dev/null", "--wrap=sleep 300"]
    assert slurm.command(*filler).returncode == 0
    code, found = checked(home, "[slurm]\npoll_s = 0.5\n", "--timeout", "12")
    assert code == 1
    assert found["batch job"]["words"].startswith("the batch job was still queued: waiting for resources")
    assert slurm.command("squeue", "-h", "-o", "%j").stdout.split() == ["wrap"]
