"""Applications: their forms, what is refused, and what a worker makes of a batch job."""

from collections.abc import Callable

import pytest
from tests.server.people import Person

from foedus.server.db import AppJob, Dataset
from foedus.server.platform import Platform
from foedus.server.worker.app_jobs import AppJobs
from foedus.server.worker.datasets import register_dataset

SIMULATION = "SIM_REACTION_DIFFUSION"
SMALL = {"size": 16, "steps": 20, "frames": 4}
CID = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


def submitted(alice: Person, **changes: object) -> int:
    answer = alice.program.post(
        f"/api/v1/applications/{SIMULATION}/jobs", json={"parameters": SMALL, **changes}
    )
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def until(jobs: AppJobs, platform: Platform, job_id: int, is_so: Callable[[AppJob], bool]) -> AppJob:
    for _ in range(600):
        jobs.step(0.1)
        with platform.reading() as db:
            row = db.get_one(AppJob, job_id)
            if is_so(row):
                db.expunge(row)
                return row
    raise AssertionError(f"still {row.state}: {row.cause}")


def test_the_catalogue_has_what_people_can_submit(alice: Person) -> None:
    page = alice.browser.get("/applications").text
    assert SIMULATION in page
    assert "FL_TRAIN" not in page
    names = [one["name"] for one in alice.program.get("/api/v1/applications").json()["items"]]
    assert names == ["FL_PREDICT", "SIM_REACTION_DIFFUSION", "SIM_RENDER"]
    assert alice.browser.get("/applications/FL_TRAIN").status_code == 404


def test_the_form_has_a_field_for_each_parameter_and_a_model_filled_in(alice: Person) -> None:
    text = alice.browser.get(f"/applications/{SIMULATION}").text
    assert 'name="steps"' in text
    assert 'value="0.0545"' in text
    assert CID in alice.browser.get("/applications/FL_PREDICT", params={"model": CID}).text
    assert 'Choose one in <a href="/models">Models</a>' in alice.browser.get("/applications/FL_PREDICT").text


def test_a_form_becomes_a_batch_job_that_waits(alice: Person) -> None:
    form = {**{key: str(value) for key, value in SMALL.items()}, "F": "", "r-cpus": "2"}
    answer = alice.browser.post(f"/applications/{SIMULATION}", data=form)
    assert answer.status_code == 303, answer.text
    found = alice.program.get(f"/api/v1{answer.headers['location']}").json()
    assert (found["state"], found["parameters"]["steps"], found["parameters"]["F"]) == ("waiting", 20, 0.0545)
    assert found["resources"] == {"cpus": 2}


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"steps": "many"}, "steps"),
        ({"F": "9"}, "F"),
        ({"dt": "999"}, "F"),
        ({"unknown": "1"}, "unknown"),
        ({"r-cpus": "0"}, "r-cpus"),
        ({"r-queue": "a b; rm"}, "r-queue"),
        ({"r-nodes": "1"}, "r-nodes"),
        ({"r-dataset": "../x"}, "r-dataset"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_submitted(
    form: dict[str, str], field: str, alice: Person
) -> None:
    answer = alice.browser.post(f"/applications/{SIMULATION}", data=form)
    assert answer.status_code == 422
    assert f'href="#f-{field}"' in answer.text
    assert alice.program.get("/api/v1/jobs").json()["total"] == 0


def test_foreign_datasets_and_models_are_refused_like_missing_ones(
    alice: Person, stranger: Person, platform: Platform
) -> None:
    with platform.writing() as db:
        db.add(Dataset(owner_id=alice.user.id, name="scans", kind="images", state="ready", request={}))
    answers = [
        stranger.program.post(
            "/api/v1/applications/FL_PREDICT/jobs", json={"parameters": {"model": CID, "dataset": name}}
        ).json()
        for name in ("scans", "nothing")
    ]
    assert answers[0] == answers[1]
    assert set(answers[0]["error"]["fields"]) == {"model", "dataset"}


def test_a_job_that_is_cancelled_while_it_waits_never_runs(alice: Person, platform: Platform) -> None:
    job_id = submitted(alice)
    assert alice.browser.post(f"/jobs/{job_id}/cancel").status_code == 303
    with AppJobs(platform) as jobs:
        jobs.step()
    assert alice.program.get(f"/api/v1/jobs/{job_id}").json()["state"] == "cancelled"
    assert alice.browser.post(f"/jobs/{job_id}/cancel").status_code == 409
    assert not (platform.user_home("alice").root / "jobs").exists()


@pytest.mark.slow
def test_a_worker_runs_it_and_its_output_becomes_a_dataset_once(alice: Person, platform: Platform) -> None:
    job_id = submitted(alice, becomes_dataset="waves")
    with AppJobs(platform) as jobs:
        row = until(jobs, platform, job_id, lambda row: row.ended_at is not None)
        jobs.step()
    assert (row.state, row.cause) == ("completed", "")
    found = alice.program.get("/api/v1/datasets").json()["items"]
    assert [(one["name"], one["state"]) for one in found] == [("waves", "checking")]
    register_dataset(platform, found[0]["id"])
    dataset = alice.program.get(f"/api/v1/datasets/{found[0]['id']}").json()
    assert (dataset["state"], dataset["examples"]) == ("ready", 4), dataset["cause"]
    files = [one["name"] for one in alice.program.get(f"/api/v1/jobs/{job_id}").json()["files"]]
    assert "u.npy" in files


@pytest.mark.slow
def test_the_next_worker_takes_up_what_a_killed_one_submitted(alice: Person, platform: Platform) -> None:
    job_id = submitted(alice)
    with AppJobs(platform) as jobs:
        until(jobs, platform, job_id, lambda row: row.state == "running")
    with AppJobs(platform) as jobs:
        row = until(jobs, platform, job_id, lambda row: row.ended_at is not None)
    assert row.state == "completed"
    assert len(list((platform.user_home("alice").root / "jobs").iterdir())) == 1


@pytest.mark.slow
def test_a_running_job_is_cancelled(alice: Person, platform: Platform) -> None:
    job_id = submitted(alice, parameters={"size": 512, "steps": 100_000_000, "frames": 1})
    with AppJobs(platform) as jobs:
        until(jobs, platform, job_id, lambda row: row.state == "running")
        alice.browser.post(f"/jobs/{job_id}/cancel")
        assert until(jobs, platform, job_id, lambda row: row.ended_at is not None).state == "cancelled"
