"""Numbers and events of a run: for members, in order, resumed after an id."""

import math

import pytest
from sqlalchemy import select
from tests.server.people import Person

from foedus.server.db import Metric, Project, Run, RunEvent
from foedus.server.platform import Platform
from foedus.server.services.curves import CurveChart, curve_charts, thinned


def test_numbers_and_events_are_read_by_members_alone(
    project: str, alice: Person, stranger: Person, platform: Platform
) -> None:
    with platform.writing() as db:
        home = db.scalars(select(Project)).one()
        run = Run(name="r-1", project_id=home.id, created_by=alice.user.id, spec={}, algorithm="x", rounds=2)
        db.add(run)
        db.flush()
        for number in (1, 2):
            db.add(Metric(run_id=run.id, name="loss", client="", round=number, value=1 / number))
            db.add(RunEvent(run_id=run.id, kind="round", round=number, values={}))
    found = alice.program.get("/api/v1/runs/r-1/metrics?first=2").json()["items"]
    assert [(one["round"], one["value"]) for one in found] == [(2, 0.5)]
    events = alice.program.get("/api/v1/runs/r-1/events").json()["items"]
    later = alice.program.get(f"/api/v1/runs/r-1/events?after={events[0]['id']}").json()["items"]
    assert [one["round"] for one in later] == [2]
    for part in ("metrics", "events"):
        assert stranger.program.get(f"/api/v1/runs/r-1/{part}").status_code == 404


def fill(platform: Platform, alice: Person, clients: int, rounds: int) -> None:
    """Insert a run `r-1` with four numbers of each round; round 501 is by far the best, round 7 the worst."""
    with platform.writing() as db:
        home = db.scalars(select(Project)).one()
        run = Run(
            name="r-1", project_id=home.id, created_by=alice.user.id, spec={}, algorithm="x", rounds=rounds
        )
        db.add(run)
        db.flush()
        for number in range(1, rounds + 1):
            value = {501: 0.001, 7: 99.0}.get(number, 1 + math.sin(number))
            whose = [(name, f"site-{one}") for name in ("loss", "f1") for one in range(clients)]
            for name, client in (*whose, ("test_f1", ""), ("test_accuracy", "")):
                db.add(Metric(run_id=run.id, name=name, client=client, round=number, value=value))


def charts(platform: Platform) -> list[CurveChart]:
    with platform.reading() as db:
        return curve_charts(db, db.scalars(select(Run)).one())


@pytest.mark.slow
@pytest.mark.parametrize("clients", [2, 20])
def test_a_thousand_rounds_are_a_small_page_that_keeps_the_best_and_the_worst_one(
    clients: int, project: str, alice: Person, platform: Platform
) -> None:
    fill(platform, alice, clients, 1000)
    page = alice.browser.get("/runs/r-1/curves")
    assert page.status_code == 200
    assert len(page.content) < 200_000
    for chart in charts(platform):
        rounds = chart.values["x"]
        assert {1, 7, 501, 1000} <= set(rounds)
        assert rounds == sorted(set(rounds))
        assert 90 < len(rounds) <= 402
        assert all(len(line["values"]) == len(rounds) for line in chart.values["series"])


@pytest.mark.parametrize(("model", "name"), [("cnn", "F1"), ("unet", "Dice"), ("surrogate", "R²")])
def test_scores_are_called_by_what_the_model_learns(
    model: str, name: str, project: str, alice: Person, platform: Platform
) -> None:
    fill(platform, alice, 2, 3)
    with platform.writing() as db:
        run = db.scalars(select(Run)).one()
        run.spec, run.score = {"model": {"name": model}}, 0.5
    page = alice.browser.get("/runs/r-1/curves").text
    assert f"{name} of the merged models on the test set" in page
    assert f'{name} 0.5000</span> <span class="muted">test set' in alice.browser.get("/runs/r-1").text
    assert "Test score" in alice.browser.get("/runs").text
    assert {chart.values["y_name"] for chart in charts(platform)} == {"loss", "accuracy", name}


def test_short_runs_are_drawn_whole_with_mean_range_and_each_client(
    project: str, alice: Person, platform: Platform
) -> None:
    fill(platform, alice, 2, 9)
    loss = charts(platform)[0]
    assert loss.values["x"] == list(range(1, 10))
    assert [line["name"] for line in loss.values["series"]] == ["mean of clients", "site-0", "site-1"]
    assert loss.values["band"]["low"] == loss.values["band"]["high"]
    assert len(loss.rows) == 9


def test_of_many_clients_mean_and_range_are_drawn(project: str, alice: Person, platform: Platform) -> None:
    fill(platform, alice, 21, 2)
    loss = charts(platform)[0]
    assert [line["name"] for line in loss.values["series"]] == ["mean of clients"]
    assert "band" in loss.values


def test_a_loss_that_overflowed_is_left_out(project: str, alice: Person, platform: Platform) -> None:
    fill(platform, alice, 1, 2)
    with platform.writing() as db:
        db.scalars(select(Metric).where(Metric.name == "loss", Metric.round == 2)).one().value = math.inf
    loss = charts(platform)[0]
    assert (loss.values["x"], loss.values["series"][0]["values"]) == ([1, 2], [pytest.approx(1.8415), None])
    assert loss.rows == [(1, pytest.approx(1.8415)), (2, None)]
    assert loss.summary == "From 1.841 in round 1 to 1.841 in round 1"
    assert alice.browser.get("/runs/r-1/curves").status_code == 200


def test_charts_have_all_rounds_in_common_and_what_lacks_is_a_gap(
    project: str, alice: Person, platform: Platform
) -> None:
    fill(platform, alice, 2, 9)
    with platform.writing() as db:
        for name, rounds in (("test_f1", [1, 4, 5, 9]), ("f1", [3])):
            for one in db.scalars(select(Metric).where(Metric.name == name, Metric.round.in_(rounds))):
                db.delete(one)
    drawn = [chart.values for chart in charts(platform)]
    assert [values["x"] for values in drawn] == [list(range(1, 10))] * 4
    _, local, _, merged_models = drawn
    merged = merged_models["series"][0]["values"]
    assert [number for number, value in enumerate(merged, 1) if value is None] == [1, 4, 5, 9]
    for values in (*(line["values"] for line in local["series"]), *local["band"].values()):
        assert [number for number, value in enumerate(values, 1) if value is None] == [3]


def test_long_charts_keep_their_best_and_worst_rounds_and_their_long_gaps() -> None:
    known = {number: math.sin(number) for number in range(1, 1001) if number % 7 and not 300 < number <= 400}
    kept = thinned(known, range(1, 1003), 100)
    assert {1, 1002, min(known, key=known.__getitem__), max(known, key=known.__getitem__)} <= set(kept)
    assert kept == sorted(set(kept))
    assert len(kept) <= 102
    gaps = [number for number in kept if number not in known]
    assert gaps
    assert all(300 < number <= 400 for number in gaps if number != 1002)
