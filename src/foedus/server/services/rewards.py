"""Rewards: who earned how much for what, as the contract paid it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Float, Select, SQLColumnExpression, cast, func, literal, select, union
from sqlalchemy.orm import Session, aliased

from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import visible_projects
from foedus.server.db import ChainAnswer, ChainRun, ChainStanding, Project, Run, RunClient
from foedus.server.errors import NotFound
from foedus.server.index.standings import ALL_RUNS
from foedus.server.listing import Column, Filter, Listing

RULE: Final = (
    "A client earns points for an update that passed the gate, in a round whose candidate was accepted: at "
    "most one point each. It is paid S × A × q. S grows with the client's share of the registrations of the "
    "last ten rounds, A with the time that it has taken part in the run; q shrinks where blocks come so fast "
    "that validators could not keep up."
)
_MOST_RUNS: Final = 200  # to choose from


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The standings of a project, a run, or all that one may see, as a list."""

    listing: Listing
    project: Project | None
    run: str  # its name; empty: all runs
    ended_rounds: int


def leaderboard(db: Session, actor: Actor, slug: str = "", run: str = "") -> Leaderboard:
    """Return who earned what: `points` in the chosen run, `total` in its project.

    `slug` and `run` narrow it; `run` is a run's name. Raises `NotFound` for those one may not see.
    """
    project, number = _scope(db, actor, slug, run)
    names = _run_names(db, actor, project, run)
    ended = select(func.coalesce(func.sum(ChainRun.ended_rounds), 0)).where(
        ChainRun.project.in_(_chain_projects(actor, project)),
        *([ChainRun.run == number] if number is not None else []),
    )
    listing = _board(actor, project, number, run, names)
    return Leaderboard(listing, project, run, int(db.scalar(ended) or 0))


def _board(
    actor: Actor, project: Project | None, number: int | None, run: str, names: Sequence[str]
) -> Listing:
    places = _places(actor, project, number).subquery("places")
    of = places.c
    columns = [
        Column("rank", "Rank", of.rank, "number"),
        Column("client", "Member", of.client, link="/rewards/paid?q={client}"),
        Column("project", "Project", of.project, link="/projects/{project}/rewards"),
        Column("points", "Points", _plain(of.points), "points", is_sortable=False),
        Column("registrations", "Updates", of.registrations, "number"),
        Column("paid", "Paid", of.paid, "number"),
        Column("votes", "Votes", of.votes, "number"),
        Column("availability", "Rounds answered", of.availability, "share"),
        Column("recent", "Last updates", of.recent, "curve", is_sortable=False),
    ]
    if number is not None:
        columns[3:4] = [
            Column("points", "Points in this run", _plain(of.points), "points", is_sortable=False),
            Column("total", "In the project", _plain(of.total), "points", is_sortable=False),
        ]
    filters = (Filter("run", "Run", literal(run), names),) if project is not None else ()
    tie = of.project + ":" + of.client
    return Listing(
        "Leaderboard", tuple(columns), select().select_from(places), tie, "rank", (of.client,), filters
    )


def _places(actor: Actor, project: Project | None, number: int | None) -> Select[Any]:
    """Return a query for all standings of the scope with their ranks; who has as many shares a rank."""
    whole = aliased(ChainStanding)
    mine = _chain_projects(actor, project)
    rounds = _rounds(mine, number).subquery("ended")
    return (
        select(
            func.rank().over(order_by=ChainStanding.points.desc()).label("rank"),
            ChainStanding.client,
            Project.slug.label("project"),
            ChainStanding.points,
            whole.points.label("total"),
            ChainStanding.registrations,
            ChainStanding.paid,
            ChainStanding.votes,
            (cast(ChainStanding.answered, Float) / func.nullif(rounds.c.rounds, 0)).label("availability"),
            ChainStanding.recent,
        )
        .join(Project, Project.chain_project == ChainStanding.project)
        .join(
            whole,
            (whole.project == ChainStanding.project)
            & (whole.run == ALL_RUNS)
            & (whole.client == ChainStanding.client),
        )
        .outerjoin(
            rounds,
            (rounds.c.project == ChainStanding.project) & (rounds.c.client == ChainStanding.client),
        )
        .where(
            ChainStanding.run == (ALL_RUNS if number is None else number),
            ChainStanding.project.in_(mine),
        )
    )


