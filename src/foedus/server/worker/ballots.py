"""Asks people how they vote, where their project wants that, and casts what they say."""

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import select

from foedus.core.ids import ClientId
from foedus.core.records import SCORE_SCALE, Choice, RoundView, Rules
from foedus.rounds.machine import HOLD_SHARE, Vote
from foedus.rounds.rules import vote_for
from foedus.server.db import Decision, Identity, User
from foedus.server.db.accounts import DEMO_SITES
from foedus.server.platform import Platform
from foedus.server.worker.leases import Lease

_LONGEST_WAIT_S: Final = (
    3600.0  # of block time before a deadline in which the advice is followed at the latest
)


class Ballots:
    """The questions of one run to its clients, each a person."""

    def __init__(
        self, platform: Platform, lease: Lease, users: Mapping[ClientId, int], clock: Callable[[], float]
    ) -> None:
        self._platform, self._lease, self._users, self._clock = platform, lease, users, clock

    def vote(self, client: ClientId, view: RoundView, advice: Vote, rules: Rules) -> Vote | None:
        """Return the vote of a client, None while it has not answered.

        Shortly before the deadline the advice is followed: an absent member must not hold the others up. The
        demo's members follow it at once, for nobody can sign in to them.
        """
        if client in DEMO_SITES and self._is_nobodys(client):
            return advice
        is_late = self._clock() > view.deadline - min(HOLD_SHARE * rules.vote_s, _LONGEST_WAIT_S)
        choice = self._answer(client, view, advice)
        if choice is None:
            return advice if is_late else None
        is_allowed = vote_for(advice.score_ppb, advice.base_score_ppb, rules.epsilon_ppb) is Choice.YES
        if choice is Choice.YES and not is_allowed:
            return advice  # the contract would refuse a yes
        return Vote(choice, advice.score_ppb, advice.base_score_ppb)

    def _is_nobodys(self, client: ClientId) -> bool:
        with self._platform.reading() as db:
            user = db.get(User, self._users[client])
            known = db.scalar(select(Identity.id).where(Identity.user_id == self._users[client]).limit(1))
            return user is not None and user.password_hash is None and known is None

    def _answer(self, client: ClientId, view: RoundView, advice: Vote) -> Choice | None:
        user, run = self._users[client], self._lease.id
        known = select(Decision).where(
            Decision.run_id == run, Decision.round == view.number, Decision.user_id == user
        )
        with self._platform.reading() as db:
            found = db.scalar(known)
        if found is not None and found.candidate == str(view.candidate):
            return None if found.choice is None else Choice(found.choice)
        with self._platform.writing() as db:
            self._lease.require(db)
            decision = db.scalar(known) or Decision(run_id=run, round=view.number, user_id=user)
            decision.candidate, decision.advice = str(view.candidate), int(advice.choice)
            decision.score = advice.score_ppb / SCORE_SCALE
            decision.base_score = advice.base_score_ppb / SCORE_SCALE
            decision.choice, decision.deadline = None, view.deadline
            db.add(decision)
        return None
