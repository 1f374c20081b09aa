"""New runs: the spec checked, the clients taken from the members who contribute data."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from foedus.core.errors import InvalidSpec
from foedus.rounds.spec import RunSpec, parse_spec
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action
from foedus.server.db import Dataset, Membership, Project, Run, RunClient
from foedus.server.errors import Conflict, Invalid
from foedus.server.services.audit import record
from foedus.server.services.projects import find_project


def create_run(db: Session, actor: Actor, slug: str, spec: Mapping[str, Any], title: str = "") -> Run:
    """Ask for a run with all members who contribute ready data; a worker then drives it.

    Of the spec, name, data and number of clients are the platform's to say. Raises `Conflict` naming what the
    project lacks, and `Invalid` naming each field that will not do.
    """
    project = find_project(db, actor, slug, Action.START_RUN)
    assert actor.user is not None, "find_project refuses nobody"
    db.refresh(project, with_for_update=True)  # two runs made at once must not get one name
    clients = _clients(db, project)
    checked = _checked(spec, project, len(clients))
    if len(title) > 200:
        raise Invalid({"title": "at most 200 characters"})
    number = (db.scalar(select(func.count()).where(Run.project_id == project.id)) or 0) + 1
    run = Run(
        name=f"{project.slug}-{number}",
        project_id=project.id,
        created_by=actor.user.id,
        title=title.strip(),
        spec=checked.model_dump(mode="json"),
        algorithm=checked.algorithm.name,
        rounds=checked.rounds,
    )
    run.clients = [
        RunClient(
            user_id=one.user_id,
            client=one.client,
            account=one.user.account,
            dataset_id=one.dataset_id,
            mixes_shared=one.mixes_shared,
        )
        for one in clients
    ]
    db.add(run)
    db.flush()
    record(db, actor, "start run", run.name, project.id)
    return run


def _clients(db: Session, project: Project) -> list[Membership]:
    if project.state != "active":
        raise Conflict("the project is archived", "Open it again in its settings.")
    if project.evaluation_id is None:
        raise Conflict("the project has no evaluation dataset", "Choose one on the page Data.")
    chosen = (
        select(Membership)
        .join(Dataset, Dataset.id == Membership.dataset_id)
        .where(Membership.project_id == project.id, Membership.state == "active", Dataset.state == "ready")
        .order_by(Membership.id)
    )
    clients = list(db.scalars(chosen))
    if not clients:
        raise Conflict("no member contributes a ready dataset", "Contribute one on the page Data.")
    return clients


def _checked(spec: Mapping[str, Any], project: Project, clients: int) -> RunSpec:
    partition = spec.get("partition", {})
    if not isinstance(partition, Mapping):
        raise Invalid({"partition": "must be a section"})
    ours = {
        "name": project.slug,
        "data": {"name": "members"},
        "partition": {**partition, "clients": clients},
    }
    try:
        checked = parse_spec({**spec, **ours})
    except InvalidSpec as error:
        raise Invalid(_by_field(error.message)) from error
    if checked.is_batched:
        raise Invalid({"jobs.launcher": "members bring their own data: use local"})
    return checked


def _by_field(faults: str) -> dict[str, str]:
    """Return the faults of a spec by the key that each names; the rest belongs to the spec as a whole."""
    found = {}
    for line in faults.splitlines():
        key, colon, what = line.partition(": ")
        found.update({key: what} if colon and " " not in key else {"spec": line})
    return found
