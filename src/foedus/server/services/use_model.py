"""What becomes of a model after its run: a new project that goes on from it."""

from sqlalchemy.orm import Session

from foedus.core.errors import FoedusError
from foedus.core.ids import Cid
from foedus.rounds.documents import ModelSpec, fetch
from foedus.rounds.setup import weights_to_start_from
from foedus.rounds.spec import parse_spec
from foedus.server.auth.actors import Actor
from foedus.server.db import Project
from foedus.server.errors import Conflict
from foedus.server.platform import Platform
from foedus.server.services.applications import may_read_model
from foedus.server.services.audit import record
from foedus.server.services.models import find_model
from foedus.server.services.projects import create_project
from foedus.store import get_manifest


def project_from_model(
    db: Session,
    actor: Actor,
    platform: Platform,
    cid: str,
    slug: str,
    title: str,
    goal: str = "",
    origin: str = "",
) -> Project:
    """Found a project whose runs begin with a version of a model; `origin` says of which project.

    Raises `NotFound` for versions of others, `Conflict` when no sound copy is here or nothing can start from
    it, and `Invalid` naming each field that will not do.
    """
    model = find_model(db, actor, platform.store, cid, origin)
    try:
        manifest = get_manifest(platform.store, Cid(model.row.cid))
        known = fetch(platform.store, manifest.model, ModelSpec)
        weights_to_start_from(platform.store, Cid(model.row.cid), known)
    except FoedusError as error:
        raise Conflict(f"no project can start from this version: {error.message}", error.hint) from error
    project = create_project(db, actor, slug, title, goal, model.project.task)
    project.origin = model.row.cid
    draft = {
        "name": slug,
        "data": {"name": "members"},
        "model": {"name": known.name, "args": known.args, "start": model.row.cid},
        "algorithm": {"name": manifest.algorithm.name, "params": dict(manifest.algorithm.params)},
    }
    project.draft = parse_spec(draft).model_dump(mode="json")
    record(db, actor, "start project from model", model.row.cid, project.id)
    return project


def visible_origin(db: Session, actor: Actor, project: Project) -> str:
    """Return the version that a project was started from when the actor may see it; else nothing."""
    return project.origin if project.origin and may_read_model(db, actor, project.origin) else ""
