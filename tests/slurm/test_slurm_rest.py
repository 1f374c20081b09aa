"""The same batch jobs through a real slurmrestd: same ends, same words, whoever is down meanwhile."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.slurm.batch import Batch, batch
from tests.slurm.cluster import SlurmCluster
from tests.slurm.fixtures import GROUP
from tests.slurm.processes import wait_until
from tests.slurm.rest import Slurmrestd

from foedus.core.records import JobState, Resources
from foedus.launch.cluster import Order, Refused, Unreachable
from foedus.launch.slurm import SlurmSite, scheduler_for
from foedus.launch.slurm.rest_http import RestClient

pytestmark = [pytest.mark.slow, GROUP]

NAME = f"foedus-{'0' * 24}-0"
STRANGE = 'it\'s $(id) `id` %j "ä" #SBATCH'


@pytest.fixture
def slurmrestd(slurm: SlurmCluster, tmp_path: Path) -> Iterator[Slurmrestd]:
    made = Slurmrestd(slurm, tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def jobs(slurm: SlurmCluster, slurmrestd: Slurmrestd, tmp_path: Path) -> Iterator[Batch]:
    root = slurm.folder / tmp_path.name
    root.mkdir()
    with batch(root, site=SlurmSite(rest=slurmrestd.settings())) as opened:
        yield opened


def test_each_end_has_the_words_that_commands_give_it(slurm: SlurmCluster, jobs: Batch) -> None:
    ids = {name: jobs.submit(name, {"do": name}) for name in ("exit 42", "crash", "eat memory")}
    ids[STRANGE] = jobs.submit(STRANGE, {"do": "tell"}, gpus=2, gpu_type="h100")
    ids["slow"] = jobs.submit("slow", {"do": "sleep"}, walltime_s=5)
    ids["stopped"] = jobs.submit("stopped", {"do": "sleep"})
    ids["shot"] = jobs.submit("shot", {"do": "sleep"})
    for name in ("stopped", "shot"):
        assert jobs.wait(ids[name], JobState.RUNNING).state is JobState.RUNNING
    jobs.cancel(ids["stopped"])
    slurm.command("scancel", jobs.status(ids["shot"]).scheduler_id)
    ends = {name: jobs.wait(native_id) for name, native_id in ids.items()}
    words = {
        "exit 42": (JobState.FAILED, "code 42"),
        "crash": (JobState.FAILED, "segmentation fault"),
        "eat memory": (JobState.FAILED, "out of memory"),
        STRANGE: (JobState.COMPLETED, ""),
        "slow": (JobState.FAILED, "time limit of 5 s reached"),
        "stopped": (JobState.CANCELLED, "cancelled"),
        "shot": (JobState.CANCELLED, "cancelled by somebody else"),
    }
    for name, (state, cause) in words.items():
        assert ends[name].state is state, ends[name]
        assert cause in ends[name].cause
        assert slurm.accepted(jobs.name(ids[name])[:-2]) == [ends[name].scheduler_id]
    told = jobs.result(ids[STRANGE])
    assert (told["uid"], told["gpus"]) == (os.getuid(), "0,1")


def test_a_checkpoint_is_written_in_time_without_a_signal_from_slurm(jobs: Batch) -> None:
    native_id = jobs.submit("long", {"do": "count", "to": 80}, walltime_s=10)
    assert jobs.wait(native_id).state is JobState.COMPLETED
    assert jobs.result(native_id)["attempt"] == "attempt-01.00"


def test_what_cannot_be_had_is_refused_in_slurms_words(slurm: SlurmCluster, slurmrestd: Slurmrestd) -> None:
    scheduler = scheduler_for(SlurmSite(rest=slurmrestd.settings()))
    for wish, words in (
        ({"queue": "nowhere"}, "Invalid partition"),
        ({"constraint": "nothing"}, "Invalid feature"),
        ({"gpus": 9}, "node configuration is not available"),
        ({"walltime_s": 1e6}, "time limit is invalid"),
    ):
        resources = replace(Resources(walltime_s=60), **wish)  # type: ignore[arg-type]
        order = Order(NAME, ("/bin/true",), str(slurm.folder), resources)
        scheduler.check(order)
        with pytest.raises(Refused, match=words):
            scheduler.submit(order)


def test_slurmrestd_and_then_the_controller_are_down_for_a_while(
    slurm: SlurmCluster, slurmrestd: Slurmrestd, jobs: Batch
) -> None:
    runs = jobs.submit("runs", {"do": "count", "to": 600})
    jobs.wait(runs, JobState.RUNNING)
    slurmrestd.stop()
    late = [jobs.submit("first", {"do": "tell"})]
    assert "cannot be reached" in jobs.wait(runs, JobState.UNKNOWN).cause
    slurmrestd.start()
    assert jobs.wait(late[0]).state is JobState.COMPLETED
    slurm.stop_controller()
    timer = threading.Timer(25.0, slurm.start_controller)
    timer.start()
    late.append(jobs.submit("second", {"do": "tell"}))
    assert "slurmrestd" in jobs.wait(runs, JobState.UNKNOWN).cause
    jobs.cancel(runs)
    assert jobs.wait(late[1]).state is JobState.COMPLETED
    assert jobs.wait(runs).state is JobState.CANCELLED
    for native_id in (runs, *late):
        assert slurm.accepted(jobs.name(native_id)[:-2]) == [jobs.status(native_id).scheduler_id]
    timer.join()


def test_an_id_that_another_job_has_now_is_not_cancelled(slurm: SlurmCluster, jobs: Batch) -> None:
    ours = jobs.submit("ours", {"do": "sleep"})
    number = jobs.wait(ours, JobState.RUNNING).scheduler_id
    slurm.forget_jobs(int(number))
    slurm.wait_idle(4)
    options = ("--parsable", f"--chdir={slurm.folder}", "--output=/dev/null", "--wrap=sleep 60")
    assert slurm.command("sbatch", *options).stdout.strip() == number
    jobs.cancel(ours)
    assert jobs.wait(ours).state.is_final
    assert slurm.command("squeue", "-h", "-j", number, "-o", "%T").stdout.strip() in ("PENDING", "RUNNING")


def test_a_token_that_has_expired_is_named_and_can_be_replaced(slurmrestd: Slurmrestd) -> None:
    rest = slurmrestd.settings()
    scheduler = scheduler_for(SlurmSite(rest=rest))
    rest.token_file.write_text(slurmrestd.token("root", 1))

    def words() -> str:
        try:
            scheduler.look([NAME])
        except Unreachable as error:
            return str(error)
        return ""

    wait_until(lambda: words() != "", 20, "the end of the token")
    assert f"the token in {rest.token_file} has expired" in words()
    assert rest.token_file.read_text().strip().removeprefix("SLURM_JWT=") not in words()
    rest.token_file.write_text(slurmrestd.token("root", 3000))
    assert words() == ""


def test_a_token_of_somebody_else_neither_sees_nor_stops_a_batch_job(
    slurm: SlurmCluster, slurmrestd: Slurmrestd, jobs: Batch
) -> None:
    ours = jobs.submit("ours", {"do": "sleep"})
    number = jobs.wait(ours, JobState.RUNNING).scheduler_id
    theirs = slurmrestd.settings("nobody")
    scheduler = scheduler_for(SlurmSite(rest=theirs))
    assert scheduler.look([jobs.name(ours)]) == {}
    scheduler.cancel(jobs.name(ours), number)
    answer = RestClient(theirs, 10.0).ask("DELETE", f"job/{number}")
    assert answer.status == 500
    assert "denied" in json.dumps(answer.values)
    assert jobs.wait(ours, JobState.RUNNING).state is JobState.RUNNING
