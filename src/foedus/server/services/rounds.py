"""Rounds of a run, as chain index and worker know them: where a round stands, and who answered what."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import case, literal, select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.core.errors import FoedusError
from foedus.core.ids import Cid
from foedus.core.protocols import ModelStore
from foedus.core.records import SCORE_SCALE, WAD, Choice, Phase
from foedus.server.db import ChainAnswer, ChainRound, ChainRun, ChainVote, Metric, Run
from foedus.server.errors import NotFound
from foedus.server.listing import Column, Listing
from foedus.server.services.activity import activity_in, unasked_in
from foedus.store import get_manifest

STEPS: Final = ("Open", "Aggregating", "Voting", "Closed")
_REACHED: Final = {Phase.OPEN: 0, Phase.AGGREGATING: 1, Phase.VOTING: 2}
_ENDS: Final = {"cancelled": "was cancelled", "failed": "failed"}
_CHECKS: Final = {
    "header": "its file is not in canonical form",
    "keys": "tensors are missing, or unknown",
    "dtype": "a tensor has another type than the model's",
    "shape": "a tensor has another shape than the model's",
    "size": "its file is longer or shorter than it says",
    "nonfinite": "it holds values that are not finite",
    "samples": "its numbers of examples cannot be true",
    "floor": "it scores below the floor on the shared evaluation set",
    "missing": "the store does not have it",
    "damaged": "its bytes are not those of its CID",
    "unmergeable": "the updates cannot be merged with each other",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One client's part in a round. Scores are fractions, `points` were paid; None: nothing yet."""

    client: str
    state: str  # waiting, training, registered or declined; unasked or silent: no answer will come any more
    doing: str  # in words: how far its task is, or why it declined
    examples: int | None = None
    num_shared: int | None = None  # of the examples, those that the project shares
    score: float | None = None
    base_score: float | None = None
    points: float | None = None
    loss: float | None = None
    cid: str = ""
    tx: str = ""
    vote: str = ""  # yes, no or abstain
    vote_score: float | None = None
    vote_base_score: float | None = None
    vote_at: int | None = None  # block time
    vote_tx: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """One round. Moments are block times."""

    number: int
    phase: str
    reached: int  # place in `STEPS`
    base: str
    candidate: str
    proposer: str
    electorate: int
    opened_at: int
    closed_at: int | None
    proposed_at: int | None
    ended_at: int | None
    deadline: int
    ended_tx: str
    parts: Sequence[Part]

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.reached == len(STEPS) - 1

    @property
    def votes(self) -> str:
        """Say how the ballot stands."""
        of = [part.vote for part in self.parts if part.vote]
        counts = [f"{of.count(word)} {word}" for word in ("yes", "no", "abstain") if word in of]
        none = "no votes" if self.is_over else "no votes yet"
        return f"{', '.join(counts) or none}, of {self.electorate}"

    @property
    def verdict(self) -> str:
        """Say how the round ended, or what it waits for."""
        match self.phase:
            case "open":
                answered = sum(part.state in ("registered", "declined") for part in self.parts)
                return f"Waits for updates: {answered} of {len(self.parts)} clients have answered."
            case "aggregating":
                return "Waits for a member to propose the merged model."
            case "voting":
                needed = -(-2 * self.electorate // 3)
                return (
                    f"Waits for votes: {needed} of {self.electorate} are needed, and of yes and no more than "
                    "two thirds must be yes."
                )
            case "accepted":
                return f"Accepted: {self.votes}. The candidate is the new version, and rewards were paid."
            case "rejected":
                return f"Rejected: {self.votes}. The version stays as it was, and nobody was paid."
            case "cancelled" | "failed":
                return f"Ended with the run, which {_ENDS[self.phase]}. The version stays as it was."
        return "Ended without a candidate: too few updates passed the gate. The version stays as it was."

    def to_json(self) -> dict[str, Json]:
        """Return plain values."""
        parts = [{name: getattr(part, name) for name in Part.__slots__} for part in self.parts]
        values = {name: getattr(self, name) for name in Round.__slots__ if name not in ("parts", "reached")}
        return {**values, "clients": parts}


def find_round(db: Session, run: Run, number: int) -> Round:
    """Return a round. Raises `NotFound` when the run has not come to it, or the index not yet."""
    row = db.get(ChainRound, (run.chain_run or 0, number))
    if row is None:
        raise NotFound("such round")
    return _round(db, run, row)


def present_round(db: Session, run: Run) -> Round | None:
    """Return the round that is under way, or ended last; None before the first."""
    newest = select(ChainRound).where(ChainRound.run == run.chain_run).order_by(ChainRound.number.desc())
    row = db.scalar(newest.limit(1)) if run.chain_run is not None else None
    return None if row is None else _round(db, run, row)


def refused_in(store: ModelStore, candidate: str) -> dict[str, str]:
    """Return whose updates did not go into a candidate, and which check they failed, in words.

    None of it is known while the store lacks the candidate.
    """
    try:
        refused = get_manifest(store, Cid(candidate)).refused
    except FoedusError:
        return {}
    return {str(client): _CHECKS.get(code, code) for client, code in sorted(refused.items())}


def round_listing(run: Run) -> Listing:
    """Return the list of a run's rounds."""
    phase = case({one.value: _phase_name(run, one) for one in Phase}, value=ChainRound.phase)
    took = ChainRound.ended_at - ChainRound.opened_at
    return Listing(
        "Rounds",
        (
            Column("run", "Run", literal(run.name), is_hidden=True, is_sortable=False),
            Column("number", "Round", ChainRound.number, "number", "/runs/{run}/rounds/{number}"),
            Column("phase", "State", phase, "state"),
            Column("candidate", "Candidate", ChainRound.candidate, "id"),
            Column("proposer", "Proposed by", ChainRound.proposer),
            Column("opened_at", "Opened", ChainRound.opened_at, "time"),
            Column("seconds", "Seconds", took, "number"),
        ),
        select().select_from(ChainRound).where(ChainRound.run == (run.chain_run or 0)),
        ChainRound.number,
        "-number",
        empty="No round yet. The first one opens when the run has started.",
    )


def _round(db: Session, run: Run, row: ChainRound) -> Round:
    phase = Phase(row.phase)
    is_over = _is_over(run, phase)
    return Round(
        number=row.number,
        phase=_phase_name(run, phase),
        reached=len(STEPS) - 1 if is_over else _REACHED[phase],
        base=row.base,
        candidate=row.candidate or "",
        proposer=row.proposer or "",
        electorate=row.electorate,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        proposed_at=row.proposed_at,
        ended_at=row.ended_at or (_ended_at(db, run) if is_over else None),
        deadline=row.deadline,
        ended_tx=row.ended_tx or "",
        parts=_parts(db, run, row),
    )


def _is_over(run: Run, phase: Phase) -> bool:
    return run.is_over or phase.is_final


def _phase_name(run: Run, phase: Phase) -> str:
    """Return the phase in a word. A round that was under way when its run ended has ended like the run."""
    return phase.name.lower() if phase.is_final or not run.is_over else run.state


def _ended_at(db: Session, run: Run) -> int | None:
    """Return when a run ended, in block time; None where the chain does not say."""
    return db.scalar(select(ChainRun.ended_at).where(ChainRun.run == run.chain_run))


def _parts(db: Session, run: Run, row: ChainRound) -> list[Part]:
    where = (ChainAnswer.run == row.run, ChainAnswer.round == row.number, ChainAnswer.step == row.step)
    answers = {one.client: one for one in db.scalars(select(ChainAnswer).where(*where))}
    ballots = select(ChainVote).where(ChainVote.run == row.run, ChainVote.round == row.number)
    votes = {one.client: one for one in db.scalars(ballots)}
    losses = dict(
        db.execute(
            select(Metric.client, Metric.value).where(
                Metric.run_id == run.id, Metric.name == "loss", Metric.round == row.number
            )
        ).all()
    )
    is_over = _is_over(run, Phase(row.phase))
    doing = {} if is_over else activity_in(db, run, row.number)
    unasked = unasked_in(db, row)
    names = sorted({one.client for one in run.clients} | set(answers) | set(votes))

    def state(name: str) -> str:
        if name in unasked:
            return "unasked"
        if is_over or row.phase != Phase.OPEN:
            return "silent"
        return "training" if name in doing else "waiting"

    return [
        _part(
            Part(name, state(name), doing.get(name, ""), loss=losses.get(name)),
            answers.get(name),
            votes.get(name),
        )
        for name in names
    ]


def _part(part: Part, answer: ChainAnswer | None, vote: ChainVote | None) -> Part:
    """Return what is known of a client besides its answer and its vote, with these."""
    if answer is not None:
        part = _answered(part, answer)
    if vote is None:
        return part
    return replace(
        part,
        vote=Choice(vote.choice).name.lower(),
        vote_score=vote.score_ppb / SCORE_SCALE,
        vote_base_score=vote.base_score_ppb / SCORE_SCALE,
        vote_at=vote.time,
        vote_tx=vote.tx,
    )


def _answered(part: Part, answer: ChainAnswer) -> Part:
    if answer.cid is None:
        return replace(part, state="declined", doing=answer.reason or "", tx=answer.tx)
    return replace(
        part,
        state="registered",
        examples=answer.num_examples,
        num_shared=answer.num_shared,
        score=answer.score_ppb / SCORE_SCALE,
        base_score=answer.base_score_ppb / SCORE_SCALE,
        points=int(answer.paid or 0) / WAD,
        cid=answer.cid,
        tx=answer.tx,
    )
