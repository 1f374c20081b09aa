"""From what a client should do to what is sent: transactions for the contract, orders for job folders."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from foedus.core.ids import Cid, ClientId
from foedus.core.records import Call, Event, RoundView, TaskKind, Value
from foedus.rounds import machine
from foedus.rounds.documents import MergeOrder, TrainOrder, UpdateEntry
from foedus.rounds.machine import Action
from foedus.rounds.spec import CHECKPOINT_S
from foedus.rounds.view import RunView

TEXT_BYTES = 64  # what the contract's short texts hold

_ANYBODY = "anybody"
_MARKS = {  # event -> function that causes it, argument that says who called it
    "Registered": ("register", "client"),
    "Declined": ("decline", "client"),
    "StepClosed": ("close", ""),
    "Proposed": ("propose", "proposer"),
    "Voted": ("vote", "voter"),
    "Finalized": ("finalize", ""),
}


@dataclass(frozen=True, slots=True)
class Member:
    """One client of this process: its name, the account that signs for it, and its private examples."""

    client: ClientId
    account: str
    dataset: Path
    mixes_shared: bool = True  # whether it trains with what the project shares, too


@dataclass(frozen=True, slots=True)
class Effect:
    """One transaction that is due, with the key it has in the outbox."""

    key: str
    call: Call
    client: ClientId
    action: Action


def effect_of(
    run: RunView, member: Member, action: Action, staged: Mapping[ClientId, Cid], job_key: str
) -> Effect:
    """Turn an action that needs the chain into its transaction.

    `staged` holds the CIDs of updates that are in the store already. Close and Finalize are the same effect
    whoever sends them, so they share a key and are sent once.
    """
    view = run.round
    assert view is not None
    function, args = _call(run.run, view, member, action, staged, job_key)
    who = _ANYBODY if isinstance(action, machine.Close | machine.Finalize) else member.client
    key = _key(run.run, view.number, view.step, who, function)
    return Effect(key, Call(member.account, function, args), member.client, action)


def key_of(event: Event, run: RunView) -> str | None:
    """Return the outbox key of the effect that left this event on the chain; None for other events."""
    if event.name not in _MARKS or event.args.get("run") != run.run or run.rules is None:
        return None
    function, role = _MARKS[event.name]
    who = run.names[str(event.args[role])] if role else _ANYBODY
    step = int(event.args.get("step", run.rules.steps))
    return _key(run.run, int(event.args["round"]), step, who, function)


def _key(run: int, number: int, step: int, who: str, function: str) -> str:
    return f"{run}/{number}/{step}/{who}/{function}"


def _call(
    run: int,
    view: RoundView,
    member: Member,
    action: Action,
    staged: Mapping[ClientId, Cid],
    job_key: str,
) -> tuple[str, tuple[Value, ...]]:
    where = (run, view.number, view.step)
    match action:
        case machine.Register(trained):
            scores = (trained.num_examples, trained.score_ppb, trained.base_score_ppb)
            return "register", (*where, view.base, staged[member.client], *scores, short_text(job_key))
        case machine.Decline(reason):
            return "decline", (*where, short_text(reason))
        case machine.Close():
            return "close", where
        case machine.Propose(candidate):
            return "propose", (*where, candidate)
        case machine.Vote(choice, score, base):
            return "vote", (run, view.number, int(choice), score, base)
        case machine.Finalize():
            return "finalize", (run, view.number)
    raise AssertionError(f"{action} is no transaction")


def order_for(
    kind: TaskKind,
    run: RunView,
    member: Member,
    store_root: Path,
    jobs: Path,
    checkpoint_s: float = CHECKPOINT_S,
) -> TrainOrder | MergeOrder:
    """Write the order of a task of the step that is under way. `jobs` holds the run's job folders."""
    view = run.round
    assert view is not None
    if kind is TaskKind.TRAIN:
        return TrainOrder(
            store=str(store_root),
            terms=run.terms,
            base=view.base,
            current=run.current,
            client=member.client,
            round=view.number,
            step=view.step,
            dataset=str(member.dataset),
            memory=_memory(run, member, jobs, view.step),
            mixes_shared=member.mixes_shared,
            checkpoint_s=checkpoint_s,
        )
    return MergeOrder(
        kind="aggregate" if kind is TaskKind.AGGREGATE else "verify",
        store=str(store_root),
        terms=run.terms,
        base=view.base,
        current=run.current,
        version=run.version + 1,
        round=view.number,
        step=view.step,
        client=member.client,
        dataset=str(member.dataset),
        memory=_memory(run, member, jobs, 1),
        new_memory=str(task_folder(jobs, view.number, view.step, member.client, TaskKind.TRAIN)),
        updates=entries_of(view),
    )


def task_folder(jobs: Path, number: int, step: int, client: ClientId, kind: TaskKind) -> Path:
    """Return where a task's job folder lies below the run's folder of jobs."""
    return jobs / f"r{number:05d}.{step}" / f"{client}.{kind}"


def _memory(run: RunView, member: Member, jobs: Path, step: int) -> str | None:
    """Return the job folder of the task whose memory a client goes on from.

    Between the exchanges of a round that is its own task of the exchange before; else that of the last
    accepted round it had a part in, so that a rejected round has left no trace.
    """
    assert run.rules is not None
    if step > 1:
        assert run.round is not None
        return str(task_folder(jobs, run.round.number, step - 1, member.client, TaskKind.TRAIN))
    last = run.contributed.get(member.client)
    if last is None:
        return None
    return str(task_folder(jobs, last, run.rules.steps, member.client, TaskKind.TRAIN))


def entries_of(view: RoundView) -> list[UpdateEntry]:
    """List the registered updates of a step as a merge takes them."""
    return [
        UpdateEntry(client=r.client, cid=r.cid, num_examples=r.num_examples, reward=r.reward_wad)
        for r in view.registrations
    ]


def short_text(text: str) -> str:
    """Cut a text to one line that the contract holds; anything but plain ASCII becomes `?`."""
    line = text.partition("\n")[0]
    plain = "".join(c if c.isascii() and c.isprintable() else "?" for c in line)
    return plain if len(plain) <= TEXT_BYTES else f"{plain[: TEXT_BYTES - 3]}..."
