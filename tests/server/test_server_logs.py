"""Tasks of a run: clients read their own logs alone, leads see how all tasks are; numbers are listed."""

from collections.abc import Callable

import pytest
from sqlalchemy import select
from tests.server.people import Person, join

from foedus.launch import JobFolder
from foedus.server.db import Dataset, Metric, Project, Run, RunClient
from foedus.server.platform import Platform

CLIENTS = ("alice", "bob")


@pytest.fixture
def bob(person: Callable[..., Person], project: str, platform: Platform) -> Person:
    """A member of Alice's project."""
    found = person("bob")
    join(platform, found, project)
    return found


@pytest.fixture
def run(alice: Person, bob: Person, platform: Platform) -> str:
    """A run in which Alice and Bob have trained for a round."""
    with platform.writing() as db:
        found = Run(
            name="lungs-1",
            project_id=db.scalars(select(Project.id)).one(),
            created_by=alice.user.id,
            spec={},
            algorithm="fedavg",
            rounds=2,
            round=1,
            state="running",
        )
        db.add(found)
        for user in (alice.user, bob.user):
            data = Dataset(owner_id=user.id, name="d", kind="images", state="ready", request={})
            db.add(data)
            db.flush()
            found.clients.append(
                RunClient(user_id=user.id, client=user.name, account="a", dataset_id=data.id)
            )
            db.add(Metric(run_id=found.id, name="loss", client=user.name, round=1, value=0.5))
    for name in CLIENTS:
        path = platform.home.runs / "lungs-1" / "jobs" / "r00001.1" / f"{name}.train"
        path.mkdir(parents=True)
        JobFolder(path).write_spec({"kind": "train", "client": "alice"})  # its word does not count
        (path / "out.log").write_text(f"<log> of {name}")
    return "lungs-1"


def test_members_read_the_logs_of_their_own_client_alone(run: str, alice: Person, bob: Person) -> None:
    for person, other in ((alice, "bob"), (bob, "alice")):
        mine = {"task": f"r00001.1/{person.user.name}.train"}
        page = person.browser.get(f"/runs/{run}/logs", params=mine).text
        assert f"&lt;log&gt; of {person.user.name}" in page
        theirs = {"task": f"r00001.1/{other}.train"}
        for path in (f"/runs/{run}/logs", f"/runs/{run}/logs/tail", f"/api/v1/runs/{run}/tasks/log"):
            answer = person.program.get(path, params=theirs)
            missing = person.program.get(path, params={"task": f"r00009.1/{person.user.name}.train"})
            assert answer.status_code == missing.status_code == 404
            assert f"of {other}" not in answer.text


def test_leads_see_how_all_tasks_are_and_members_their_own(run: str, alice: Person, bob: Person) -> None:
    def seen(person: Person, number: int) -> list[tuple[str, bool]]:
        found = person.program.get(f"/api/v1/runs/{run}/tasks", params={"round": number}).json()["items"]
        return [(task["client"], task["is_mine"]) for task in found]

    assert seen(alice, 1) == [("alice", True), ("bob", False)]
    assert seen(bob, 1) == [("bob", True)]
    assert seen(alice, 2) == []
    assert "alice" not in bob.program.get(f"/api/v1/runs/{run}/tasks").text


@pytest.mark.parametrize(
    "task",
    [
        "",
        "alice.train",
        "r00001.1/../r00001.1/alice.train",
        "r00001.1/alice.key",
        "../../x/alice.train",
        "a\0",
    ],
)
def test_nothing_but_tasks_can_be_named(task: str, run: str, alice: Person) -> None:
    assert alice.browser.get(f"/runs/{run}/logs/tail", params={"task": task}).status_code == 404


def test_a_log_is_followed_until_its_task_is_over_and_taken_away(
    run: str, alice: Person, platform: Platform
) -> None:
    mine = {"task": "r00001.1/alice.train"}
    assert "every 3s" in alice.browser.get(f"/runs/{run}/logs/tail", params=mine).text
    JobFolder(platform.home.runs / run / "jobs" / "r00001.1" / "alice.train").finish({})
    assert "every 3s" not in alice.browser.get(f"/runs/{run}/logs/tail", params=mine).text
    file = alice.browser.get(f"/runs/{run}/logs/tail", params={**mine, "format": "text"})
    assert file.text == "<log> of alice"
    assert file.headers["content-type"].startswith("text/plain")
    assert file.headers["content-disposition"].startswith("attachment")


def test_numbers_are_listed_and_taken_away(run: str, alice: Person) -> None:
    found = alice.program.get(f"/api/v1/runs/{run}/numbers", params={"name": "loss", "size": 1}).json()
    assert (found["total"], found["items"][0]["client"]) == (2, "alice")
    rest = alice.program.get(f"/api/v1/runs/{run}/numbers", params={"size": 1, "after": found["next"]}).json()
    assert [one["client"] for one in rest["items"]] == ["bob"]
    lines = alice.browser.get(f"/runs/{run}/numbers", params={"format": "csv"}).text.splitlines()
    assert lines == ["round,name,client,step,value", "1,loss,alice,0,0.5", "1,loss,bob,0,0.5"]


def test_strangers_learn_nothing_of_tasks_and_numbers(run: str, stranger: Person) -> None:
    for path in ("/runs/{}/logs", "/runs/{}/logs/tail", "/runs/{}/numbers"):
        assert stranger.browser.get(path.format(run)).status_code == 404
    for path in ("/api/v1/runs/{}/tasks", "/api/v1/runs/{}/tasks/log", "/api/v1/runs/{}/numbers"):
        theirs, missing = (stranger.program.get(path.format(name)) for name in (run, "lungs-9"))
        assert theirs.status_code == 404
        assert theirs.json() == missing.json()
