"""Projects by the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from foedus.server.api.lists import list_json
from foedus.server.http import ActorDep, Db
from foedus.server.services import projects

router = APIRouter(prefix="/projects", tags=["projects"])


class NewProject(BaseModel):
    """What a project needs at first."""

    model_config = ConfigDict(extra="forbid")

    slug: Annotated[str, Field(max_length=64, examples=["lung-masks"])]
    title: Annotated[str, Field(max_length=400)]
    goal: Annotated[str, Field(max_length=10_000)] = ""
    task: Annotated[str, Field(max_length=32)] = "classification"


@router.get("")
def index(request: Request, db: Db, actor: ActorDep) -> dict[str, Any]:
    """List the projects that you may see."""
    return list_json(request, db, projects.project_listing(actor))


@router.post("", status_code=201)
def create(db: Db, actor: ActorDep, new: NewProject) -> dict[str, Any]:
    """Found a project."""
    return projects.as_json(projects.create_project(db, actor, new.slug, new.title, new.goal, new.task))


@router.get("/{slug}")
def show(db: Db, actor: ActorDep, slug: str) -> dict[str, Any]:
    """Return a project."""
    return projects.as_json(projects.find_project(db, actor, slug))
