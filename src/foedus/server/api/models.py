"""Models by the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from foedus.server.api.lists import list_json
from foedus.server.downloads import download
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.services import models, use_model
from foedus.server.services.model_views import as_json
from foedus.server.services.projects import as_json as project_json

router = APIRouter(prefix="/models", tags=["models"])

Chosen = Annotated[str, Query(max_length=200)]


class Note(BaseModel):
    """What a project says about a version."""

    model_config = ConfigDict(extra="forbid")

    alias: Annotated[str, Field(max_length=32, examples=["champion"])] = ""
    description: Annotated[str, Field(max_length=10_000)] = ""
    limits: Annotated[str, Field(max_length=10_000)] = ""


class NewProject(BaseModel):
    """What a project needs that starts from a version of a model."""

    model_config = ConfigDict(extra="forbid")

    slug: Annotated[str, Field(max_length=64, examples=["lung-masks"])]
    title: Annotated[str, Field(max_length=400)]
    goal: Annotated[str, Field(max_length=10_000)] = ""


@router.get("")
def index(request: Request, db: Db, actor: ActorDep) -> dict[str, Any]:
    """List the versions of the runs of your projects."""
    return list_json(request, db, models.model_listing(db, actor))


@router.get("/{cid}")
def show(db: Db, actor: ActorDep, platform: PlatformDep, cid: str, project: Chosen = "") -> dict[str, Any]:
    """Return a version: manifest, lineage, scores, ballot."""
    return as_json(models.find_model(db, actor, platform.store, cid, project))


@router.put("/{cid}/note")
def describe(
    db: Db, actor: ActorDep, platform: PlatformDep, cid: str, note: Note, project: Chosen = ""
) -> dict[str, Any]:
    """Change what the project says about a version; leads only."""
    model = models.find_model(db, actor, platform.store, cid, project)
    written = models.write_note(db, actor, model, note.alias, note.description, note.limits)
    return {
        "cid": written.cid,
        "alias": written.alias,
        "description": written.description,
        "limits": written.limits,
    }


@router.get("/{cid}/weights", response_class=Response)
def weights(db: Db, actor: ActorDep, platform: PlatformDep, cid: str, project: Chosen = "") -> Response:
    """Send the weights (safetensors), checked against their CID."""
    _, found = models.weights_of(db, actor, platform.store, cid, project)
    return download(platform.store, found, "model.safetensors")


@router.post("/{cid}/projects", status_code=201)
def start_project(
    db: Db, actor: ActorDep, platform: PlatformDep, cid: str, new: NewProject, project: Chosen = ""
) -> dict[str, Any]:
    """Found a project whose runs begin with this version."""
    return project_json(
        use_model.project_from_model(db, actor, platform, cid, new.slug, new.title, new.goal, project)
    )
