"""What events mean for runs: one handler per event, over rows. The same meaning as `rounds.view` gives them.

The contract orders its events, so what a handler looks for is there; where it is not, the event passes by.
"""

from collections.abc import Callable
from typing import Final

from foedus.core.records import Choice, Event, GateMode, Phase, Role
from foedus.rounds.view import client_name
from foedus.server.db import ChainAnswer, ChainMember, ChainRound, ChainRun, ChainVersion, ChainVote
from foedus.server.index import standings
from foedus.server.index.rows import Rows, clean, number

_RULES: Final = ("rounds", "steps", "threshold", "deadline_s", "vote_s", "beta_ppb", "epsilon_ppb")
_EVENTS: Final = 10**6  # of a block, at most


def fold(rows: Rows, event: Event) -> None:
    """Change the rows as this event says."""
    handler = _HANDLERS.get(event.name)
    if handler is not None:
        handler(rows, event)


def _text(event: Event, name: str, length: int = 64) -> str:
    return clean(event.args[name], length)


def _run_of(rows: Rows, event: Event) -> ChainRun | None:
    return rows.get(ChainRun, int(event.args["run"]))


def _round_of(rows: Rows, event: Event) -> ChainRound | None:
    return rows.get(ChainRound, (int(event.args["run"]), int(event.args["round"])))


def _client(rows: Rows, event: Event, key: str) -> str:
    run = _run_of(rows, event)
    return rows.name_of(0 if run is None else run.project, str(event.args[key]))


def _member_set(rows: Rows, event: Event) -> None:
    project, address = int(event.args["project"]), str(event.args["account"])
    name = client_name(str(event.args["name"]), address)
    role = int(event.args["role"])
    member = rows.get(ChainMember, (project, address))
    if member is None:
        rows.put((project, address), ChainMember(project=project, address=address, name=name, role=role))
    else:
        member.name, member.role = name, role


def _run_started(rows: Rows, event: Event) -> None:
    rules = {name: number(event.args[name]) for name in _RULES}
    gate = GateMode(int(event.args["gate_mode"])).name.lower()
    run = ChainRun(
        run=int(event.args["run"]),
        project=int(event.args["project"]),
        name="",
        terms=_text(event, "terms"),
        version0=_text(event, "version0"),
        rules={**rules, "gate_mode": gate},
        round=0,
        version=0,
        current=_text(event, "version0"),
        ended_rounds=0,
        started_at=event.block_time,
    )
    rows.put(run.run, run)
    _add_version(rows, event, run.run, 0, run.version0, 0, None)


def _add_version(
    rows: Rows, event: Event, run: int, version: int, cid: str, made_in: int, score_ppb: int | None
) -> None:
    new = ChainVersion(
        run=run,
        version=version,
        cid=cid,
        round=made_in,
        score_ppb=score_ppb,
        time=event.block_time,
        tx=event.tx,
    )
    rows.put((run, version), new)


def _round_opened(rows: Rows, event: Event) -> None:
    run = _run_of(rows, event)
    if run is None:
        return
    found, key = _round_of(rows, event), (run.run, int(event.args["round"]))
    run.round = key[1]
    if found is not None:  # a further step of the same round
        found.step, found.phase = int(event.args["step"]), int(Phase.OPEN)
        found.deadline, found.closed_at = number(event.args["deadline"]), None
        return
    opened = ChainRound(
        run=key[0],
        number=key[1],
        step=int(event.args["step"]),
        phase=int(Phase.OPEN),
        base=_text(event, "base"),
        electorate=_clients(rows, run.project),
        beta_ppb=int(run.rules["beta_ppb"]),
        opened_at=event.block_time,
        deadline=number(event.args["deadline"]),
        opened_block=event.block,
    )
    rows.put(key, opened)


def _clients(rows: Rows, project: int) -> int:
    return sum(one.role in (Role.MEMBER, Role.LEAD) for one in rows.all_of(ChainMember, project))


def _answer(
    rows: Rows,
    event: Event,
    *,
    cid: str | None = None,
    reason: str | None = None,
    examples: int = 0,
    score: int = 0,
    base_score: int = 0,
    reward: int = 0,
) -> None:
    place = int(event.args["run"]), int(event.args["round"]), int(event.args["step"])
    client = _client(rows, event, "client")
    new = ChainAnswer(
        run=place[0],
        round=place[1],
        step=place[2],
        client=client,
        cid=cid,
        reason=reason,
        num_examples=examples,
        score_ppb=score,
        base_score_ppb=base_score,
        reward=str(reward),
        paid="0",
        time=event.block_time,
        tx=event.tx,
    )
    rows.put((*place, client), new)
    standings.answered(rows, new)


