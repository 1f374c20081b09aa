"""Rounds of a run: who answered what, how the ballot stands, and how far each task is."""

import pytest
from sqlalchemy import delete, select
from tests.server.chains import Story
from tests.server.people import Person

from foedus.core.ids import ClientId
from foedus.core.records import Phase
from foedus.server.db import (
    ChainAnswer,
    ChainEvent,
    ChainRound,
    ChainRun,
    ChainVote,
    Metric,
    Project,
    Run,
    RunEvent,
)
from foedus.server.platform import Platform
from foedus.server.services.rounds import find_round, present_round
from foedus.store import AlgorithmRef, ModelManifest, put_manifest


@pytest.fixture
def run(platform: Platform, project: str, story: Story, alice: Person) -> int:
    """Alice's run on the chain of the story; returns its row."""
    with platform.writing() as db:
        of = db.scalars(select(Project).where(Project.slug == project)).one()
        number = db.scalars(select(ChainRun.run).where(ChainRun.project == of.chain_project)).first()
        found = Run(
            name="lungs-1",
            project_id=of.id,
            created_by=alice.user.id,
            spec={},
            algorithm="fedavg",
            rounds=9,
            state="running",
            chain_run=number,
        )
        db.add(found)
        db.flush()
        return found.id


def test_a_round_that_ended_names_answers_votes_and_points(platform: Platform, run: int) -> None:
    with platform.reading() as db:
        found = find_round(db, db.get_one(Run, run), 1)
    assert (found.phase, found.is_over) == ("accepted", True)
    assert [part.state for part in found.parts] == ["registered"] * 3
    assert {part.vote for part in found.parts} == {"yes"}
    assert found.votes == "3 yes, of 3"
    assert all(part.tx and part.vote_tx and part.cid for part in found.parts)


def reopen(platform: Platform, run: int, phase: Phase = Phase.OPEN) -> int:
    """Let the newest round be under way again; returns its number."""
    with platform.writing() as db:
        newest = present_round(db, db.get_one(Run, run))
        assert newest is not None
        row = db.get_one(ChainRound, (db.get_one(Run, run).chain_run, newest.number))
        row.phase, row.ended_at, row.ended_tx = int(phase), None, None
        return newest.number


def test_a_client_that_has_not_answered_is_shown_with_what_its_task_does(
    platform: Platform, run: int
) -> None:
    reopen(platform, run)
    with platform.writing() as db:
        newest = present_round(db, db.get_one(Run, run))
        assert newest is not None
        client = newest.parts[0].client
        values = {"kind": "train", "done": 3, "total": 8}
        for kind, said in (("task", {"kind": "train"}), ("step", values)):
            db.add(RunEvent(run_id=run, kind=kind, round=newest.number, client=client, values=said))
        db.add(Metric(run_id=run, name="loss", client=client, round=newest.number, value=0.25))
        db.flush()
        part = next(
            one for one in find_round(db, db.get_one(Run, run), newest.number).parts if one.client == client
        )
    assert (part.doing, part.loss) == ("train: 3 of 8 steps", 0.25)


def test_steps_that_are_written_after_their_task_s_end_are_passed_over(platform: Platform, run: int) -> None:
    number = reopen(platform, run)
    told = [
        ("task", {"kind": "train"}),
        ("task-done", {"kind": "train"}),
        ("step", {"kind": "train", "done": 4, "total": 7}),
        ("task", {"kind": "train"}),
        ("step", {"kind": "train", "done": 1, "total": 7}),
    ]
    seen = []
    for kind, values in told:
        with platform.writing() as db:
            db.add(RunEvent(run_id=run, kind=kind, round=number, client="bob", values=values))
            db.flush()
            seen += [one.doing for one in find_round(db, db.get_one(Run, run), number).parts if one.doing]
    assert seen == ["train begins", "train done", "train done", "train begins", "train: 1 of 7 steps"]
    with platform.writing() as db:
        db.get_one(ChainRound, (db.get_one(Run, run).chain_run, number)).phase = int(Phase.ACCEPTED)
        db.flush()
        assert not any(one.doing for one in find_round(db, db.get_one(Run, run), number).parts)


