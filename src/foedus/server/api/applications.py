"""Applications by the API."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.services import applications, jobs

router = APIRouter(prefix="/applications", tags=["applications"])

Value = bool | int | float | Annotated[str, Field(max_length=10_000)] | None


class NewJob(BaseModel):
    """What an application is told, and what its batch job asks for beyond what is usual."""

    model_config = ConfigDict(extra="forbid")

    parameters: Annotated[dict[str, Value], Field(max_length=200)] = {}
    resources: Annotated[dict[str, Value], Field(max_length=20)] = {}
    becomes_dataset: Annotated[str, Field(max_length=64)] = ""


@router.get("")
def index(actor: ActorDep, platform: PlatformDep) -> dict[str, Any]:
    """List the applications that can be submitted."""
    return {"items": [applications.as_json(one) for one in applications.catalogue(platform)]}


@router.get("/{name}")
def show(actor: ActorDep, platform: PlatformDep, name: str) -> dict[str, Any]:
    """Return an application with its parameters."""
    return applications.as_json(applications.find_application(platform, name))


@router.post("/{name}/jobs", status_code=201)
def submit(db: Db, actor: ActorDep, platform: PlatformDep, name: str, new: NewJob) -> dict[str, Any]:
    """Submit an application as a batch job."""
    job = applications.submit_job(
        db, actor, platform, name, new.parameters, new.resources, new.becomes_dataset
    )
    return jobs.as_json(job)