def _registered(rows: Rows, event: Event) -> None:
    args = event.args
    _answer(
        rows,
        event,
        cid=_text(event, "cid"),
        examples=number(args["num_examples"]),
        score=number(args["score_ppb"]),
        base_score=number(args["base_score_ppb"]),
        reward=int(args["reward"]),
    )


def _declined(rows: Rows, event: Event) -> None:
    _answer(rows, event, reason=_text(event, "reason"))


def _step_closed(rows: Rows, event: Event) -> None:
    found, run = _round_of(rows, event), _run_of(rows, event)
    if found is not None and run is not None and int(event.args["registrations"]):
        found.phase, found.closed_at = int(Phase.AGGREGATING), event.block_time
        found.deadline = event.block_time + found.electorate * int(run.rules["vote_s"])  # of the last turn


def _proposed(rows: Rows, event: Event) -> None:
    found, run = _round_of(rows, event), _run_of(rows, event)
    if found is None or run is None or int(event.args["step"]) < int(run.rules["steps"]):
        return  # an exchange on the way: the next step opens at once
    found.phase, found.proposed_at = int(Phase.VOTING), event.block_time
    found.candidate, found.proposer = _text(event, "cid"), _client(rows, event, "proposer")
    found.electorate, found.deadline = number(event.args["electorate"]), number(event.args["deadline"])


def _voted(rows: Rows, event: Event) -> None:
    run, round_, client = int(event.args["run"]), int(event.args["round"]), _client(rows, event, "voter")
    vote = ChainVote(
        run=run,
        round=round_,
        client=client,
        choice=int(event.args["choice"]),
        score_ppb=number(event.args["score_ppb"]),
        base_score_ppb=number(event.args["base_score_ppb"]),
        time=event.block_time,
        tx=event.tx,
    )
    rows.put((run, round_, client), vote)
    standings.voted(rows, vote)


def _finalized(rows: Rows, event: Event) -> None:
    run, found = _run_of(rows, event), _round_of(rows, event)
    if run is None or found is None:
        return
    found.phase, found.ended_at, found.ended_tx = int(event.args["outcome"]), event.block_time, event.tx
    run.version, run.current = int(event.args["version"]), _text(event, "current")
    run.ended_rounds += 1
    standings.round_ended(rows, found)
    if found.phase == Phase.ACCEPTED:
        score = _mean_score(rows, found)
        _add_version(rows, event, run.run, run.version, run.current, found.number, score)


def _mean_score(rows: Rows, found: ChainRound) -> int | None:
    """Return the mean of the scores of those who voted yes or no."""
    votes = rows.all_of(ChainVote, found.run, found.number)
    scores = [one.score_ppb for one in votes if one.choice != Choice.ABSTAIN]
    return sum(scores) // len(scores) if scores else None


def _reward_paid(rows: Rows, event: Event) -> None:
    found = _round_of(rows, event)
    if found is None:
        return
    key = (found.run, found.number, found.step, _client(rows, event, "client"))
    answer, amount = rows.get(ChainAnswer, key), int(event.args["amount"])
    if answer is not None and amount > 0:
        answer.paid, answer.paid_at, answer.paid_tx = str(amount), event.block_time, event.tx
        answer.paid_place = event.block * _EVENTS + event.index
        standings.paid(rows, answer, amount)


def _gate_eased(rows: Rows, event: Event) -> None:
    run = _run_of(rows, event)
    if run is not None:
        run.rules = {**run.rules, "beta_ppb": number(event.args["beta_ppb"])}


def _run_ended(rows: Rows, event: Event) -> None:
    run = _run_of(rows, event)
    if run is not None:
        run.ended, run.ended_at = _text(event, "reason") or "completed", event.block_time


_HANDLERS: Final[dict[str, Callable[[Rows, Event], None]]] = {
    "MemberSet": _member_set,
    "RunStarted": _run_started,
    "RoundOpened": _round_opened,
    "Registered": _registered,
    "Declined": _declined,
    "StepClosed": _step_closed,
    "Proposed": _proposed,
    "Voted": _voted,
    "Finalized": _finalized,
    "RewardPaid": _reward_paid,
    "GateEased": _gate_eased,
    "RunEnded": _run_ended,
}
