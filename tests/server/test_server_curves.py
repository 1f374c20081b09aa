"""Numbers and events of a run: for members, in order, resumed after an id."""

from sqlalchemy import select
from tests.server.people import Person

from foedus.server.db import Metric, Project, Run, RunEvent
from foedus.server.platform import Platform


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
