"""Rewards are those that the contract paid, and are told to members only."""

import pytest
from sqlalchemy import select
from tests.server.chains import Story
from tests.server.people import Person

from foedus.server.db import ChainAnswer, ChainEvent, ChainRun
from foedus.server.platform import Platform
from foedus.server.services.rewards import Standing, _ranked

API = "/api/v1/rewards"


def standing(client: str, points: int) -> Standing:
    """A place of somebody with so many points."""
    return Standing(0, "lungs", client, points, points, 1, 1, 1, 1.0, [0.5])


def test_points_are_the_sums_of_what_the_chain_paid(alice: Person, story: Story, platform: Platform) -> None:
    with platform.reading() as db:
        paid = db.scalars(select(ChainEvent).filter_by(name="RewardPaid", project=1)).all()
    found = alice.program.get(API).json()
    assert sum(int(one["points"]) for one in found["items"]) == sum(e.args["amount"] for e in paid) > 0
    assert found["rounds"] == 3
    for one in found["items"]:
        assert (one["registrations"], one["paid"], one["votes"]) == (3, 1, 3)
        assert one["availability"] == 1.0


def test_ties_share_a_rank() -> None:
    ranked = _ranked([standing("a", 5), standing("b", 7), standing("c", 5), standing("d", 1)])
    assert [(one.client, one.rank) for one in ranked] == [("b", 1), ("a", 2), ("c", 2), ("d", 4)]


def test_small_curve_stays_in_its_box() -> None:
    for sparks in ([], [0.0], [0.0, 0.0], [1.0, 0.5, 0.0]):
        one = Standing(1, "p", "c", 0, 0, 0, 0, 0, None, sparks)
        for point in one.polyline.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 100
            assert 0 <= y <= 20


def test_each_reward_leads_to_its_transaction(alice: Person, story: Story, platform: Platform) -> None:
    items = alice.program.get(f"{API}/paid").json()["items"]
    assert len(items) == 3
    with platform.reading() as db:
        for item in items:
            names = db.scalars(select(ChainEvent.name).filter_by(tx=item["tx"])).all()
            assert "RewardPaid" in names
    page = alice.browser.get("/rewards/paid")
    assert f"/chain/transactions/{items[0]['tx']}" in page.text
    assert alice.browser.get("/rewards/paid?format=csv").text.startswith("client,paid,")
    first = alice.program.get(f"{API}/paid?size=2").json()
    rest = alice.program.get(f"{API}/paid", params={"size": 2, "after": first["next"]}).json()
    assert len(first["items"]) + len(rest["items"]) == 3


@pytest.mark.parametrize("path", ["/rewards", "/projects/lungs/rewards"])
def test_page_shows_the_rule_and_the_places(path: str, alice: Person, story: Story) -> None:
    page = alice.browser.get(path)
    assert page.status_code == 200
    assert "passed the gate" in page.text
    assert "<polyline" in page.text
    assert "carol" in page.text


def test_run_has_points_of_its_own(alice: Person, story: Story, platform: Platform) -> None:
    with platform.writing() as db:
        run = db.get(ChainRun, 1)
        assert run is not None
        run.name = "lungs-1"
    found = alice.program.get(API, params={"project": "lungs", "run": "lungs-1"}).json()
    assert found["run"] == "lungs-1"
    assert len(found["items"]) == 3
    assert '<option value="lungs-1">' in alice.browser.get("/projects/lungs/rewards").text
    assert "Points in this run" in alice.browser.get("/rewards?run=lungs-1").text
    assert alice.program.get(API, params={"run": "nothing"}).status_code == 404


def test_before_the_first_round_there_is_nothing(alice: Person, project: str) -> None:
    page = alice.browser.get("/rewards").text
    assert "no rewards before the first round" in page


def test_strangers_learn_nothing(stranger: Person, story: Story, platform: Platform) -> None:
    assert stranger.program.get(API).json()["items"] == []
    assert stranger.program.get(f"{API}/paid").json()["total"] == 0
    missing = stranger.program.get(API, params={"project": "nothing"})
    theirs = stranger.program.get(API, params={"project": "lungs"})
    assert (theirs.status_code, theirs.json()) == (404, missing.json())
    assert stranger.browser.get("/projects/lungs/rewards").status_code == 404
    with platform.reading() as db:
        client = db.scalars(select(ChainAnswer.client)).first()
    assert client is not None
    assert client not in stranger.browser.get("/rewards").text
