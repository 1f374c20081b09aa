"""The worker: a run that somebody asked for is prepared, driven, told and ended; nothing is done twice."""

from pathlib import Path

import pytest
from sqlalchemy import select
from tests.server.conftest import ENGINES
from tests.server.federation import federation, worker_until
from typer.testing import CliRunner

from foedus.client.cli import app
from foedus.client.status import run_status
from foedus.rounds.summary import summarise_run
from foedus.rounds.verify import verify_run
from foedus.server.db import ChainRun, Decision, Metric, Run, RunEvent
from foedus.server.platform import Platform

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("database_kind", ENGINES)
def test_a_run_is_driven_to_its_end_and_verified(platform: Platform, tmp_path: Path) -> None:
    federation(platform, tmp_path, rounds=2)
    worker_until(platform, lambda db: db.scalars(select(Run)).one().is_over)
    with platform.reading() as db:
        run = db.scalars(select(Run)).one()
        assert (run.state, run.cause) == ("completed", "")
        assert (run.round, run.version) == (2, 2)
        kinds = set(db.scalars(select(RunEvent.kind)))
        assert {"state", "round", "task", "task-done", "registered", "voted", "round-ended"} <= kinds
        assert len(db.scalars(select(Metric).where(Metric.name == "loss")).all()) == 4
        assert run.score is not None
    worker_until(platform, lambda db: db.scalar(select(ChainRun.ended)) is not None)
    assert verify_run(platform.home, run.name).version == 2
    for command in (["status", run.name], ["chain", "events", "--run", run.name]):
        told = CliRunner().invoke(app, [*command, "--home", str(platform.home.root)])
        assert told.exit_code == 0, told.output


def test_a_run_that_is_cancelled_ends_on_the_chain(platform: Platform, tmp_path: Path) -> None:
    federation(platform, tmp_path, rounds=1000)
    worker_until(platform, lambda db: db.scalars(select(Run.round)).one() >= 1)
    with platform.writing() as db:
        run = db.scalars(select(Run)).one()
        assert run.lease_until is None, "a worker that stops in order gives its leases back"
        run.cancel_reason = "enough"
    worker_until(platform, lambda db: db.scalars(select(Run)).one().is_over)
    with platform.reading() as db:
        run = db.scalars(select(Run)).one()
        assert (run.state, run.cause) == ("cancelled", "enough")
        name = run.name
    found = summarise_run(platform.home, name), run_status(platform.home, name)
    assert [(one.state, one.reason) for one in found] == [("cancelled", "enough")] * 2


def test_members_are_asked_and_their_no_counts(platform: Platform, tmp_path: Path) -> None:
    federation(platform, tmp_path, rounds=1, asks_votes=True)
    worker_until(platform, lambda db: len(db.scalars(select(Decision)).all()) == 2)
    with platform.writing() as db:
        for decision in db.scalars(select(Decision)):
            assert decision.candidate
            decision.choice = 2  # no
    worker_until(platform, lambda db: db.scalars(select(Run)).one().is_over)
    with platform.reading() as db:
        assert db.execute(select(Run.version, Run.score)).one() == (0, None)
        assert db.scalars(select(Metric).where(Metric.name == "test_f1")).all(), "the candidate was tested"


def test_data_that_do_not_suit_end_the_run_with_the_reason(platform: Platform, tmp_path: Path) -> None:
    federation(platform, tmp_path, rounds=1, model="lenet-of-nowhere")
    worker_until(platform, lambda db: db.scalars(select(Run)).one().is_over)
    with platform.reading() as db:
        run = db.scalars(select(Run)).one()
        assert run.state == "failed"
        assert "lenet-of-nowhere" in run.cause


def test_a_run_that_is_cancelled_while_it_waits_never_starts(platform: Platform, tmp_path: Path) -> None:
    federation(platform, tmp_path, rounds=3)
    with platform.writing() as db:
        db.scalars(select(Run)).one().cancel_reason = "not now"
    worker_until(platform, lambda db: db.scalars(select(Run)).one().is_over)
    with platform.reading() as db:
        run = db.scalars(select(Run)).one()
        assert (run.state, run.cause, run.chain_run) == ("cancelled", "not now", None)
