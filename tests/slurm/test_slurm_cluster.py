"""The private cluster itself does what tests rely on."""

from pathlib import Path

import pytest
from tests.slurm.cluster import SlurmCluster
from tests.slurm.fixtures import GROUP, running_cluster
from tests.slurm.processes import all_processes, command_line, environment, wait_until

pytestmark = [pytest.mark.slow, GROUP]


def submit(cluster: SlurmCluster, text: str, *options: str) -> str:
    done = cluster.command("sbatch", "--parsable", f"--chdir={cluster.folder}", *options, f"--wrap={text}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def state(cluster: SlurmCluster, number: str) -> str:
    return cluster.command("squeue", "-h", "-t", "all", "-j", number, "-o", "%T").stdout.strip()


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


def test_nothing_is_left_after_the_end() -> None:
    with running_cluster() as cluster:
        submit(cluster, "sleep 300", "--output=/dev/null")
        root = str(cluster.root)
        wait_until(lambda: bool(cluster.command("squeue", "-h", "-t", "R").stdout), 30, "the batch job")
    assert not Path(root).exists()
    assert [p for p in all_processes() if root in environment(p) or root in " ".join(command_line(p))] == []
