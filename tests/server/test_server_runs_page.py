"""What a run's page adds: how long it takes, why it failed, its transactions, all of it as one file."""

import csv
import datetime
import io
import json
import tomllib
import zipfile
from collections.abc import Callable

import pytest
from sqlalchemy import select
from tests.server.chains import Story
from tests.server.people import Person, join

from foedus.launch import JobFolder
from foedus.rounds.spec import parse_spec
from foedus.server.db import ChainRound, ChainTransaction, Dataset, Metric, Project, Run, RunClient, RunEvent
from foedus.server.platform import Platform
from foedus.server.services.pace import in_words, pace_of
from foedus.server.services.run_export import spec_toml

RUN = "/runs/lungs-1"
API = "/api/v1/runs/lungs-1"
FILES = ("run.json", "spec.toml", "rounds.csv", "registrations.csv", "votes.csv", "numbers.csv")


@pytest.fixture
def bob(person: Callable[..., Person], project: str, platform: Platform) -> Person:
    """A member of Alice's project."""
    found = person("bob")
    join(platform, found, project)
    return found


@pytest.fixture
def run(story: Story, alice: Person, bob: Person, platform: Platform) -> int:
    """The run of the story, in which Alice and Bob take part; returns its row's id."""
    with platform.writing() as db:
        found = Run(
            name="lungs-1",
            project_id=db.scalars(select(Project.id)).one(),
            created_by=alice.user.id,
            spec=parse_spec({"name": "lungs-1"}).model_dump(mode="json"),
            algorithm="fedprox",
            rounds=9,
            round=3,
            state="running",
            chain_run=1,
            started_at=platform.now() - datetime.timedelta(seconds=90),
        )
        db.add(found)
        for user in (alice.user, bob.user):
            data = Dataset(owner_id=user.id, name="d", kind="images", state="ready", request={})
            db.add(data)
            db.flush()
            found.clients.append(
                RunClient(user_id=user.id, client=user.name, account="a", dataset_id=data.id)
            )
        db.add(Metric(run_id=found.id, name="loss", client="alice", round=1, value=0.5))
        return found.id


def fail(platform: Platform, run: int, client: str) -> None:
    """Let the run fail because of a client's task, which had fifty lines to say."""
    with platform.writing() as db:
        found = db.get_one(Run, run)
        found.state, found.cause = "failed", "the batch job went away"
        for number, who, cause in (
            (2, "carol", "earlier"),
            (3, client, "diverged <b>"),
            (3, "carol", "later"),
        ):
            said = {"kind": "train", "cause": cause}
            db.add(RunEvent(run_id=run, kind="task-failed", round=number, client=who, values=said))
            db.flush()
    path = platform.home.runs / "lungs-1" / "jobs" / "r00003.1" / f"{client}.train"
    path.mkdir(parents=True)
    JobFolder(path).write_spec({"kind": "train"})
    (path / "out.log").write_text("".join(f"line {number}\n" for number in range(1, 51)))


