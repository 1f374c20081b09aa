"""Whom a ballot waits for: people, and not the demo's members, to whom nobody can sign in."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from foedus.core.ids import ClientId
from foedus.core.records import Choice, RoundView, Rules
from foedus.rounds.machine import Vote
from foedus.server.db import Decision, Identity, Project, Run, User
from foedus.server.platform import Platform
from foedus.server.worker.ballots import Ballots
from foedus.server.worker.leases import Lease

ADVICE = Vote(Choice.YES, 900_000_000, 800_000_000)


def asked(platform: Platform, name: str, **of_account: Any) -> Vote | None:  # noqa: ANN401 - columns
    """Ask the client of this name, long before the deadline, and return its vote."""
    with platform.writing() as db:
        identity = of_account.pop("identity", None)
        user = User(name=name, display_name=name, state="active", **of_account)
        project = Project(slug="digits", title="Digits", draft={})
        db.add_all([user, project])
        db.flush()
        if identity:
            db.add(Identity(user_id=user.id, issuer=identity, subject=name))
        run = Run(
            name="digits-1", project_id=project.id, created_by=user.id, spec={}, algorithm="fedavg", rounds=3
        )
        db.add(run)
        db.flush()
        ids = (run.id, user.id)
    lease = cast(Lease, SimpleNamespace(id=ids[0], require=lambda db: None))
    view = cast(RoundView, SimpleNamespace(number=1, candidate="baf", deadline=1000))
    rules = cast(Rules, SimpleNamespace(vote_s=600, epsilon_ppb=0))
    ballots = Ballots(platform, lease, {ClientId(name): ids[1]}, lambda: 0.0)
    return ballots.vote(ClientId(name), view, ADVICE, rules)


def test_a_member_of_the_demo_votes_as_advised_at_once(platform: Platform) -> None:
    assert asked(platform, "site-a") == ADVICE
    with platform.reading() as db:
        assert db.query(Decision).count() == 0


@pytest.mark.parametrize(
    ("name", "of_account"),
    [("alice", {}), ("site-a", {"password_hash": "x"}), ("site-a", {"identity": "https://id.example"})],
)
def test_people_are_asked_whatever_they_are_called(
    name: str, of_account: dict[str, str], platform: Platform
) -> None:
    assert asked(platform, name, **of_account) is None
