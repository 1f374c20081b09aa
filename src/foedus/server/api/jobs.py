"""Batch jobs by the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from foedus.server.api.lists import list_json
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.pages.jobs import file as give_file
from foedus.server.services import jobs

router = APIRouter(prefix="/jobs", tags=["batch jobs"])

RowId = Annotated[int, Path(ge=1, lt=2**31)]


@router.get("")
def index(request: Request, db: Db, actor: ActorDep) -> dict[str, Any]:
    """List your batch jobs of applications."""
    return list_json(request, db, jobs.job_listing(actor))


@router.get("/{job_id}")
def show(db: Db, actor: ActorDep, platform: PlatformDep, job_id: RowId) -> dict[str, Any]:
    """Return one of your batch jobs, with the files it wrote."""
    job = jobs.find_job(db, actor, job_id)
    files = [{"name": one.name, "size_bytes": one.size_bytes} for one in jobs.outputs_of(platform, job)]
    return {**jobs.as_json(job), "files": files}


@router.get("/{job_id}/log")
def log(db: Db, actor: ActorDep, platform: PlatformDep, job_id: RowId) -> dict[str, str]:
    """Return the last 64 KiB of its log."""
    return {"log": jobs.log_of(platform, jobs.find_job(db, actor, job_id))}


@router.get("/{job_id}/files", response_class=Response)
def file(
    db: Db,
    actor: ActorDep,
    platform: PlatformDep,
    job_id: RowId,
    name: Annotated[str, Query(max_length=1000)] = "",
) -> Response:
    """Return a file that it wrote."""
    return give_file(db, actor, platform, job_id, name)


@router.post("/{job_id}/cancel")
def cancel(db: Db, actor: ActorDep, job_id: RowId) -> dict[str, Any]:
    """Ask a worker to end it."""
    return jobs.as_json(jobs.cancel_job(db, actor, job_id))
