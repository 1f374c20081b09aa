"""The private cluster itself does what tests rely on."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.slurm import guard
from tests.slurm.cluster import SlurmCluster
from tests.slurm.fixtures import GROUP, running_cluster
from tests.slurm.processes import all_processes, command_line, wait_until, working_folder

pytestmark = [pytest.mark.slow, GROUP]


def submit(cluster: SlurmCluster, text: str, *options: str) -> str:
    done = cluster.command("sbatch", "--parsable", f"--chdir={cluster.folder}", *options, f"--wrap={text}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def state(cluster: SlurmCluster, number: str, what: str = "%T") -> str:
    return cluster.command("squeue", "-h", "-t", "all", "-j", number, "-o", what).stdout.strip()


def sleepers(root: Path) -> int:
    """Count the processes named sleep that work in the cluster's folder."""
    ours = [p for p in all_processes() if working_folder(p).startswith(str(root))]
    return sum(command_line(p)[:1] == ["sleep"] for p in ours)


def test_a_batch_job_runs_and_its_gpus_are_named(slurm: SlurmCluster) -> None:
    number = submit(slurm, "echo $CUDA_VISIBLE_DEVICES", "--gres=gpu:2", f"--output={slurm.folder}/gpus")
    wait_until(lambda: state(slurm, number) == "COMPLETED", 30, "the batch job")
    assert (slurm.folder / "gpus").read_text() == "0,1\n"


def test_a_killed_node_gives_its_batch_job_to_another(slurm: SlurmCluster) -> None:
    number = submit(slurm, "sleep 300", "--job-name=moves", "--output=/dev/null")
    wait_until(lambda: state(slurm, number) == "RUNNING", 30, "the batch job")
    node = slurm.node_of("moves")
    slurm.kill_node(node)
    wait_until(lambda: slurm.node_of("moves") not in ("", node), 90, "the batch job on another node")
    assert state(slurm, number) == "RUNNING"


def test_numbers_are_given_away_again_after_the_controller_forgot(slurm: SlurmCluster) -> None:
    first = submit(slurm, "true", "--job-name=twice-a", "--output=/dev/null")
    wait_until(lambda: state(slurm, first) == "COMPLETED", 30, "the batch job")
    slurm.forget_jobs(int(first))
    slurm.wait_idle(4)
    second = submit(slurm, "true", "--job-name=twice-b", "--output=/dev/null")
    assert second == first
    assert slurm.accepted("twice-a") == slurm.accepted("twice-b") == [first]


def test_a_stopped_controller_is_silent_and_then_knows_everything(slurm: SlurmCluster) -> None:
    number = submit(slurm, "sleep 300", "--job-name=kept", "--output=/dev/null")
    wait_until(lambda: state(slurm, number) == "RUNNING", 30, "the batch job")
    slurm.stop_controller()
    assert "Unable to contact slurm controller" in slurm.command("squeue", "-h").stderr
    slurm.start_controller()
    wait_until(lambda: " is UP" in slurm.command("scontrol", "ping").stdout, 30, "the controller")
    assert state(slurm, number) == "RUNNING"
    assert slurm.accepted("kept") == [number]


def test_nothing_answers_while_munge_is_frozen(slurm: SlurmCluster) -> None:
    slurm.freeze_munge()
    with pytest.raises(subprocess.TimeoutExpired):
        slurm.command("squeue", "-h", limit_s=1)
    slurm.thaw_munge()
    assert slurm.command("squeue", "-h", limit_s=10).returncode == 0


def test_a_drained_node_takes_no_batch_job_until_it_is_resumed(slurm: SlurmCluster) -> None:
    slurm.drain("n3")
    number = submit(slurm, "true", "--nodelist=n3", "--output=/dev/null")
    wait_until(lambda: "ReqNodeNotAvail" in state(slurm, number, "%r"), 30, "the reason")
    slurm.recover()
    assert state(slurm, number) == "CANCELLED"


def test_a_user_runs_batch_jobs_of_their_own(slurm: SlurmCluster, users: tuple[str, str]) -> None:
    first, second = users
    home = slurm.folder / first
    sbatch = ["sbatch", "--parsable", f"--chdir={home}", f"--output={home}/out", "--wrap=id -un; sleep 300"]
    number = slurm.command(*sbatch, user=first).stdout.strip()
    wait_until(lambda: (home / "out").is_file() and (home / "out").read_text() != "", 30, "the output")
    assert (home / "out").read_text() == f"{first}\n"
    refused = slurm.command("scancel", number, user=second)
    assert (refused.returncode, "denied" in refused.stderr, state(slurm, number)) == (210, True, "RUNNING")


def test_accounting_remembers_and_keeps_limits(slurm_accounting: SlurmCluster) -> None:
    options = ("--job-name=one", "--account=physics", "--qos=single", "--output=/dev/null")
    first, second = (submit(slurm_accounting, "sleep 300", *options) for _ in range(2))
    limit = "QOSMaxJobsPerUserLimit"
    wait_until(lambda: state(slurm_accounting, second, "%r") == limit, 30, "the limit of the QOS")
    assert state(slurm_accounting, first) == "RUNNING"
    strange = slurm_accounting.command("sbatch", "--account=alchemy", "--wrap=true")
    assert "Invalid account" in strange.stderr

    asked = ("sacct", "-n", "-X", "-P", "--starttime=now-1days", "--name=one", "--format=JobIDRaw")

    def remembers() -> bool:
        return slurm_accounting.command(*asked).stdout.split() == [first, second]

    wait_until(remembers, 30, "both in the database")  # the controller tells it a little later
    slurm_accounting.forget_jobs(int(second) + 1)
    assert slurm_accounting.command("squeue", "-h", "-t", "all", "--name=one").stdout == ""
    assert remembers()


DETACHED = "env -i /usr/bin/setsid --fork /bin/sh -c 'sleep 300 & sleep 300'; sleep 300"


def test_nothing_is_left_after_the_end() -> None:
    with running_cluster() as cluster:
        submit(cluster, DETACHED, "--output=/dev/null")
        root = cluster.root
        wait_until(lambda: sleepers(root) == 3, 30, "the batch job")
    assert not root.exists()
    assert guard.members(root) == []
    assert sleepers(root) == 0


KILLED = """
import os, signal
from tests.slurm.fixtures import running_cluster
with running_cluster() as cluster:
    cluster.command("sbatch", f"--chdir={cluster.folder}", "--output=/dev/null", "--wrap=sleep 300")
    print(cluster.root)
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_is_left_after_the_tests_were_killed() -> None:
    script = [sys.executable, "-c", f"import sys\n{KILLED}"]
    died = subprocess.run(script, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    root = Path(died.stdout.strip())
    assert root.name.startswith("fs-")
    wait_until(lambda: not root.exists(), 30, "the end of the cluster")
    assert guard.members(root) == []
