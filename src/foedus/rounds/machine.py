"""The round state machine: what one client should do next. Pure: no clock, no I/O, no randomness.

`advance` looks at what the chain says (`RoundView`) and at what this client knows of its own tasks
(`LocalFacts`) and returns the actions that are due. It remembers nothing, so it may be asked again at any
time, by any process, after any crash: an action whose effect is already visible is not returned again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from foedus.core.ids import Cid, ClientId
from foedus.core.records import Choice, JobState, Phase, RoundView, Rules, TaskKind
from foedus.rounds.rules import gate_passes, vote_for


@dataclass(frozen=True, slots=True)
class Trained:
    """What a finished train task says (Algorithm 1)."""

    num_examples: int
    score_ppb: int  # local model, own validation split
    base_score_ppb: int  # base, own validation split
    has_moved: bool  # the update differs from its base
    is_above_floor: bool  # score on the shared evaluation set >= floor_ratio * the base's


@dataclass(frozen=True, slots=True)
class Merged:
    """What a finished aggregate or verify task says (Algorithms 4 and 5)."""

    candidate: Cid  # manifest this client computed
    is_empty: bool  # no registered update could be used
    score_ppb: int
    base_score_ppb: int
    is_scored: bool = True  # else this client merged, but could not score


@dataclass(frozen=True, slots=True)
class TaskFact:
    """State of one of this client's tasks in this step; `cause` in words when it failed.

    `is_own_failure`: the task itself said so, else something happened to its batch job.
    """

    state: JobState
    trained: Trained | None = None
    merged: Merged | None = None
    cause: str = ""
    is_own_failure: bool = True


@dataclass(frozen=True, slots=True)
class LocalFacts:
    """What one client knows beside the chain.

    `peers_busy`: another client driven by the same process still works towards the same kind of transaction.
    Such a process sends the registrations (and votes) of its clients together, in client order, which makes
    blocks, rewards and therefore models the same in every repetition.
    """

    tasks: Mapping[TaskKind, TaskFact] = field(default_factory=dict)
    peers_busy: bool = False
    is_drawn: bool = True  # whether this client trains in this round (see `foedus.rounds.sampling`)


@dataclass(frozen=True, slots=True)
class Launch:
    """Start this task as a batch job."""

    kind: TaskKind


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop this task: its result would come too late."""

    kind: TaskKind


@dataclass(frozen=True, slots=True)
class Register:
    """Put the update into the store and register its CID (Algorithm 3)."""

    trained: Trained


