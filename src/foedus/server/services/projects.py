"""Projects: found, changed, archived, listed."""

import re
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, require, visible_projects
from foedus.server.db import Membership, Project, Run
from foedus.server.errors import Conflict, Invalid, NotFound
from foedus.server.listing import Column, Filter, Listing
from foedus.server.services.audit import record

_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,30}")
_TAKEN: Final = frozenset({"new", "join"})  # would hide pages below /projects
MOST_OWNED: Final = 200
"""Projects that one person may own: each is on the chain for ever."""
TASKS: Final = ("classification", "segmentation", "regression")


def find_project(db: Session, actor: Actor, slug: str, action: Action = Action.SEE) -> Project:
    """Return a project that the actor may do this with. Raises `NotFound` or `Denied`."""
    project = db.scalar(select(Project).where(Project.slug == slug))
    if project is None:
        raise NotFound("such project")
    require(db, actor, action, project, "such project")
    return project


def create_project(
    db: Session, actor: Actor, slug: str, title: str, goal: str = "", task: str = "classification"
) -> Project:
    """Found a project; the actor becomes its owner. Raises `Invalid` naming each field that will not do."""
    require(db, actor, Action.CREATE_PROJECT)
    assert actor.user is not None, "require refuses nobody"
    faults = _faults(title, goal, task)
    if not _SLUG.fullmatch(slug) or slug in _TAKEN:
        faults["slug"] = "use 2 to 31 of a-z, 0-9 and -, beginning with a letter or digit"
    elif db.scalar(select(Project.id).where(Project.slug == slug)) is not None:
        faults["slug"] = "this name is taken"
    if faults:
        raise Invalid(faults)
    owned = (Membership.user_id == actor.user.id, Membership.role == "owner", Membership.state == "active")
    if (db.scalar(select(func.count()).where(*owned)) or 0) >= MOST_OWNED:
        raise Conflict(f"you own {MOST_OWNED} projects already", "Make somebody else the owner of one.")
    project = Project(slug=slug, title=title.strip(), goal=goal.strip(), task=task, draft={})
    owner = Membership(user_id=actor.user.id, role="owner", client=actor.user.name)
    project.memberships.append(owner)
    db.add(project)
    db.flush()
    record(db, actor, "create project", slug, project.id)
    return project


def edit_project(db: Session, actor: Actor, slug: str, title: str, goal: str, task: str) -> Project:
    """Change what the project says of itself."""
    project = find_project(db, actor, slug, Action.EDIT_PROJECT)
    faults = _faults(title, goal, task)
    if faults:
        raise Invalid(faults)
    project.title, project.goal, project.task = title.strip(), goal.strip(), task
    record(db, actor, "edit project", slug, project.id)
    return project


def archive_project(db: Session, actor: Actor, slug: str, is_archived: bool) -> Project:
    """Close a project for new runs, or open it again."""
    project = find_project(db, actor, slug, Action.MANAGE_OWNERS)
    project.state = "archived" if is_archived else "active"
    record(db, actor, "archive project" if is_archived else "reopen project", slug, project.id)
    return project


def project_listing(actor: Actor) -> Listing:
    """Return the list of the projects that the actor may see."""
    members = (
        select(func.count())
        .where(Membership.project_id == Project.id, Membership.state == "active")
        .correlate(Project)
        .scalar_subquery()
    )
    runs = select(func.count()).where(Run.project_id == Project.id).correlate(Project).scalar_subquery()
    best = (
        select(func.max(Run.score)).where(Run.project_id == Project.id).correlate(Project).scalar_subquery()
    )
    mine = (Membership.project_id == Project.id) & (Membership.user_id == actor.user_id)
    return Listing(
        "Projects",
        (
            Column("slug", "Name", Project.slug, is_hidden=True),
            Column("title", "Project", Project.title, link="/projects/{slug}"),
            Column("role", "My role", Membership.role),
            Column("members", "Members", members, "number"),
            Column("runs", "Runs", runs, "number"),
            Column("best", "Test score of the best run", best, "score"),
            Column("state", "State", Project.state, "state"),
            Column("created_at", "Created", Project.created_at, "time"),
        ),
        select().select_from(Project).join(Membership, mine).where(Project.id.in_(visible_projects(actor))),
        Project.id,
        "title",
        empty="No project yet. Make one, or ask the owner of one to invite you.",
        search=(Project.slug, Project.title, Project.goal),
        filters=(Filter("state", "State", Project.state, ("active", "archived")),),
    )


def as_json(project: Project) -> dict[str, Json]:
    """Return a project as the API gives it."""
    return {
        "slug": project.slug,
        "title": project.title,
        "goal": project.goal,
        "task": project.task,
        "state": project.state,
        "asks_votes": project.asks_votes,
        "chain_project": project.chain_project,
    }


def _faults(title: str, goal: str, task: str) -> dict[str, str]:
    faults = {}
    if not 1 <= len(title.strip()) <= 200:
        faults["title"] = "needs 1 to 200 characters"
    elif not title.isprintable():  # what is not seen, or turns other text around
        faults["title"] = "must be one line of characters that can be seen"
    if len(goal) > 4000:
        faults["goal"] = "at most 4,000 characters"
    if task not in TASKS:
        faults["task"] = f"must be one of {', '.join(TASKS)}"
    return faults
