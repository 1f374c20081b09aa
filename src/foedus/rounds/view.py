"""What the chain says about one run, folded from the contract's events. Pure: no clock, no I/O."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypedDict

from foedus.core.ids import Cid, ClientId
from foedus.core.records import (
    Ballot,
    Choice,
    Event,
    GateMode,
    Phase,
    Registration,
    Role,
    RoundView,
    Rules,
)

_NO_CID = Cid("")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class _Members(TypedDict):
    electorate: frozenset[ClientId]
    turn_order: tuple[ClientId, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a round ended, and what its clients were paid."""

    phase: Phase
    version: int  # after the round
    current: Cid
    beta_ppb: int  # the gate's threshold in that round
    rewards: Mapping[ClientId, int] = field(default_factory=dict)  # WAD, only of accepted rounds


@dataclass(slots=True)
class RunView:
    """A run as the chain knows it. Feed it events in chain order with `apply`; read its fields between.

    Finished rounds are kept in `history` when `keep_history` is set (reports, verification); the driver of a
    long run does without, so that its memory does not grow.
    """

    run: int
    keep_history: bool = False
    project: int = 0
    terms: Cid = _NO_CID
    version0: Cid = _NO_CID
    rules: Rules | None = None
    version: int = 0
    current: Cid = _NO_CID
    names: dict[str, ClientId] = field(default_factory=dict)  # address -> client, all that ever were members
    roles: dict[str, Role] = field(default_factory=dict)  # address -> role now, in order of enrolment
    contributed: dict[ClientId, int] = field(default_factory=dict)  # client -> its last accepted round
    round: RoundView | None = None  # the step that is open, or the last one when the run has ended
    outcome: Outcome | None = None  # of the round that ended last
    history: list[tuple[RoundView, Outcome]] = field(default_factory=list)
    exchanges: list[RoundView] = field(
        default_factory=list
    )  # that rounds of several steps had before the last
    beta_ppb: int = 0  # the gate's threshold now; the contract eases it when nobody passes
    round_beta_ppb: int = 0  # as it was when the round opened
    ended: Literal["completed", "cancelled"] | None = None
    reason: str = ""  # why it was cancelled, in whatever words the lead chose

    @property
    def clients(self) -> tuple[ClientId, ...]:
        """The members who hold data now, in order of enrolment."""
        return tuple(self.names[a] for a, role in self.roles.items() if role in (Role.MEMBER, Role.LEAD))

    def apply_all(self, events: Iterable[Event]) -> None:
        """Apply events in chain order."""
        for event in events:
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Apply one event; those of other runs and projects pass by unseen."""
        handler = _HANDLERS.get(event.name)
        if handler is not None and self._concerns_us(event):
            handler(self, event)

    def _concerns_us(self, event: Event) -> bool:
        if "run" in event.args:
            return event.args["run"] == self.run
        return self.project == 0 or event.args.get("project") == self.project

    def _open(self) -> RoundView:
        assert self.round is not None, "the contract opens a round before anything happens in it"
        return self.round


def find_run(events: Iterable[Event], name: str) -> tuple[int, int] | None:
    """Return (project, run) of the run that is called `name` on the chain, or None when it is not there.

    Each run has a project of its own, which carries its name.
    """
    project = None
    for event in events:
        if event.name == "ProjectCreated" and event.args["name"] == name and project is None:
            project = int(event.args["project"])
        elif event.name == "RunStarted" and project is not None and event.args["project"] == project:
            return int(event.args["project"]), int(event.args["run"])
    return None


def view_run(events: Iterable[Event], run: int, keep_history: bool = True) -> RunView:
    """Fold all events of the chain into the view of one run. Raises LookupError when there is no such run."""
    listed = list(events)
    projects = (e.args["project"] for e in listed if e.name == "RunStarted" and e.args["run"] == run)
    project = next(projects, None)
    if project is None:
        raise LookupError(f"the chain has no run {run}")
    view = RunView(run, keep_history=keep_history, project=int(project))
    view.apply_all(listed)
    return view


# --- one handler per event ---


def _member_set(view: RunView, event: Event) -> None:
    address = str(event.args["account"])
    view.names[address] = client_name(str(event.args["name"]), address)
    view.roles[address] = Role(int(event.args["role"]))
    if view.round is not None and view.round.phase in (Phase.OPEN, Phase.AGGREGATING):
        view.round = replace(view.round, **_members_now(view, view.round.number))


def client_name(name: str, address: str) -> ClientId:
    """Take the name from the chain where it is one; else make one, for anything may stand there."""
    return ClientId(name if _NAME.fullmatch(name) else f"member-{address[2:26].lower()}")


def _members_now(view: RunView, number: int) -> _Members:
    clients = view.clients
    start = (number - 1) % len(clients) if clients else 0
    return {"electorate": frozenset(clients), "turn_order": clients[start:] + clients[:start]}


def _run_started(view: RunView, event: Event) -> None:
    args = event.args
    view.terms, view.version0 = Cid(str(args["terms"])), Cid(str(args["version0"]))
    view.current = view.version0
    numbers = {
        name: int(args[name]) for name in ("rounds", "steps", "threshold", "deadline_s", "vote_s", "beta_ppb")
    }
    view.rules = Rules(
        **numbers, gate_mode=GateMode(int(args["gate_mode"])), epsilon_ppb=int(args["epsilon_ppb"])
    )
    view.beta_ppb = view.rules.beta_ppb


def _round_opened(view: RunView, event: Event) -> None:
    args = event.args
    number = int(args["round"])
    view.round_beta_ppb = view.beta_ppb
    if view.keep_history and int(args["step"]) > 1:
        view.exchanges.append(view._open())
    view.round = RoundView(
        number=number,
        step=int(args["step"]),
        phase=Phase.OPEN,
        base=Cid(str(args["base"])),
        opened_block=event.block,
        opened_at=event.block_time,
        deadline=int(args["deadline"]),
        **_members_now(view, number),
    )


def _registered(view: RunView, event: Event) -> None:
    args = event.args
    new = Registration(
        client=view.names[str(args["client"])],
        cid=Cid(str(args["cid"])),
        num_examples=int(args["num_examples"]),
        score_ppb=int(args["score_ppb"]),
        base_score_ppb=int(args["base_score_ppb"]),
        reward_wad=int(args["reward"]),
        tx=event.tx,
        block=event.block,
        block_time=event.block_time,
    )
    others = [r for r in view._open().registrations if r.client != new.client]
    ordered = tuple(sorted([*others, new], key=lambda r: r.client))
    declined = {client: why for client, why in view._open().declined.items() if client != new.client}
    view.round = replace(view._open(), registrations=ordered, declined=declined)


def _declined(view: RunView, event: Event) -> None:
    client = view.names[str(event.args["client"])]
    declined = {**view._open().declined, client: str(event.args["reason"])}
    view.round = replace(view._open(), declined=declined)


def _step_closed(view: RunView, event: Event) -> None:
    if view._open().registrations:
        view.round = replace(view._open(), phase=Phase.AGGREGATING, closed_at=event.block_time)


def _proposed(view: RunView, event: Event) -> None:
    args = event.args
    view.round = replace(
        view._open(),
        phase=Phase.VOTING,
        candidate=Cid(str(args["cid"])),
        proposer=view.names[str(args["proposer"])],
        deadline=int(args["deadline"]),
        electorate=frozenset(view.clients),
    )


def _voted(view: RunView, event: Event) -> None:
    args = event.args
    ballot = Ballot(
        client=view.names[str(args["voter"])],
        choice=Choice(int(args["choice"])),
        score_ppb=int(args["score_ppb"]),
        base_score_ppb=int(args["base_score_ppb"]),
        tx=event.tx,
        block=event.block,
    )
    ordered = tuple(sorted([*view._open().ballots, ballot], key=lambda b: b.client))
    view.round = replace(view._open(), ballots=ordered)


def _reward_paid(view: RunView, event: Event) -> None:
    assert view.outcome is not None, "rewards are paid after the round is finalized"
    paid = {**view.outcome.rewards, view.names[str(event.args["client"])]: int(event.args["amount"])}
    view.outcome = replace(view.outcome, rewards=paid)
    if view.keep_history:
        view.history[-1] = (view.history[-1][0], view.outcome)


def _finalized(view: RunView, event: Event) -> None:
    phase = Phase(int(event.args["outcome"]))
    view.version, view.current = int(event.args["version"]), Cid(str(event.args["current"]))
    view.round = replace(view._open(), phase=phase)
    if phase is Phase.ACCEPTED:
        view.contributed.update({r.client: view.round.number for r in view.round.registrations})
    view.outcome = Outcome(phase, view.version, view.current, view.round_beta_ppb)
    if view.keep_history:
        view.history.append((view.round, view.outcome))


def _gate_eased(view: RunView, event: Event) -> None:
    view.beta_ppb = int(event.args["beta_ppb"])


def _run_ended(view: RunView, event: Event) -> None:
    reason = str(event.args["reason"])
    if reason == "completed":
        view.ended = "completed"
    else:
        view.ended, view.reason = "cancelled", reason


_HANDLERS = {
    "MemberSet": _member_set,
    "RunStarted": _run_started,
    "RoundOpened": _round_opened,
    "Registered": _registered,
    "Declined": _declined,
    "StepClosed": _step_closed,
    "Proposed": _proposed,
    "Voted": _voted,
    "RewardPaid": _reward_paid,
    "Finalized": _finalized,
    "GateEased": _gate_eased,
    "RunEnded": _run_ended,
}