@dataclass(frozen=True, slots=True)
class Decline:
    """Say that there will be no update from this client in this step, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Close:
    """End a step whose time is over: its registrations, or the turns to aggregate."""


@dataclass(frozen=True, slots=True)
class Propose:
    """Put the merged model into the store and propose its CID."""

    candidate: Cid


@dataclass(frozen=True, slots=True)
class Vote:
    """Answer the ballot (Algorithm 5)."""

    choice: Choice
    score_ppb: int
    base_score_ppb: int


@dataclass(frozen=True, slots=True)
class Finalize:
    """Count the ballot after its deadline."""


Action: TypeAlias = Launch | Cancel | Register | Decline | Close | Propose | Vote | Finalize

HOLD_SHARE = 0.1  # of the deadline: that long before it, nobody waits for the others any more


def advance(
    view: RoundView, rules: Rules, beta_ppb: int, me: ClientId, facts: LocalFacts, now: int
) -> list[Action]:
    """Return what client `me` should do now.

    `now` is block time in seconds; `beta_ppb` is the gate's threshold as the contract eased it so far.
    """
    if view.phase is Phase.OPEN:
        return _while_open(view, rules, beta_ppb, me, facts, now)
    if view.phase is Phase.AGGREGATING:
        return _while_aggregating(view, rules, me, facts, now)
    if view.phase is Phase.VOTING:
        return _while_voting(view, rules, me, facts, now)
    return []


def whose_turn(view: RoundView, vote_s: int, now: int) -> ClientId:
    """Return who may propose: by turn, the next in line after each `vote_s` since the step closed."""
    passed = max(0, now - view.closed_at) // vote_s
    return view.turn_order[passed % len(view.turn_order)]


def _while_open(
    view: RoundView, rules: Rules, beta_ppb: int, me: ClientId, facts: LocalFacts, now: int
) -> list[Action]:
    if now > view.deadline:
        cancel: list[Action] = [Cancel(TaskKind.TRAIN)] if _is_busy(facts, TaskKind.TRAIN) else []
        return [*cancel, Close()]
    if me not in view.electorate or me in view.declined or any(r.client == me for r in view.registrations):
        return []
    task = facts.tasks.get(TaskKind.TRAIN)
    if task is None:
        return [Launch(TaskKind.TRAIN)] if facts.is_drawn else []
    if not task.state.is_final or (facts.peers_busy and _may_wait(view, rules, now)):
        return []
    if task.trained is None:
        return [Decline(f"task failed: {task.cause}")]
    refusal = _gate_refusal(task.trained, view, rules, beta_ppb)
    return [Decline(refusal)] if refusal else [Register(task.trained)]


def _gate_refusal(trained: Trained, view: RoundView, rules: Rules, beta_ppb: int) -> str:
    """Return why Algorithm 2 refuses the update, or an empty string."""
    if trained.num_examples <= 0:
        return "samples: no training examples"
    if view.step < rules.steps:  # gate only at the last exchange of a round
        return ""
    if not trained.has_moved:
        return "gate: the update equals its base"
    if not trained.is_above_floor:
        return "gate: below the floor on the shared evaluation set"
    if not gate_passes(trained.score_ppb, trained.base_score_ppb, beta_ppb, rules.gate_mode):
        return f"gate: {trained.score_ppb / 1e9:.4f} against {trained.base_score_ppb / 1e9:.4f}"
    return ""


def _while_aggregating(
    view: RoundView, rules: Rules, me: ClientId, facts: LocalFacts, now: int
) -> list[Action]:
    if now >= view.closed_at + len(view.turn_order) * rules.vote_s:
        return [Close()]  # everybody had a turn, and nobody could merge
    if me not in view.electorate:
        return []
    if whose_turn(view, rules.vote_s, now) != me:
        return [] if _merge_task(facts) else [Launch(TaskKind.VERIFY)]
    task = facts.tasks.get(TaskKind.AGGREGATE)
    if task is None:
        return [Launch(TaskKind.AGGREGATE)]
    return [Propose(task.merged.candidate)] if task.merged else []


def _while_voting(view: RoundView, rules: Rules, me: ClientId, facts: LocalFacts, now: int) -> list[Action]:
    if now > view.deadline:
        return [Finalize()]
    if me not in view.electorate or any(b.client == me for b in view.ballots):
        return []
    task = _merge_task(facts)
    is_last_try = TaskKind.VERIFY in facts.tasks
    if task is None or (task.state.is_final and task.merged is None and not is_last_try):
        return [Launch(TaskKind.VERIFY)]
    if not task.state.is_final or (facts.peers_busy and _may_wait(view, rules, now)):
        return []
    return [_answer(task.merged, view, rules)]


def _answer(merged: Merged | None, view: RoundView, rules: Rules) -> Vote:
    """Algorithm 5. Without a result of our own we abstain; a candidate we cannot reproduce gets a no."""
    if merged is None:
        return Vote(Choice.ABSTAIN, 0, 0)
    if merged.candidate != view.candidate or merged.is_empty:
        return Vote(Choice.NO, merged.score_ppb, merged.base_score_ppb)
    if not merged.is_scored:
        return Vote(Choice.ABSTAIN, 0, 0)
    choice = vote_for(merged.score_ppb, merged.base_score_ppb, rules.epsilon_ppb)
    return Vote(choice, merged.score_ppb, merged.base_score_ppb)


def _merge_task(facts: LocalFacts) -> TaskFact | None:
    """The task whose result decides our vote: both kinds compute the same; prefer one that has a result."""
    found = [facts.tasks[k] for k in (TaskKind.AGGREGATE, TaskKind.VERIFY) if k in facts.tasks]
    return next((t for t in found if t.merged), next((t for t in found if not t.state.is_final), None)) or (
        found[0] if found else None
    )


def _is_busy(facts: LocalFacts, kind: TaskKind) -> bool:
    task = facts.tasks.get(kind)
    return task is not None and not task.state.is_final


def _may_wait(view: RoundView, rules: Rules, now: int) -> bool:
    length = rules.deadline_s if view.phase is Phase.OPEN else rules.vote_s
    return now < view.deadline - HOLD_SHARE * length