def test_a_run_tells_how_long_it_takes(run: int, alice: Person, platform: Platform) -> None:
    with platform.writing() as db:
        for one in db.scalars(select(ChainRound).filter_by(run=1)):
            one.opened_at, one.ended_at = 1000 + 100 * one.number, 1040 + 100 * one.number
    with platform.reading() as db:
        found = db.get_one(Run, run)
        pace = pace_of(db, found, platform.now())
        before = pace_of(db, Run(started_at=None), platform.now())
    assert before is None
    assert pace is not None
    assert pace.remaining_s == pytest.approx(240 / 3 * 6)
    assert 90 <= pace.elapsed_s < 900
    assert "left</span>" in alice.browser.get(RUN).text
    assert "left</span>" in alice.browser.get(f"{RUN}/now").text
    assert alice.program.get(API).json()["pace"]["remaining_s"] == pace.remaining_s


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.6, "1 min"), (200, "3 min 20 s"), (7265, "2 h 1 min"), (90_000, "1 d 1 h")],
)
def test_durations_are_told_in_their_two_largest_units(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_a_failed_run_shows_the_first_error_and_the_end_of_ones_own_log(
    run: int, alice: Person, bob: Person, platform: Platform
) -> None:
    assert "What went wrong" not in alice.browser.get(RUN).text
    fail(platform, run, "bob")
    page = bob.browser.get(RUN).text
    assert "in round 3: the train task of <strong>bob</strong> failed: diverged &lt;b&gt;" in page
    assert "line 11\n" in page
    assert "line 10\n" not in page
    assert "What to do" in page
    theirs = alice.browser.get(RUN).text
    assert "shown to bob alone" in theirs
    assert "line 50" not in theirs
    failure = alice.program.get(API).json()["failure"]
    assert (failure["round"], failure["client"], failure["error"]) == (3, "bob", "diverged <b>")
    assert failure["log"] == ""


def test_a_run_that_failed_before_any_task_says_why(run: int, alice: Person, platform: Platform) -> None:
    with platform.writing() as db:
        found = db.get_one(Run, run)
        found.state, found.cause, found.hint = "failed", "no evaluation dataset", "Choose one."
    page = alice.browser.get(RUN).text
    assert "no evaluation dataset" in page
    assert "Choose one." in page


def test_the_chain_tab_has_the_runs_transactions_alone(run: int, alice: Person, platform: Platform) -> None:
    with platform.reading() as db:
        theirs = db.scalars(select(ChainTransaction.hash).filter_by(run=1)).all()
    found = alice.program.get(f"{API}/transactions", params={"size": 100}).json()
    assert {one["hash"] for one in found["items"]} == set(theirs)
    assert found["total"] < 100
    page = alice.browser.get(f"{RUN}/chain")
    assert page.status_code == 200
    assert theirs[0] in page.text
    assert alice.browser.get(f"{RUN}/chain?format=csv").text.startswith("hash,")


@pytest.mark.parametrize("path", [RUN, API])
def test_an_export_holds_the_spec_and_all_numbers(
    path: str, run: int, alice: Person, platform: Platform
) -> None:
    fail(platform, run, "bob")
    answer = alice.program.get(f"{path}/export")
    assert answer.headers["content-disposition"] == 'attachment; filename="lungs-1.zip"'
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    files = {name.removeprefix("lungs-1/"): archive.read(name).decode() for name in archive.namelist()}
    assert {*FILES, "versions.csv", "events.csv", "rewards.csv"} == set(files)
    assert json.loads(files["run.json"])["name"] == "lungs-1"
    assert parse_spec(tomllib.loads(files["spec.toml"])) == parse_spec({"name": "lungs-1"})
    tables = {name: list(csv.DictReader(io.StringIO(text))) for name, text in files.items() if "csv" in name}
    assert len(tables["rounds.csv"]) == 3
    assert len(tables["registrations.csv"]) == len(tables["votes.csv"]) == 9
    assert {one["cid"][:3] for one in tables["registrations.csv"]} == {"baf"}
    assert [one["version"] for one in tables["versions.csv"]] == ["0", "1", "2"]
    assert {one["client"] for one in tables["rewards.csv"]} == {"alice", "bob", "carol"}
    paid = sum(int(one["paid"]) for one in tables["registrations.csv"])
    assert paid == sum(int(one["points"]) for one in tables["rewards.csv"]) > 0
    assert float(tables["numbers.csv"][0]["value"]) == 0.5
    assert json.loads(tables["events.csv"][-1]["values"])["cause"] == "later"


def test_a_run_that_is_not_on_the_chain_is_exported_too(run: int, alice: Person, platform: Platform) -> None:
    with platform.writing() as db:
        db.get_one(Run, run).chain_run = None
    archive = zipfile.ZipFile(io.BytesIO(alice.program.get(f"{API}/export").content))
    assert "lungs-1/rewards.csv" not in archive.namelist()
    assert alice.program.get(f"{API}/transactions").json()["total"] == 0


def test_specs_are_written_as_they_are_read() -> None:
    values = {
        "name": 'a "b" \\ \n\x7f é',
        "rounds": 3,
        "rate": 1e-05,
        "is_on": True,
        "list": [1, "two", {"x": 1}],
        "empty": {},
        "deep": {"a": {"b c": {"d": 0.5}, "e": []}},
    }
    assert tomllib.loads(spec_toml({**values, "nothing": None})) == values


@pytest.mark.parametrize(
    "path", [f"{RUN}/chain", f"{RUN}/export", f"{RUN}/now", f"{API}/export", f"{API}/transactions"]
)
def test_strangers_learn_nothing(path: str, run: int, stranger: Person) -> None:
    answer = stranger.program.get(path)
    missing = stranger.program.get(path.replace("lungs-1", "lungs-9"))
    assert (answer.status_code, answer.text) == (
        missing.status_code,
        missing.text.replace("lungs-9", "lungs-1"),
    )
    assert answer.status_code == 404
