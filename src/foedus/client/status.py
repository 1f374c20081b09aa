"""Where runs stand: read from the chain's file and the job folders, also while another process works."""

import fcntl
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from foedus.core.errors import FoedusError
from foedus.core.records import SCORE_SCALE, Choice, Event, Phase, RoundView
from foedus.learn.choices import score_words
from foedus.learn.score_words import UNKNOWN
from foedus.rounds.home import Home

if TYPE_CHECKING:
    from foedus.rounds.view import Outcome, RunView

DAMAGED: Final = "damaged"
"""The state of a run whose spec cannot be read."""


@dataclass(frozen=True, slots=True)
class RoundStatus:
    """One round as it ended, or as it stands. Scores lie in [0, 1]; test scores are the candidate's."""

    round: int
    outcome: str  # open | aggregating | voting | accepted | rejected | empty
    version: int  # of the global model, after the round
    clients: int
    local_f1: Mapping[str, float]  # of the registered updates, on the clients' own validation data
    declined: Mapping[str, str]  # client -> reason
    votes: Mapping[str, int]  # yes | no | abstain -> how many
    rewards: Mapping[str, int]  # client -> reward in 1e-18, of accepted rounds
    candidate: str | None
    test_accuracy: float | None
    test_f1: float | None


@dataclass(frozen=True, slots=True)
class RunStatus:
    """One run. `state` is `new`, `running`, `interrupted`, `damaged`, `completed` or `cancelled`."""

    name: str
    state: str
    rounds: int  # that the run shall have
    clients: tuple[str, ...] = ()
    version: int = 0  # of the current global model
    model: str | None = None  # CID of its manifest
    accuracy: float | None = None  # of the current global model on the project's test set
    f1: float | None = None
    score_name: str = UNKNOWN.name  # what `f1` is of this model: F1, Dice, R²
    started_at: int | None = None  # seconds since 1970
    changed_at: int | None = None
    history: Sequence[RoundStatus] = field(default_factory=list)  # rounds that ended
    under_way: RoundStatus | None = None
    reason: str = ""  # why it was cancelled

    @property
    def in_words(self) -> str:
        """The state, with the reason beside it where there is one."""
        return f"{self.state} ({self.reason})" if self.reason else self.state

    @property
    def has_ended(self) -> bool:
        """Whether the run will do nothing more."""
        return self.state not in ("new", "running", "interrupted")


def run_status(home: Home, name: str) -> RunStatus:
    """Return where a run stands. Raises `InvalidSpec` for an unknown run, `ChainDamaged`."""
    blank = _planned(home, name)
    return _status(home, blank, chain_events(home), process_at_work(home) is not None)


def all_statuses(home: Home) -> list[RunStatus]:
    """Return where every run of a home folder stands, oldest first. Raises `ChainDamaged`.

    A run whose spec cannot be read is `damaged`; `run_status` of it says why.
    """
    names = home.run_names()
    is_held = process_at_work(home) is not None
    events = chain_events(home) if names else []
    listed = []
    for name in names:
        try:
            blank = _planned(home, name)
        except FoedusError:
            listed.append(RunStatus(name, DAMAGED, rounds=0))
        else:
            listed.append(_status(home, blank, events, is_held))
    return listed


def chain_events(home: Home) -> list[Event]:
    """Return all events of the home folder's chain; none when there is no chain yet."""
    from foedus.chain import ChainReader

    if not home.chain.exists():
        return []
    reader = ChainReader.open(home.chain)
    try:
        return list(reader.events())
    finally:
        reader.close()


def process_at_work(home: Home) -> int | None:
    """Return the process that works in the home folder, 0 if it left no number; None if there is none.

    The lock decides: the number may be that of a process in another container, or of none any more.
    """
    try:
        handle = os.open(home.root / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # given back at once
    except OSError:
        holder = os.pread(handle, 32, 0).strip()
        return int(holder) if holder.isdigit() else 0
    finally:
        os.close(handle)
    return None


def _planned(home: Home, name: str) -> RunStatus:
    """Return what a run shall be, as its spec says. Raises `FoedusError` when that is damaged."""
    from foedus.rounds.runs import load_run_spec

    try:
        spec = load_run_spec(home, name)
    except RecursionError as error:
        raise FoedusError(f"the spec of run {name} is damaged") from error
    return RunStatus(name, "new", spec.rounds, score_name=score_words(spec.model.name).name)


def _status(home: Home, blank: RunStatus, events: Sequence[Event], is_held: bool) -> RunStatus:
    from foedus.rounds.locate import locate
    from foedus.rounds.view import view_run

    name = blank.name
    numbers = locate(home, name, events)
    if numbers is None:
        return replace(blank, state="running") if is_held else blank
    number = numbers[1]
    view = view_run(events, number)
    history = [_ended_round(home, name, view, ended, outcome) for ended, outcome in view.history]
    accepted = [r for r in history if r.outcome == "accepted"]
    times = [event.block_time for event in events if event.args.get("run") == number]
    return replace(
        blank,
        state=view.ended or ("running" if is_held else "interrupted"),
        reason=view.reason,
        clients=tuple(view.clients),
        version=view.version,
        model=view.current,
        accuracy=accepted[-1].test_accuracy if accepted else None,
        f1=accepted[-1].test_f1 if accepted else None,
        started_at=min(times),
        changed_at=max(times),
        history=history,
        under_way=None if view.ended or view.round is None else _round(view.round, view.version, {}),
    )


def _ended_round(home: Home, name: str, run: "RunView", view: RoundView, outcome: "Outcome") -> RoundStatus:
    rewards = {str(client): amount for client, amount in outcome.rewards.items()}
    return _round(view, outcome.version, rewards, *_test_scores(home, name, view))


def _round(
    view: RoundView,
    version: int,
    rewards: Mapping[str, int],
    accuracy: float | None = None,
    f1: float | None = None,
) -> RoundStatus:
    choices = [ballot.choice for ballot in view.ballots]
    return RoundStatus(
        round=view.number,
        outcome=view.phase.name.lower(),
        version=version,
        clients=len(view.electorate),
        local_f1={str(r.client): r.score_ppb / SCORE_SCALE for r in view.registrations},
        declined={str(client): reason for client, reason in view.declined.items()},
        votes={choice.name.lower(): choices.count(choice) for choice in Choice},
        rewards=rewards,
        candidate=view.candidate,
        test_accuracy=accuracy,
        test_f1=f1,
    )


def _test_scores(home: Home, name: str, view: RoundView) -> tuple[float | None, float | None]:
    """Return accuracy and score that the aggregating client measured: on no chain, so they may be gone."""
    from foedus.launch import JobFolder
    from foedus.rounds.documents import MergeResult

    if view.proposer is None or view.phase not in (Phase.VOTING, Phase.ACCEPTED, Phase.REJECTED):
        return None, None
    step = home.runs / name / "jobs" / f"r{view.number:05d}.{view.step}"
    with suppress(FoedusError, OSError):
        found = JobFolder(step / f"{view.proposer}.aggregate").read_result()
        result = MergeResult.from_json(found, "the result of an aggregate task")
        if result.candidate == view.candidate and result.test is not None:
            return result.test.accuracy, result.test.f1
    return None, None
