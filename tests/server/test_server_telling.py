"""What a worker writes of a run: its score is that of the version in force, whatever was proposed since."""

import pytest
from sqlalchemy import select
from tests.server.chains import Story
from tests.server.people import Person

from foedus.core.ids import ClientId
from foedus.rounds.progress import Progress
from foedus.rounds.view import RunView
from foedus.server.db import Metric, Project, Run
from foedus.server.platform import Platform
from foedus.server.worker.leases import claim
from foedus.server.worker.telling import Teller


@pytest.fixture
def teller(platform: Platform, project: str, story: Story, alice: Person) -> Teller:
    """Writes of the story's run, whose rounds 1 and 3 were accepted and whose round 2 was not."""
    with platform.writing() as db:
        home = db.scalars(select(Project)).one()
        run = Run(name="r", project_id=home.id, created_by=alice.user.id, spec={}, algorithm="x", rounds=3)
        run.chain_run = 1
        db.add(run)
    lease = claim(platform, Run, Run.name == "r", "worker")
    assert lease is not None
    return Teller(platform, lease, lambda: None, lambda: 0.0)


def score(platform: Platform) -> float | None:
    with platform.reading() as db:
        return db.scalars(select(Run.score)).one()


def test_the_score_is_that_of_the_version_in_force(platform: Platform, alice: Person, teller: Teller) -> None:
    for number, tested, versions in ((1, 0.8, (None, 0.8)), (2, 0.9, (0.8, 0.8)), (3, 0.7, (0.8, 0.7))):
        teller.hear(Progress("task-done", number, ClientId("bob"), {"kind": "aggregate", "test_f1": tested}))
        teller.write(RunView(1, version=number // 2))
        assert score(platform) == versions[0], "the ballot has not accepted it"
        teller.hear(Progress("round-ended", number))
        teller.write(RunView(1, version=(number + 1) // 2))
        assert score(platform) == versions[1]
    with platform.reading() as db:
        tested = dict(db.execute(select(Metric.round, Metric.value)).all())
        assert tested == {1: 0.8, 2: 0.9, 3: 0.7}, "numbers of all candidates stay"
    page = alice.browser.get("/projects").text
    assert "Test score of the best run" in page
    assert "0.7000" in page


def test_a_worker_that_takes_over_writes_where_the_run_stands(platform: Platform, teller: Teller) -> None:
    with platform.writing() as db:
        run = db.scalars(select(Run)).one()
        db.add(Metric(run_id=run.id, name="test_f1", client="", round=3, value=0.7))
    teller.write(RunView(1, version=2))
    with platform.reading() as db:
        assert db.execute(select(Run.version, Run.score)).one() == (2, 0.7)