def _rounds(projects: Select[Any], number: int | None) -> Select[Any]:
    """Return a query for the ended rounds that each client could answer: those of its runs, or of this one.

    Its runs are those that it was asked into here, and those in which it did something, wherever they began.
    """
    asked = (
        select(ChainRun.project, RunClient.client, ChainRun.run)
        .join(Run, Run.chain_run == ChainRun.run)
        .join(RunClient, RunClient.run_id == Run.id)
        .where(ChainRun.project.in_(projects))
    )
    active = select(ChainStanding.project, ChainStanding.client, ChainStanding.run).where(
        ChainStanding.project.in_(projects)
    )
    theirs = union(asked, active).subquery("theirs").c
    query = (
        select(theirs.project, theirs.client, func.sum(ChainRun.ended_rounds).label("rounds"))
        .join(ChainRun, ChainRun.run == theirs.run)
        .group_by(theirs.project, theirs.client)
    )
    return query if number is None else query.where(ChainRun.run == number)


def _plain(points: SQLColumnExpression[Any]) -> SQLColumnExpression[Any]:
    """Take the leading zeros away."""
    return func.coalesce(func.nullif(func.ltrim(points, "0"), ""), "0")


def reward_listing(actor: Actor) -> Listing:
    """Return the list of single rewards that one may see, each with the transaction that paid it."""
    rows = (
        select()
        .select_from(ChainAnswer)
        .join(ChainRun, ChainRun.run == ChainAnswer.run)
        .join(Project, Project.chain_project == ChainRun.project)
        .outerjoin(Run, Run.chain_run == ChainRun.run)
        .where(ChainAnswer.paid_at > 0, Project.id.in_(visible_projects(actor)))
    )
    return Listing(
        "Rewards",
        (
            Column("client", "Member", ChainAnswer.client),
            Column(
                "paid", "Points", ChainAnswer.paid, "points", "/chain/transactions/{tx}", is_sortable=False
            ),
            Column("run", "Run", _run_name()),
            Column("round", "Round", ChainAnswer.round, "number"),
            Column("num_examples", "Examples", ChainAnswer.num_examples, "number"),
            Column("project", "Project", Project.slug, link="/projects/{project}"),
            Column("time", "Paid", ChainAnswer.paid_at, "time"),
            Column("tx", "Transaction", ChainAnswer.paid_tx, "id", "/chain/transactions/{tx}"),
        ),
        rows,
        ChainAnswer.paid_place,
        "-time",
        search=(ChainAnswer.client, Run.name, ChainRun.name, Project.slug),
    )


def _run_name() -> SQLColumnExpression[str]:
    """Return what a run is called: here, or by its terms when it was started elsewhere."""
    return func.coalesce(Run.name, ChainRun.name)


def _chain_projects(actor: Actor, project: Project | None) -> Select[Any]:
    """Return a query for the chain's number of the project, or of all that the actor may see."""
    mine = Project.id.in_(visible_projects(actor))
    query = select(Project.chain_project).where(mine, Project.chain_project.is_not(None))
    return query if project is None else query.where(Project.id == project.id)


def _runs(actor: Actor) -> Select[Any]:
    """Return the runs on the chain that the actor may see, with their projects; selects nothing yet."""
    return (
        select()
        .select_from(ChainRun)
        .join(Project, Project.chain_project == ChainRun.project)
        .outerjoin(Run, Run.chain_run == ChainRun.run)
        .where(Project.id.in_(visible_projects(actor)))
    )


def _scope(db: Session, actor: Actor, slug: str, run: str) -> tuple[Project | None, int | None]:
    """Return project and run that were chosen."""
    if run:
        wanted = _runs(actor).where(_run_name() == run, *([Project.slug == slug] if slug else []))
        found = db.execute(wanted.add_columns(Project, ChainRun.run).order_by(ChainRun.run.desc())).first()
        if found is None:
            raise NotFound("such run")
        return found.Project, found.run
    if not slug:
        return None, None
    mine = select(Project).where(Project.slug == slug, Project.id.in_(visible_projects(actor)))
    project = db.scalar(mine)
    if project is None:
        raise NotFound("such project")
    return project, None


def _run_names(db: Session, actor: Actor, project: Project | None, chosen: str) -> Sequence[str]:
    """Return names of the project's runs that are on the chain, the newest first."""
    if project is None:
        return ()
    query = _runs(actor).where(Project.id == project.id, _run_name() != "").order_by(ChainRun.run.desc())
    names = db.scalars(query.add_columns(_run_name()).limit(_MOST_RUNS))
    return list(dict.fromkeys([*names, *([chosen] if chosen else [])]))
