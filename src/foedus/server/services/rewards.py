"""Rewards: who earned how much for what, as the contract paid it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from sqlalchemy import BigInteger, Row, Select, String, cast, func, select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.core.records import WAD
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import visible_projects
from foedus.server.db import ChainAnswer, ChainRound, ChainRun, ChainVote, Project, Run
from foedus.server.errors import NotFound
from foedus.server.listing import Column, Listing

RULE: Final = (
    "A client earns points for an update that passed the gate, in a round whose candidate was accepted: at "
    "most one point each. It is paid S × A × q. S grows with the client's share of the registrations of the "
    "last ten rounds, A with the time that it has taken part in the run; q shrinks where blocks come so fast "
    "that validators could not keep up."
)
_SPARKS: Final = 30  # rounds in the small curve
_PLACES: Final = 10**6  # rounds of a run, at most: orders rounds of all runs


@dataclass(frozen=True, slots=True)
class Standing:
    """One client's place in a project. Points in 1e-18. `sparks`: points of its last answers, in order."""

    rank: int
    project: str
    client: str
    points: int
    total: int
    registrations: int
    paid: int  # of them
    votes: int
    availability: float | None  # rounds it answered in, of those that ended; none before the first
    sparks: Sequence[float]

    @property
    def polyline(self) -> str:
        """The small curve's points, in a box of 100 by 20."""
        step = 100 / max(1, len(self.sparks) - 1)
        highest = max(self.sparks, default=0.0) or 1.0
        return " ".join(f"{i * step:.1f},{19 - 18 * v / highest:.1f}" for i, v in enumerate(self.sparks))


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Standings of a project, a run, or all one may see. `run` is its number on the chain."""

    standings: Sequence[Standing]
    project: Project | None
    run: int | None
    run_name: str
    runs: Sequence[str]  # names of the project's runs that are on the chain, the newest first
    ended_rounds: int


def leaderboard(db: Session, actor: Actor, slug: str = "", run: str = "") -> Leaderboard:
    """Return who earned what: `points` in the chosen run, `total` in its project.

    `slug` and `run` narrow it; `run` is a run's name. Raises `NotFound` for those one may not see.
    """
    project, number, name = _scope(db, actor, slug, run)
    runs = _runs(actor)
    if project is not None:
        runs = runs.where(Project.id == project.id)
    slugs = {one.run: one.slug for one in db.execute(runs.add_columns(ChainRun.run, Project.slug))}
    answers = _answers(db, slugs)
    ended: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for place in _ended_rounds(db, slugs):
        if number in (None, place[0]):
            ended[slugs[place[0]]].add(place)
    votes: Counter[tuple[str, str]] = Counter()
    for (voted, client), times in _votes(db, slugs).items():
        if number in (None, voted):
            votes[slugs[voted], client] += times
    found: dict[tuple[str, str], list[Row[Any]]] = defaultdict(list)
    for answer in answers:
        found[slugs[answer.run], answer.client].append(answer)
    rows = []
    for (where, client), theirs in found.items():
        chosen = [one for one in theirs if number in (None, one.run)]
        if chosen:
            rows.append(_standing(where, client, theirs, chosen, ended[where], votes[where, client]))
    return Leaderboard(
        _ranked(rows),
        project,
        number,
        name,
        _run_names(db, actor, project),
        sum(map(len, ended.values())),
    )


def reward_listing(actor: Actor) -> Listing:
    """Return the list of single rewards that one may see, each with the transaction that paid it."""
    paid_in = ChainRound.ended_tx
    rows = (
        _runs(actor)
        .join(ChainAnswer, ChainAnswer.run == ChainRun.run)
        .join(ChainRound, (ChainRound.run == ChainAnswer.run) & (ChainRound.number == ChainAnswer.round))
        .where(ChainAnswer.paid != "0")
    )
    place = cast(ChainAnswer.run, BigInteger) * _PLACES + ChainAnswer.round
    return Listing(
        "Rewards",
        (
            Column("client", "Member", ChainAnswer.client),
            Column(
                "paid", "Points", ChainAnswer.paid, "points", "/chain/transactions/{tx}", is_sortable=False
            ),
            Column("run", "Run", func.coalesce(Run.name, ChainRun.name)),
            Column("round", "Round", ChainAnswer.round, "number"),
            Column("num_examples", "Examples", ChainAnswer.num_examples, "number"),
            Column("project", "Project", Project.slug, link="/projects/{project}"),
            Column("time", "Paid", ChainRound.ended_at, "time"),
            Column("tx", "Transaction", paid_in, "id", "/chain/transactions/{tx}"),
        ),
        rows,
        cast(place, String) + "-" + ChainAnswer.client,
        "-time",
        search=(ChainAnswer.client, Run.name, ChainRun.name, Project.slug),
    )


def as_json(found: Leaderboard) -> dict[str, Json]:
    """Return a leaderboard as the API gives it. Points are texts: they are larger than most integers."""
    items: list[Json] = [
        {
            "rank": one.rank,
            "project": one.project,
            "client": one.client,
            "points": str(one.points),
            "total": str(one.total),
            "registrations": one.registrations,
            "paid": one.paid,
            "votes": one.votes,
            "availability": one.availability,
            "sparks": list(one.sparks),
        }
        for one in found.standings
    ]
    return {"items": items, "run": found.run_name or None, "rounds": found.ended_rounds, "rule": RULE}


def _runs(actor: Actor) -> Select[Any]:
    """Return the runs on the chain that the actor may see, with their projects; selects nothing yet."""
    return (
        select()
        .select_from(ChainRun)
        .join(Project, Project.chain_project == ChainRun.project)
        .outerjoin(Run, Run.chain_run == ChainRun.run)
        .where(Project.id.in_(visible_projects(actor)))
    )


def _scope(db: Session, actor: Actor, slug: str, run: str) -> tuple[Project | None, int | None, str]:
    """Return project and run that were chosen."""
    if run:
        name = func.coalesce(Run.name, ChainRun.name)
        wanted = _runs(actor).where((name == run) if not slug else (name == run) & (Project.slug == slug))
        found = db.execute(wanted.add_columns(Project, ChainRun.run).order_by(ChainRun.run.desc())).first()
        if found is None:
            raise NotFound("such run")
        return found.Project, found.run, run
    if not slug:
        return None, None, ""
    mine = select(Project).where(Project.slug == slug, Project.id.in_(visible_projects(actor)))
    project = db.scalar(mine)
    if project is None:
        raise NotFound("such project")
    return project, None, ""


def _run_names(db: Session, actor: Actor, project: Project | None) -> Sequence[str]:
    if project is None:
        return ()
    name = func.coalesce(Run.name, ChainRun.name)
    query = _runs(actor).where(Project.id == project.id, name != "").order_by(ChainRun.run.desc())
    return list(dict.fromkeys(db.scalars(query.add_columns(name))))


def _answers(db: Session, runs: Mapping[int, str]) -> Sequence[Row[Any]]:
    columns = (ChainAnswer.run, ChainAnswer.round, ChainAnswer.client, ChainAnswer.cid, ChainAnswer.paid)
    order = (ChainAnswer.time, ChainAnswer.run, ChainAnswer.round, ChainAnswer.step)
    query: Select[Any] = select().add_columns(*columns).where(ChainAnswer.run.in_(runs)).order_by(*order)
    return db.execute(query).all()


def _ended_rounds(db: Session, runs: Mapping[int, str]) -> set[tuple[int, int]]:
    ended = select(ChainRound.run, ChainRound.number).where(
        ChainRound.run.in_(runs), ChainRound.ended_at.is_not(None)
    )
    return {(run, number) for run, number in db.execute(ended)}


def _votes(db: Session, runs: Mapping[int, str]) -> Counter[tuple[int, str]]:
    counted = select(ChainVote.run, ChainVote.client, func.count()).where(ChainVote.run.in_(runs))
    grouped = counted.group_by(ChainVote.run, ChainVote.client)
    return Counter({(run, client): number for run, client, number in db.execute(grouped)})


def _standing(
    project: str,
    client: str,
    theirs: Sequence[Row[Any]],
    chosen: Sequence[Row[Any]],
    ended: set[tuple[int, int]],
    votes: int,
) -> Standing:
    points = [int(one.paid) for one in chosen]
    answered = {(one.run, one.round) for one in chosen} & ended
    return Standing(
        rank=0,
        project=project,
        client=client,
        points=sum(points),
        total=sum(int(one.paid) for one in theirs),
        registrations=sum(1 for one in chosen if one.cid is not None),
        paid=sum(1 for one in points if one),
        votes=votes,
        availability=len(answered) / len(ended) if ended else None,
        sparks=[float(Fraction(one, WAD)) for one in points[-_SPARKS:]],
    )


def _ranked(rows: Sequence[Standing]) -> list[Standing]:
    """Sort by points; who has as many as the one before shares its rank."""
    ranked: list[Standing] = []
    for place, row in enumerate(sorted(rows, key=lambda one: (-one.points, one.project, one.client)), 1):
        is_tie = bool(ranked) and ranked[-1].points == row.points
        ranked.append(replace(row, rank=ranked[-1].rank if is_tie else place))
    return ranked
