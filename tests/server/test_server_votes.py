"""Members answer their own ballots, in time, and as the contract allows."""

import pytest
from sqlalchemy import select
from tests.server.people import Person

from foedus.server.db import Decision, Project, Run
from foedus.server.platform import Platform


@pytest.fixture
def ballot(project: str, alice: Person, platform: Platform) -> dict[str, object]:
    """Alice has two ballots, in round 1 on a good and in 2 on a bad candidate; this answers the first."""
    with platform.writing() as db:
        home = db.scalars(select(Project)).one()
        run = Run(
            name="lungs-1", project_id=home.id, created_by=alice.user.id, spec={}, algorithm="x", rounds=2
        )
        db.add(run)
        db.flush()
        until = int(platform.now().timestamp()) + 600
        for number, score in ((1, 0.9), (2, 0.5)):
            asked = Decision(run_id=run.id, round=number, user_id=alice.user.id, candidate="b", score=score)
            asked.base_score, asked.deadline = 0.8, until
            db.add(asked)
    return {"run": "lungs-1", "round": 1, "choice": "yes"}


def test_a_vote_is_kept_and_waits_no_longer(ballot: dict[str, object], alice: Person) -> None:
    assert "round 1" in alice.browser.get("/votes").text
    assert alice.program.post("/api/v1/votes", json=ballot).status_code == 200
    assert [one["round"] for one in alice.program.get("/api/v1/votes").json()["items"]] == [2]
    form = {"run": "lungs-1", "number": "2", "choice": "no"}
    assert alice.browser.post("/votes", data=form).status_code == 303


def test_a_yes_against_the_contracts_rule_is_refused(ballot: dict[str, object], alice: Person) -> None:
    form = {"run": "lungs-1", "number": "2", "choice": "yes"}
    answer = alice.browser.post("/votes", data=form)
    assert answer.status_code == 422
    assert "a yes is refused" in answer.text


def test_strangers_find_no_ballot(ballot: dict[str, object], stranger: Person) -> None:
    assert stranger.program.post("/api/v1/votes", json=ballot).status_code == 404
    assert stranger.program.get("/api/v1/votes").json()["items"] == []
