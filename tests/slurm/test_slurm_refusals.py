"""What a real sbatch says when it does not take a batch job, now or ever; and what sacct knows afterwards."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.slurm.batch import Batch, batch
from tests.slurm.cluster import SlurmCluster
from tests.slurm.fixtures import GROUP
from tests.slurm.processes import wait_until

from foedus.core.records import JobState, Resources
from foedus.launch.cluster import Order, Refused
from foedus.launch.slurm import SlurmScheduler, SlurmSite

pytestmark = [pytest.mark.slow, GROUP]

NAME = f"foedus-{'0' * 24}-0"
USUAL = Resources(walltime_s=60, memory_mb=300)


@pytest.fixture
def jobs(slurm_accounting: SlurmCluster, tmp_path: Path) -> Iterator[Batch]:
    root = slurm_accounting.folder / tmp_path.name
    root.mkdir()
    with batch(root) as opened:
        yield opened


def test_what_cannot_be_had_is_refused_in_slurms_words(slurm_accounting: SlurmCluster) -> None:
    scheduler = SlurmScheduler(SlurmSite())
    for wish, words in (
        ({"queue": "nowhere"}, "Invalid partition name"),
        ({"account": "alchemy"}, "Invalid account"),
        ({"qos": "golden"}, "Invalid qos"),
        ({"constraint": "nothing"}, "Invalid feature"),
        ({"gpus": 1, "gpu_type": "abacus"}, "node configuration is not available|Invalid generic resource"),
        ({"gpus": 9}, "node configuration is not available"),
        ({"memory_mb": 1 << 30}, "node configuration is not available|Memory required"),
        ({"walltime_s": 1e6}, "time limit is invalid"),
    ):
        resources = replace(USUAL, **wish)  # type: ignore[arg-type]
        order = Order(NAME, ("/bin/true",), str(slurm_accounting.folder), resources)
        scheduler.check(order)
        with pytest.raises(Refused, match=words):
            scheduler.submit(order)


def test_a_limit_of_submitted_jobs_is_waited_for(slurm_accounting: SlurmCluster, jobs: Batch) -> None:
    change = ("sacctmgr", "-i", "modify", "qos", "single", "set")
    slurm_accounting.command(*change, "MaxSubmitJobsPerUser=1")
    try:
        first = jobs.submit("first", {"do": "sleep"}, qos="single")
        jobs.wait(first, JobState.RUNNING)
        asked = ("scontrol", "--oneliner", "show", "assoc_mgr", "flags=qos", "qos=single")
        wait_until(lambda: "MaxSubmitJobsPU=1(1)" in slurm_accounting.command(*asked).stdout, 30, "the limit")
        second = jobs.submit("second", {"do": "count", "to": 1}, qos="single")
        assert "violates accounting/QOS policy" in jobs.wait(second, JobState.UNKNOWN).cause
        jobs.cancel(first)
        assert jobs.wait(second).state is JobState.COMPLETED
        assert len(slurm_accounting.accepted(jobs.name(second))) == 1
    finally:
        slurm_accounting.command(*change, "MaxSubmitJobsPerUser=-1")


def test_the_database_tells_how_a_forgotten_job_ended(slurm_accounting: SlurmCluster, jobs: Batch) -> None:
    fails = jobs.submit("fails", {"do": "exit 42"})
    assert "code 42" in jobs.wait(fails).cause
    name, number = jobs.name(fails), int(jobs.status(fails).scheduler_id)
    asked = ("sacct", "-n", "-X", "-P", "--starttime=now-1days", "--format=JobName,State")
    wait_until(lambda: f"{name}|FAILED" in slurm_accounting.command(*asked).stdout, 30, "the database")
    slurm_accounting.forget_jobs(number + 1)
    sight = SlurmScheduler(SlurmSite()).look([name])[name]
    assert (sight.scheduler_id, sight.state, "42" in sight.ended) == (str(number), JobState.FAILED, True)
