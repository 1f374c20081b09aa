"""Members answer their own ballots, in time, and as the contract allows."""

import pytest
from sqlalchemy import select
from tests.server.chains import Story
from tests.server.people import Person

from foedus.core.records import Choice
from foedus.server.db import Dataset, Decision, Project, Run, RunClient
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


@pytest.fixture
def held(story: Story, ballot: dict[str, object], alice: Person, platform: Platform) -> None:
    """The run of the ballots is that of the story, whose second round was rejected."""
    with platform.writing() as db:
        run = db.scalars(select(Run)).one()
        run.chain_run = 1
        data = Dataset(owner_id=alice.user.id, name="d", kind="images", state="ready", request={})
        db.add(data)
        db.flush()
        db.add(
            RunClient(run_id=run.id, user_id=alice.user.id, client="alice", account="a", dataset_id=data.id)
        )


def test_a_round_s_page_has_its_ballot_and_who_voted_what(
    held: None, alice: Person, stranger: Person
) -> None:
    place = "/runs/lungs-1/rounds/1"
    page = alice.browser.get(place).text
    assert "Accepted: 3 yes, of 3." in page
    assert "on your data the candidate does 0.1000 better than its base" in page
    assert f'action="{place}/vote"' in page
    voted = alice.browser.post(f"{place}/vote", data={"choice": "yes", "comment": "looks <fine>"})
    assert (voted.status_code, voted.headers["location"]) == (303, place)
    page = alice.browser.get(place).text
    assert "You have voted yes." in page
    assert "looks &lt;fine&gt;" in page
    assert f'action="{place}/vote"' not in page
    assert stranger.browser.post(f"{place}/vote", data={"choice": "yes"}).status_code == 404


def test_a_refused_vote_is_explained_on_the_round_s_page(held: None, alice: Person) -> None:
    place = "/runs/lungs-1/rounds/2"
    page = alice.browser.get(place).text
    assert "Rejected: 1 yes, 2 no, of 3." in page
    assert 'value="yes" required disabled' in page
    for choice in ("yes", "perhaps", ""):
        answer = alice.browser.post(f"{place}/vote", data={"choice": choice})
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
    assert alice.browser.post("/runs/lungs-1/rounds/3/vote", data={"choice": "no"}).status_code == 404


def test_a_ballot_says_what_is_advised_and_why(
    ballot: dict[str, object], alice: Person, platform: Platform
) -> None:
    with platform.writing() as db:
        first, second = db.scalars(select(Decision).order_by(Decision.round)).all()
        first.advice, second.score = int(Choice.YES), None
    page = alice.browser.get("/votes").text
    assert "The advice is yes: on your data the candidate does 0.1000 better than its base." in page
    assert "There is no advice: it could not be scored on your data." in page
    said = [one["verdict"] for one in alice.program.get("/api/v1/votes").json()["items"]]
    assert said[0].startswith("The advice is yes")


def test_a_verdict_says_whether_the_policy_allows_what_is_worse(
    ballot: dict[str, object], alice: Person, platform: Platform
) -> None:
    worse = "on your data the candidate does 0.3000 worse than its base"
    page = alice.browser.get("/votes").text
    assert f"There is no advice: {worse}, more than the 0.02 that the policy allows." in page
    with platform.writing() as db:
        db.scalars(select(Run)).one().spec = {"model": {"name": "unet"}, "policy": {"epsilon": 0.4}}
        first, second = db.scalars(select(Decision).order_by(Decision.round)).all()
        first.advice, second.advice = int(Choice.NO), int(Choice.YES)
    page = alice.browser.get("/votes").text
    assert f"The advice is yes: {worse}, within the 0.4 that the policy allows." in page
    assert "better than its base, but recomputing it gave something else." in page
    assert "<dt>Dice</dt>" in page
    assert "<dt>Base Dice</dt>" in page


def test_strangers_find_no_ballot(ballot: dict[str, object], stranger: Person) -> None:
    assert stranger.program.post("/api/v1/votes", json=ballot).status_code == 404
    assert stranger.program.get("/api/v1/votes").json()["items"] == []


def test_a_vote_stands(ballot: dict[str, object], alice: Person) -> None:
    assert alice.program.post("/api/v1/votes", json=ballot).status_code == 200
    again = alice.program.post("/api/v1/votes", json={**ballot, "choice": "no"})
    assert again.status_code == 409
    assert "voted already" in again.json()["error"]["message"]