def test_a_round_that_was_under_way_has_ended_with_its_run(
    platform: Platform, run: int, alice: Person
) -> None:
    number = reopen(platform, run, Phase.VOTING)
    page = f"/runs/lungs-1/rounds/{number}"
    with platform.writing() as db:
        db.execute(delete(ChainVote).where(ChainVote.round == number))
    assert "no votes yet, of 3" in alice.browser.get(page).text
    assert "Nobody has voted yet." in alice.browser.get(page).text
    with platform.writing() as db:
        found = db.get_one(Run, run)
        found.state, found.cause, found.cancel_reason = "cancelled", "a review", "a review"
    text = alice.browser.get(page).text
    assert "Ended with the run, which was cancelled. The version stays as it was." in text
    assert "no votes, of 3" in text
    assert "Nobody voted." in text
    assert "Deadline" not in text
    text = alice.browser.get("/runs/lungs-1").text
    assert text.count("a review") == 1
    assert "Cancelled: a review" in text
    assert 'class="state voting"' not in text
    assert 'aria-current="step"' not in text
    listed = alice.program.get("/api/v1/runs/lungs-1/rounds").json()["items"]
    assert [one["phase"] for one in listed] == ["cancelled", "rejected", "accepted"]


def test_who_was_removed_or_gave_no_answer_is_not_waited_for(
    platform: Platform, run: int, alice: Person
) -> None:
    number = reopen(platform, run)
    with platform.writing() as db:
        chain_run = db.get_one(Run, run).chain_run
        gone = (ChainAnswer.run == chain_run, ChainAnswer.round == number, ChainAnswer.client != "alice")
        db.execute(delete(ChainAnswer).where(*gone))
        added = select(ChainEvent).where(ChainEvent.name == "MemberSet", ChainEvent.project == 1)
        carol = next(one for one in db.scalars(added) if one.args["name"] == "carol")
        opened = db.get_one(ChainRound, (chain_run, number)).opened_block
        values = {"project": 1, "address": carol.address, "args": {**carol.args, "role": 0}}
        db.add(ChainEvent(block=opened, position=99, tx=carol.tx, name="MemberSet", time=1, **values))

    def states() -> list[str]:
        with platform.reading() as db:
            return [one.state for one in find_round(db, db.get_one(Run, run), number).parts]

    assert states() == ["registered", "waiting", "unasked"]
    with platform.writing() as db:
        db.get_one(ChainRound, (chain_run, number)).phase = int(Phase.ACCEPTED)
    assert states() == ["registered", "silent", "unasked"]
    page = alice.browser.get(f"/runs/lungs-1/rounds/{number}").text
    assert "no answer" in page
    assert "not asked" in page
    with platform.reading() as db:
        assert find_round(db, db.get_one(Run, run), 1).parts[2].state == "registered", "she was asked before"


def test_pages_show_rounds_and_refuse_those_that_are_not_there(run: int, alice: Person) -> None:
    page = alice.browser.get("/runs/lungs-1/rounds/1")
    assert page.status_code == 200
    assert "3 yes, of 3" in page.text
    assert "accepted" in alice.browser.get("/runs/lungs-1/rounds").text
    assert "Round" in alice.browser.get("/runs/lungs-1").text
    for number in ("0", "77", "1000001", "x"):
        assert alice.browser.get(f"/runs/lungs-1/rounds/{number}").status_code in (404, 422)


def test_refused_updates_are_told_with_the_check_they_failed(
    platform: Platform, run: int, alice: Person
) -> None:
    weights = platform.store.put(b"weights")
    refused = {ClientId("bob"): "floor", ClientId("carol"): "new-check"}
    manifest = ModelManifest(1, weights, weights, None, AlgorithmRef("fedavg", {}), refused=refused)
    with platform.writing() as db:
        number = db.get_one(Run, run).chain_run
        db.get_one(ChainRound, (number, 2)).candidate = put_manifest(platform.store, manifest)
    page = alice.browser.get("/runs/lungs-1/rounds/2").text
    assert "of bob was refused when the updates were merged: it scores below the floor" in page
    assert "of carol was refused when the updates were merged: new-check." in page
    assert set(alice.program.get("/api/v1/runs/lungs-1/rounds/2").json()["refused"]) == {"bob", "carol"}
    assert alice.program.get("/api/v1/runs/lungs-1/rounds/3").json()["refused"] == {}


def test_the_api_gives_rounds(run: int, alice: Person, stranger: Person) -> None:
    listed = alice.program.get("/api/v1/runs/lungs-1/rounds").json()
    assert listed["items"][-1]["phase"] == "accepted"
    found = alice.program.get("/api/v1/runs/lungs-1/rounds/1").json()
    assert [one["vote"] for one in found["clients"]] == ["yes"] * 3
    for path in ("rounds", "rounds/1"):
        assert stranger.program.get(f"/api/v1/runs/lungs-1/{path}").status_code == 404
