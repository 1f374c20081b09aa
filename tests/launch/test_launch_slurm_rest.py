"""Slurm through slurmrestd without either: what it is sent and how its answers are read, against a fake."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.launch.fake_slurmrestd import TOKEN, USER, FakeSlurmrestd, fake_slurmrestd

from foedus.core.errors import InvalidSpec
from foedus.core.records import JobState, Resources
from foedus.launch.cluster import Order, Refused, Unreachable
from foedus.launch.slurm import RestSlurmScheduler, SlurmScheduler, SlurmSite, scheduler_for
from foedus.launch.slurm.arguments import SCRIPT
from foedus.launch.slurm.rest_body import HEAD, submission

NAME, OTHER = f"foedus-{'0' * 24}-0", f"foedus-{'1' * 24}-0"
PLAIN = Order(NAME, ("/venv/bin/python", "-m", "program", "/home/a b/job"), "/home/a b/job", Resources())
WISHES = Resources(
    cpus=4,
    memory_mb=2000,
    gpus=2,
    gpu_type="h100",
    walltime_s=5400,
    queue="batch,long",
    account="physics",
    qos="high",
    constraint="ib&nvme",
    scratch_mb=500,
)


@pytest.fixture
def fake() -> Iterator[FakeSlurmrestd]:
    with fake_slurmrestd() as running:
        yield running


@pytest.fixture
def scheduler(fake: FakeSlurmrestd, tmp_path: Path) -> RestSlurmScheduler:
    return RestSlurmScheduler(SlurmSite(rest=fake.site(tmp_path), timeout_s=2.0))


def record(number: int, name: str = NAME, state: str = "RUNNING") -> dict[str, object]:
    return {"job_id": number, "name": name, "user_name": USER, "job_state": state}


def failure(number: int, words: str) -> dict[str, object]:
    return {"errors": [{"error_number": number, "error": words}]}


# --- what is sent ---


def test_every_wish_has_a_field(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHELL", "LD_LIBRARY_PATH", "TZ", "FOEDUS_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("HOME", "/home/x")
    site = SlurmSite(modules=("cuda/12.4",), prologue="ulimit -c 0\n")
    job = json.loads(submission(replace(PLAIN, resources=WISHES), site, "v0.0.38", USER))["job"]
    arguments = ["/home/a b/job/prologue.sh", "cuda/12.4", "--", *PLAIN.argv]
    same = {
        "name": NAME,
        "current_working_directory": "/home/a b/job",
        "standard_input": "/dev/null",
        "standard_output": "/home/a b/job/batch.log",
        "requeue": True,
        "tasks": 1,
        "cpus_per_task": 4,
        "partition": "batch,long",
        "account": "physics",
        "qos": "high",
        "constraints": "ib&nvme",
        "temporary_disk_per_node": 500,
    }
    environment = {"PATH": "/bin", "HOME": "/home/x", "USER": USER, "LOGNAME": USER, "LANG": "C.UTF-8"}
    environment |= {f"FOEDUS_ARGUMENT_{number}": text for number, text in enumerate(arguments)}
    assert job == same | {
        "nodes": [1, 1],
        "open_mode": "append",
        "time_limit": 91,
        "memory_per_node": 2000,
        "gres": "gpu:h100:2",
        "environment": environment,
    }
    job = json.loads(submission(replace(PLAIN, resources=WISHES), site, "v0.0.42", USER))["job"]
    assert sorted(job.pop("environment")) == sorted(f"{name}={text}" for name, text in environment.items())
    assert job == same | {
        "nodes": "1",
        "open_mode": ["APPEND"],
        "time_limit": {"set": True, "infinite": False, "number": 91},
        "memory_per_node": {"set": True, "infinite": False, "number": 2000},
        "tres_per_node": "gres/gpu:h100:2",
    }


def test_a_percent_sign_in_a_path_is_no_pattern_of_slurms() -> None:
    job = json.loads(submission(replace(PLAIN, folder="/home/%j/job"), SlurmSite(), "v0.0.38", USER))["job"]
    assert job["standard_output"] == "/home/%%j/job/batch.log"


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(["", "--", "$(id)", "`id`", "'", '"', "-n", "*", "\n", "\\"]) | TEXTS))
@pytest.mark.slow
def test_arguments_reach_the_program_unread_and_leave_no_trace(texts: list[str]) -> None:
    show = ("/usr/bin/env", "-S", 'sh -c \'env >&2; printf "<%s>" "$@"\' sh', *texts)
    body = json.loads(submission(replace(PLAIN, argv=show), SlurmSite(), "v0.0.38", USER))
    assert body["script"] == HEAD.read_text() + SCRIPT.read_text()
    done = subprocess.run(
        ["/bin/bash", "-c", body["script"], "script"],
        env=body["job"]["environment"],
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == ("".join(f"<{text}>" for text in texts) or "<>")
    assert b"FOEDUS_ARGUMENT" not in done.stderr


@pytest.mark.parametrize("text", ["a\0b", "a\udcffb"])
def test_what_cannot_be_sent_is_refused(scheduler: RestSlurmScheduler, text: str) -> None:
    with pytest.raises(InvalidSpec, match="cannot be sent"):
        scheduler.check(replace(PLAIN, argv=("/bin/true", text)))


@pytest.mark.parametrize("field", ["queue", "account", "qos", "constraint"])
def test_fields_are_checked_as_for_sbatch(scheduler: RestSlurmScheduler, field: str) -> None:
    with pytest.raises(InvalidSpec, match=field):
        scheduler.check(replace(PLAIN, resources=replace(Resources(), **{field: "a;b"})))
    with pytest.raises(InvalidSpec, match="job folder"):
        scheduler.check(replace(PLAIN, folder="/a\nb"))


def test_batch_jobs_get_no_token(monkeypatch: pytest.MonkeyPatch, scheduler: RestSlurmScheduler) -> None:
    monkeypatch.setenv("SLURM_JWT", TOKEN)
    monkeypatch.setenv("FOEDUS_PASSWORD", TOKEN)
    scheduler.check(PLAIN)
    assert TOKEN.encode() not in submission(PLAIN, SlurmSite(), "v0.0.38", USER)


def test_settings_pick_the_transport(fake: FakeSlurmrestd, tmp_path: Path) -> None:
    rest = fake.site(tmp_path)
    assert isinstance(scheduler_for(SlurmSite(rest=rest)), RestSlurmScheduler)
    assert isinstance(scheduler_for(SlurmSite()), SlurmScheduler)
    with pytest.raises(InvalidSpec, match="one cluster"):
        scheduler_for(SlurmSite(rest=rest, cluster="north"))
    with pytest.raises(InvalidSpec):
        scheduler_for(SlurmSite(rest=rest, modules=("a b",)))


# --- submit ---


@pytest.mark.parametrize("values", [{"job_id": 7}, {"result": {"job_id": 7}}, {"job_id": 7, "errors": [{}]}])
def test_an_id_means_that_the_batch_job_was_taken(
    fake: FakeSlurmrestd, scheduler: RestSlurmScheduler, values: dict[str, object]
) -> None:
    fake.says["POST job/submit"] = (200, values)
    assert scheduler.submit(PLAIN) == "7"
    (asked,) = fake.asked
    assert asked.path == "/slurm/v0.0.38/job/submit"
    assert asked.headers["X-SLURM-USER-NAME"] == USER
    assert asked.headers["X-SLURM-USER-TOKEN"] == TOKEN
    assert asked.body["job"]["name"] == NAME


@pytest.mark.parametrize(
    ("status", "values", "error", "words"),
    [
        (500, failure(2000, "Invalid partition name specified"), Refused, "Invalid partition name"),
        (500, failure(2045, "Invalid account"), Refused, "Invalid account"),
        (200, failure(2066, "Invalid qos"), Refused, "Invalid qos"),
        (400, failure(9001, "Failure during parsing"), Refused, "parsing"),
        (500, failure(2027, "backup controller in standby mode"), Unreachable, "standby"),
        (500, failure(2050, "Job violates accounting/QOS policy"), Unreachable, "violates"),
        (400, failure(2070, "Required partition not available"), Unreachable, "not available"),
        (500, failure(2090, "Slurm internal error"), Unreachable, "internal"),
        (500, failure(1007, "Protocol authentication error"), Unreachable, "token in"),
        (500, failure(-1, "Unspecified error"), Unreachable, "token in"),
        (500, failure(11, "Resource temporarily unavailable"), Unreachable, "temporarily"),
        (200, {"job_id": 0, "errors": []}, Unreachable, "not what was asked"),
        (200, {"job_id": "7;8"}, Unreachable, "not what was asked"),
        (500, {"job_id": 7, "errors": []}, Unreachable, "500"),
    ],
)
def test_no_is_told_from_perhaps(
    fake: FakeSlurmrestd,
    scheduler: RestSlurmScheduler,
    status: int,
    values: dict[str, object],
    error: type[Exception],
    words: str,
) -> None:
    fake.says["POST job/submit"] = (status, values)
    with pytest.raises(error, match=words):
        scheduler.submit(PLAIN)


def test_the_prologue_lies_in_the_job_folder_first(fake: FakeSlurmrestd, tmp_path: Path) -> None:
    scheduler = RestSlurmScheduler(SlurmSite(rest=fake.site(tmp_path), prologue="ulimit -c 0\n"))
    fake.says["POST job/submit"] = (200, {"job_id": 7})
    scheduler.submit(replace(PLAIN, folder=str(tmp_path)))
    assert (tmp_path / "prologue.sh").read_text() == "ulimit -c 0\n"


# --- look ---


def test_one_look_is_one_question_and_the_newest_of_a_name_counts(
    fake: FakeSlurmrestd, scheduler: RestSlurmScheduler
) -> None:
    fake.jobs(record(10, state="PENDING"), record(9, state="FAILED"), record(11, OTHER))
    sights = scheduler.look([NAME])
    assert {name: (s.scheduler_id, s.state) for name, s in sights.items()} == {NAME: ("10", JobState.QUEUED)}
    assert [(asked.method, asked.path) for asked in fake.asked] == [("GET", "/slurm/v0.0.38/jobs")]


def test_only_our_well_formed_batch_jobs_count(fake: FakeSlurmrestd, scheduler: RestSlurmScheduler) -> None:
    strange = [None, 5, [], {}, record(0), record(1, "other"), record(2, state="x y")]
    strange.append(record(3) | {"name": 1})
    others = [record(4) | {"user_name": "other"}, record(5) | {"user_name": None}, record(True)]
    fake.jobs(*strange, *others, record(6, OTHER))
    assert set(scheduler.look([NAME, OTHER, "other"])) == {OTHER}


@pytest.mark.parametrize(
    ("status", "values"),
    [
        (200, {"jobs": []} | failure(-1, "Unspecified error")),
        (500, {"jobs": []}),
        (200, {"jobs": {}}),
        (200, {}),
        (200, {"jobs": [], "errors": 5}),
    ],
)
def test_an_answer_with_trouble_says_nothing_about_batch_jobs(
    fake: FakeSlurmrestd, scheduler: RestSlurmScheduler, status: int, values: dict[str, object]
) -> None:
    fake.says["GET jobs"] = (status, values)
    with pytest.raises(Unreachable):
        scheduler.look([NAME])


# --- cancel ---


def deleted(fake: FakeSlurmrestd) -> list[str]:
    return [asked.path for asked in fake.asked if asked.method == "DELETE"]


def test_only_an_id_that_has_our_name_now_is_cancelled(
    fake: FakeSlurmrestd, scheduler: RestSlurmScheduler
) -> None:
    fake.says["GET job/5"] = (200, {"jobs": [record(5, OTHER)]})
    fake.jobs(record(5, OTHER), record(8), record(9) | {"user_name": "other"})
    fake.says["DELETE job/8"] = (200, {"errors": []})
    scheduler.cancel(NAME, "5")
    assert deleted(fake) == ["/slurm/v0.0.38/job/8"]


@pytest.mark.parametrize("scheduler_id", ["", "5", "5/../6", "5?signal=0"])
def test_cancelling_what_is_not_known_is_harmless(
    fake: FakeSlurmrestd, scheduler: RestSlurmScheduler, scheduler_id: str
) -> None:
    fake.says["GET job/5"] = (500, failure(2017, "Invalid job id specified"))
    fake.jobs()
    scheduler.cancel(NAME, scheduler_id)
    assert {asked.path.removeprefix("/slurm/v0.0.38/") for asked in fake.asked} <= {"job/5", "jobs"}


@pytest.mark.parametrize("number", [2017, 2021])
def test_cancelling_what_has_just_ended_is_harmless(
    fake: FakeSlurmrestd, scheduler: RestSlurmScheduler, number: int
) -> None:
    fake.says["GET job/5"] = (200, {"jobs": [record(5)]})
    fake.says["DELETE job/5"] = (500, failure(number, "gone"))
    scheduler.cancel(NAME, "5")
    assert deleted(fake) == ["/slurm/v0.0.38/job/5"]


def test_a_cancel_that_fails_is_to_be_tried_again(
    fake: FakeSlurmrestd, scheduler: RestSlurmScheduler
) -> None:
    fake.says["GET job/5"] = (200, {"jobs": [record(5)]})
    fake.says["DELETE job/5"] = (500, failure(2002, "Access/permission denied"))
    with pytest.raises(Unreachable, match="denied"):
        scheduler.cancel(NAME, "5")
