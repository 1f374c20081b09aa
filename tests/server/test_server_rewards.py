"""Rewards are those that the contract paid, and are told to members only."""

import re

import pytest
from sqlalchemy import delete, inspect, select
from tests.server.chains import Story
from tests.server.people import Person

from foedus.core.records import WAD
from foedus.server.db import (
    ChainAnswer,
    ChainEvent,
    ChainRun,
    ChainStanding,
    Dataset,
    Project,
    Run,
    RunClient,
)
from foedus.server.index.standings import as_text
from foedus.server.pages.render import curve
from foedus.server.platform import Platform

API = "/api/v1/rewards"


def test_points_are_the_sums_of_what_the_chain_paid(alice: Person, story: Story, platform: Platform) -> None:
    with platform.reading() as db:
        paid = db.scalars(select(ChainEvent).filter_by(name="RewardPaid", project=1)).all()
    found = alice.program.get(API).json()
    assert sum(int(one["points"]) for one in found["items"]) == sum(e.args["amount"] for e in paid) > 0
    assert found["rounds"] == 3
    for one in found["items"]:
        assert (one["registrations"], one["paid"], one["votes"]) == (3, 1, 3)
        assert one["availability"] == 1.0


def test_newcomers_are_not_charged_with_rounds_before_they_came(
    alice: Person, story: Story, platform: Platform
) -> None:
    with platform.writing() as db:
        first = db.get_one(ChainRun, 1)
        db.add(_run_like(first, 91, 200))
        db.add(_run_like(first, 92, 4))
        project = db.scalars(select(Project).where(Project.slug == "lungs")).one()
        for name, number in (("lungs-1", 91), ("lungs-2", 92)):
            run = Run(name=name, project_id=project.id, created_by=alice.user.id, spec={}, algorithm="fedavg")
            run.rounds, run.chain_run = 9, number
            db.add(run)
        data = Dataset(owner_id=alice.user.id, name="d", kind="arrays", state="ready", request={})
        db.add(data)
        db.flush()
        mine = {"user_id": alice.user.id, "account": "a", "dataset_id": data.id}
        db.add(RunClient(run_id=run.id, client="dora", **mine))  # the newer run alone
        db.add(RunClient(run_id=run.id, client="emil", **mine))
        for place in (0, 92):
            db.add(
                ChainStanding(
                    project=1, run=place, client="dora", points=as_text(0), answered=3, votes=1, recent={}
                )
            )
        db.add(ChainStanding(project=1, run=0, client="emil", points=as_text(0), answered=0, recent={}))
    found = {one["client"]: one for one in alice.program.get(API).json()["items"]}
    assert found["dora"]["availability"] == 0.75
    assert found["emil"]["availability"] == 0.0  # asked, and silent
    assert found["alice"]["availability"] == 1.0
    of_run = alice.program.get(API, params={"project": "lungs", "run": "lungs-2"}).json()["items"]
    assert [(one["client"], one["availability"]) for one in of_run] == [("dora", 0.75)]
    text = alice.browser.get("/rewards").text
    assert "the runs that a member takes part in" in text
    assert "of those in this run" in alice.browser.get("/projects/lungs/rewards?run=lungs-2").text


def _run_like(run: ChainRun, number: int, ended_rounds: int) -> ChainRun:
    """Return another run of the same project, with so many rounds behind it."""
    names = [column.key for column in inspect(ChainRun).columns]
    same = {name: getattr(run, name) for name in names}
    return ChainRun(**{**same, "run": number, "ended_rounds": ended_rounds})


def test_ties_share_a_rank(alice: Person, story: Story, platform: Platform) -> None:
    points = {"anna": 5, "bert": 7, "carol": 5, "dora": 1}
    with platform.writing() as db:
        db.execute(delete(ChainStanding))
        db.add_all(
            ChainStanding(project=1, run=0, client=name, points=as_text(count * 10**18), recent={})
            for name, count in points.items()
        )
    found = alice.program.get(API).json()["items"]
    assert [(one["client"], one["rank"]) for one in found] == [
        ("bert", 1),
        ("anna", 2),
        ("carol", 2),
        ("dora", 4),
    ]
    narrowed = alice.program.get(API, params={"q": "dora"}).json()["items"]
    assert [(one["client"], one["rank"]) for one in narrowed] == [("dora", 4)]


def test_small_curve_stays_in_its_box() -> None:
    for values in ([0.0], [0.0, 0.0], [1.0, 0.5, 0.0]):
        found = re.search(r'points="([^"]*)"', curve(values))
        assert found is not None
        for point in found.group(1).split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 100
            assert 0 <= y <= 20
    assert curve([]) == "–"


def test_standings_are_what_answers_votes_and_rounds_add_up_to(story: Story, platform: Platform) -> None:
    with platform.reading() as db:
        for one in db.scalars(select(ChainStanding)):
            runs = select(ChainRun.run).where(ChainRun.project == one.project)
            theirs = [
                answer
                for answer in db.scalars(select(ChainAnswer).filter_by(client=one.client))
                if answer.run == one.run or (one.run == 0 and answer.run in db.scalars(runs).all())
            ]
            assert int(one.points) == sum(int(answer.paid) for answer in theirs)
            assert one.registrations == sum(answer.cid is not None for answer in theirs)
            assert one.paid == sum(answer.paid_at is not None for answer in theirs)
            places = {f"{one.run}/{one.round}/{one.step}": int(one.paid) / WAD for one in theirs}
            assert one.recent == places


def test_leaderboard_is_a_list_like_all_others(alice: Person, story: Story) -> None:
    csv = alice.browser.get("/projects/lungs/rewards?format=csv").text.splitlines()
    assert csv[0].startswith("rank,client,project,points,")
    assert len(csv) == 4
    assert alice.browser.get("/rewards?format=json").json()["total"] == 3
    first = alice.program.get(API, params={"size": 2, "sort": "-votes"}).json()
    rest = alice.program.get(API, params={"size": 2, "sort": "-votes", "after": first["next"]}).json()
    names = {one["client"] for one in (*first["items"], *rest["items"])}
    assert names == {"alice", "bob", "carol"}
    assert alice.browser.get("/rewards?sort=nonsense").status_code == 422


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
    assert '<option value="lungs-1"' in alice.browser.get("/projects/lungs/rewards").text
    assert "Points in this run" in alice.browser.get("/projects/lungs/rewards?run=lungs-1").text
    led = alice.browser.get("/rewards?run=lungs-1")
    assert (led.status_code, led.headers["location"]) == (303, "/projects/lungs/rewards?run=lungs-1")
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
