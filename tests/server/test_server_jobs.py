"""Batch jobs: log and output for their owner alone, and nothing outside of the output folder."""

from pathlib import Path

import pytest
from sqlalchemy import select
from tests.server.people import Person, join

from foedus.launch import JobFolder
from foedus.server.db import AppJob, Dataset, Project, Run, RunClient
from foedus.server.platform import Platform


@pytest.fixture
def job(alice: Person, platform: Platform) -> int:
    """A batch job of Alice's that has written something."""
    with platform.writing() as db:
        row = AppJob(
            owner_id=alice.user.id,
            application="SIM_RENDER",
            parameters={},
            resources={},
            folder="sim_render-1",
            state="running",
        )
        db.add(row)
        db.flush()
        job_id = row.id
    folder = folder_of(platform)
    (folder / "output" / "frames").mkdir(parents=True)
    (folder / "out.log").write_text("step <1>\n")
    (folder / "spec.json").write_text("{}")
    (folder / "output" / "movie.gif").write_bytes(b"GIF89a")
    (folder / "output" / "page.html").write_text("<script>alert(1)</script>")
    (folder / "output" / "frames" / "u.npy").write_bytes(b"123")
    (folder / "output" / ".hidden").write_text("x")
    (folder / "output" / "link").symlink_to("/etc/passwd")
    return job_id


def folder_of(platform: Platform) -> Path:
    return platform.user_home("alice").root / "jobs" / "sim_render-1"


def test_the_owner_sees_log_and_output(alice: Person, job: int) -> None:
    text = alice.browser.get(f"/jobs/{job}").text
    assert "step &lt;1&gt;" in text
    assert "movie.gif" in text
    assert "/etc" not in text
    assert "hx-get" in alice.browser.get(f"/jobs/{job}/log").text
    found = alice.program.get(f"/api/v1/jobs/{job}").json()
    assert [one["name"] for one in found["files"]] == ["movie.gif", "page.html", "frames/u.npy"]
    assert alice.program.get(f"/api/v1/jobs/{job}/log").json() == {"log": "step <1>\n"}


def test_a_log_says_whether_output_may_still_come(alice: Person, platform: Platform, job: int) -> None:
    (folder_of(platform) / "out.log").write_text("")
    assert "no output yet" in alice.browser.get(f"/jobs/{job}").text
    with platform.writing() as db:
        db.get_one(AppJob, job).state = "completed"
    for page in (f"/jobs/{job}", f"/jobs/{job}/log"):
        assert ">no output</pre>" in alice.browser.get(page).text


def test_only_pictures_are_shown_inside_of_pages(alice: Person, job: int) -> None:
    shown = alice.browser.get(f"/jobs/{job}/files", params={"name": "movie.gif", "inline": "true"})
    assert (shown.headers["content-type"], shown.content) == ("image/gif", b"GIF89a")
    page = alice.browser.get(f"/jobs/{job}/files", params={"name": "page.html", "inline": "true"})
    assert page.headers["content-type"] == "application/octet-stream"
    assert page.headers["content-disposition"].startswith("attachment")
    assert alice.program.get(f"/api/v1/jobs/{job}/files", params={"name": "frames/u.npy"}).content == b"123"


@pytest.mark.parametrize(
    "name",
    ["link", ".hidden", "../out.log", "..", "", "/etc/passwd", "frames", "frames/../movie.gif", "a\0", "no"],
)
def test_nothing_else_can_be_read(name: str, alice: Person, job: int) -> None:
    assert alice.browser.get(f"/jobs/{job}/files", params={"name": name}).status_code == 404


def test_an_output_folder_that_became_a_link_is_not_followed(
    alice: Person, job: int, platform: Platform, tmp_path: Path
) -> None:
    (tmp_path / "movie.gif").write_bytes(b"GIFT")
    output = folder_of(platform) / "output"
    output.rename(folder_of(platform) / "before")
    output.symlink_to(tmp_path)
    assert alice.browser.get(f"/jobs/{job}/files", params={"name": "movie.gif"}).status_code == 404
    assert alice.program.get(f"/api/v1/jobs/{job}").json()["files"] == []


def test_a_strangers_batch_job_looks_like_a_missing_one(job: int, stranger: Person) -> None:
    for method, tail in (("GET", ""), ("GET", "/log"), ("GET", "/files?name=movie.gif"), ("POST", "/cancel")):
        theirs = stranger.program.request(method, f"/api/v1/jobs/{job}{tail}")
        missing = stranger.program.request(method, f"/api/v1/jobs/999999{tail}")
        assert (theirs.status_code, theirs.json()) == (missing.status_code, missing.json())
        assert theirs.status_code == 404
        assert stranger.browser.request(method, f"/jobs/{job}{tail}").status_code == 404
    assert stranger.program.get("/api/v1/jobs").json()["total"] == 0


def test_a_client_sees_its_own_tasks_of_a_run_and_not_those_of_others(
    alice: Person, stranger: Person, project: str, platform: Platform
) -> None:
    join(platform, stranger, project)
    with platform.writing() as db:
        project_id = db.scalars(select(Project.id)).one()
        run = Run(
            name="lungs-1",
            project_id=project_id,
            created_by=alice.user.id,
            spec={},
            algorithm="fedavg",
            rounds=1,
        )
        db.add(run)
        for person in (alice, stranger):
            user = person.user
            dataset = Dataset(owner_id=user.id, name="d", kind="images", state="ready", request={})
            db.add(dataset)
            db.flush()
            db.add(
                RunClient(
                    run_id=run.id, user_id=user.id, client=user.name, account="a", dataset_id=dataset.id
                )
            )
    for person in (alice, stranger):
        path = platform.home.runs / "lungs-1" / "jobs" / "r00001.1" / f"{person.user.name}.train"
        path.mkdir(parents=True)
        JobFolder(path).write_spec({"kind": "train", "client": person.user.name})
        (path / "out.log").write_text(f"log of {person.user.name}")
    text = alice.browser.get("/jobs/tasks").text
    assert "alice.train" in text
    assert "mallory.train" not in text
    assert "log of alice" in alice.browser.get("/jobs/tasks/lungs-1/r00001.1/alice.train").text
    for name in ("lungs-1/r00001.1/mallory.train", "lungs-1/r00001.1", "nothing", "../../etc"):
        assert alice.browser.get(f"/jobs/tasks/{name}").status_code == 404
