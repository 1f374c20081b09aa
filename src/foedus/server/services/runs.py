"""Runs: found, listed, cancelled."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, require, visible_projects
from foedus.server.db import Project, Run
from foedus.server.errors import Conflict, Invalid, NotFound
from foedus.server.listing import Column, Filter, Listing, plain
from foedus.server.services.audit import record

STATES = ("waiting", "preparing", "running", "completed", "failed", "cancelled")


def find_run(db: Session, actor: Actor, name: str, action: Action = Action.SEE) -> Run:
    """Return a run that the actor may do this with. Raises `NotFound` or `Denied`."""
    run = db.scalar(select(Run).where(Run.name == name))
    if run is None:
        raise NotFound("such run")
    require(db, actor, action, run, "such run")
    return run


def cancel_run(db: Session, actor: Actor, name: str, reason: str) -> Run:
    """Ask for a run's end; a worker then ends it. Raises `Invalid` without a reason, `Conflict` when over."""
    run = find_run(db, actor, name, Action.CANCEL_RUN)
    if not 1 <= len(reason.strip()) <= 64:
        raise Invalid({"reason": "needs 1 to 64 characters"})
    if run.is_over:
        raise Conflict(f"the run is {run.state} already")
    if run.cancel_reason is not None:
        raise Conflict("somebody has cancelled this run already", "Wait until a worker has ended it.")
    run.cancel_reason = reason.strip()
    record(db, actor, "cancel run", name, run.project_id, run.cancel_reason)
    return run


def run_listing(actor: Actor, project: Project | None = None) -> Listing:
    """Return the list of the runs that the actor may see, of one project or of all."""
    rows = select().select_from(Run).join(Project, Project.id == Run.project_id)
    rows = rows.where(Run.project_id.in_(visible_projects(actor)))
    if project is not None:
        rows = rows.where(Run.project_id == project.id)
    return Listing(
        "Runs",
        (
            Column("name", "Run", Run.name, link="/runs/{name}"),
            Column("title", "Title", Run.title),
            Column("project", "Project", Project.slug, link="/projects/{project}"),
            Column("state", "State", Run.state, "state"),
            Column("algorithm", "Algorithm", Run.algorithm),
            Column("round", "Round", Run.round, "number"),
            Column("rounds", "Of rounds", Run.rounds, "number"),
            Column("score", "Test score", Run.score, "score"),
            Column("created_at", "Created", Run.created_at, "time"),
        ),
        rows,
        Run.id,
        "-created_at",
        empty="No run yet. A lead of a project starts one on the project's page.",
        search=(Run.name, Run.title),
        filters=(Filter("state", "State", Run.state, STATES),),
    )


def as_json(run: Run) -> dict[str, Json]:
    """Return a run as the API gives it."""
    return {
        "name": run.name,
        "title": run.title,
        "project": run.project.slug,
        "state": run.state,
        "cause": run.cause,
        "hint": run.hint,
        "cancel_reason": run.cancel_reason,
        "round": run.round,
        "rounds": run.rounds,
        "score": run.score,
        "version": run.version,
        "clients": [one.client for one in run.clients],
        "spec": run.spec,
        "chain_run": run.chain_run,
        "created_at": plain(run.created_at),
        "started_at": plain(run.started_at),
        "ended_at": plain(run.ended_at),
    }
