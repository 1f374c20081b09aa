"""A chain in a few lines: the contract's round rules over plain records, for tests of the pure machine."""

from dataclasses import dataclass, field, replace

from foedus.core.ids import Cid, ClientId, TxHash
from foedus.core.records import (
    Ballot,
    Choice,
    GateMode,
    Phase,
    Registration,
    RoundView,
    Rules,
)
from foedus.rounds import machine
from foedus.rounds.machine import Action
from foedus.rounds.rules import ballot_accepts, gate_passes

NO_CID = Cid("")

RULES = Rules(
    rounds=100,
    steps=1,
    threshold=3,
    deadline_s=100,
    vote_s=20,
    gate_mode=GateMode.MARGIN,
    beta_ppb=10_000_000,
    epsilon_ppb=20_000_000,
)


@dataclass
class SimulatedChain:
    """Holds the truth; refuses what the contract would refuse by returning its reason."""

    clients: tuple[ClientId, ...]
    rules: Rules = RULES
    now: int = 1000
    version: int = 0
    view: RoundView = field(init=False)
    outcomes: list[Phase] = field(default_factory=list)
    log: list[tuple[int, int, ClientId, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._open(1, 1, Cid("v0"))

    @property
    def has_ended(self) -> bool:
        return len(self.outcomes) == self.rules.rounds

    def send(self, client: ClientId, action: Action, cid: Cid = NO_CID) -> str | None:
        """Apply one transaction; return the reason when it is refused."""
        apply = getattr(self, f"_{type(action).__name__.lower()}")
        step = (self.view.number, self.view.step)
        refusal: str | None = apply(client, action, cid)
        if refusal is None:
            self.log.append((*step, client, type(action).__name__))
        return refusal

    def _open(self, number: int, step: int, base: Cid) -> None:
        start = (number - 1) % len(self.clients)
        self.view = RoundView(
            number=number,
            step=step,
            phase=Phase.OPEN,
            base=base,
            opened_block=0,
            opened_at=self.now,
            deadline=self.now + self.rules.deadline_s,
            electorate=frozenset(self.clients),
            turn_order=self.clients[start:] + self.clients[:start],
        )

    def _register(self, client: ClientId, action: machine.Register, cid: Cid) -> str | None:
        view, trained = self.view, action.trained
        if view.phase is not Phase.OPEN or self.now > view.deadline:
            return "closed"
        if any(r.client == client for r in view.registrations):
            return "twice"
        if view.step == self.rules.steps and not gate_passes(
            trained.score_ppb, trained.base_score_ppb, self.rules.beta_ppb, self.rules.gate_mode
        ):
            return "gate"
        new = Registration(
            client,
            cid,
            trained.num_examples,
            trained.score_ppb,
            trained.base_score_ppb,
            0,
            TxHash("0x"),
            0,
            0,
        )
        self.view = replace(view, registrations=(*view.registrations, new))
        self._close_when_complete()
        return None

    def _decline(self, client: ClientId, action: machine.Decline, _: Cid) -> str | None:
        if self.view.phase is not Phase.OPEN or self.now > self.view.deadline:
            return "closed"
        self.view = replace(self.view, declined={**self.view.declined, client: action.reason})
        self._close_when_complete()
        return None

    def _close(self, client: ClientId, action: machine.Close, _: Cid) -> str | None:
        turns = len(self.clients) * self.rules.vote_s
        if self.view.phase is Phase.AGGREGATING and self.now >= self.view.closed_at + turns:
            self._end(Phase.EMPTY)
            return None
        if self.view.phase is not Phase.OPEN or self.now <= self.view.deadline:
            return "not yet"
        self._end_registrations()
        return None

    def _close_when_complete(self) -> None:
        view = self.view
        answers = len(view.registrations) + len(view.declined)
        if len(view.registrations) >= self.rules.threshold or answers == len(self.clients):
            self._end_registrations()

    def _end_registrations(self) -> None:
        if not self.view.registrations:
            self._end(Phase.EMPTY)
        else:
            self.view = replace(self.view, phase=Phase.AGGREGATING, closed_at=self.now)

    def _propose(self, client: ClientId, action: machine.Propose, _: Cid) -> str | None:
        if self.view.phase is not Phase.AGGREGATING:
            return "not aggregating"
        if machine.whose_turn(self.view, self.rules.vote_s, self.now) != client:
            return "not your turn"
        if self.view.step < self.rules.steps:
            self._open(self.view.number, self.view.step + 1, action.candidate)
            return None
        self.view = replace(
            self.view,
            phase=Phase.VOTING,
            candidate=action.candidate,
            proposer=client,
            deadline=self.now + self.rules.vote_s,
        )
        return None

    def _vote(self, client: ClientId, action: machine.Vote, _: Cid) -> str | None:
        if self.view.phase is not Phase.VOTING or self.now > self.view.deadline:
            return "no ballot"
        if any(b.client == client for b in self.view.ballots):
            return "twice"
        ballot = Ballot(client, action.choice, action.score_ppb, action.base_score_ppb, TxHash("0x"), 0)
        self.view = replace(self.view, ballots=(*self.view.ballots, ballot))
        if len(self.view.ballots) == len(self.clients):
            self._count()
        return None

    def _finalize(self, client: ClientId, action: machine.Finalize, _: Cid) -> str | None:
        if self.view.phase is not Phase.VOTING or self.now <= self.view.deadline:
            return "not yet"
        self._count()
        return None

    def _count(self) -> None:
        choices = [b.choice for b in self.view.ballots]
        yes, no, abstain = (choices.count(c) for c in (Choice.YES, Choice.NO, Choice.ABSTAIN))
        accepted = ballot_accepts(len(self.clients), yes, no, abstain)
        self._end(Phase.ACCEPTED if accepted else Phase.REJECTED)

    def _end(self, outcome: Phase) -> None:
        self.outcomes.append(outcome)
        base = self.view.base
        if outcome is Phase.ACCEPTED:
            assert self.view.candidate is not None
            self.version, base = self.version + 1, self.view.candidate
        self._open(self.view.number + 1, 1, base)
