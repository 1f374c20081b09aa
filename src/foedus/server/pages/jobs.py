"""Pages of batch jobs: state, cause, log, output."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, BinaryIO
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.pages.notices import Notice
from foedus.server.pages.render import list_page, page, see
from foedus.server.services import jobs

router = APIRouter()

RowId = Annotated[int, Path(ge=1, lt=2**31)]
Name = Annotated[str, Query(max_length=1000)]


@router.get("/jobs")
def index(request: Request, db: Db, actor: ActorDep) -> Response:
    """List my batch jobs of applications."""
    return list_page(request, db, jobs.job_listing(actor), "jobs/index.html")


@router.get("/jobs/tasks")
def tasks(request: Request, db: Db, actor: ActorDep, platform: PlatformDep) -> Response:
    """List the tasks that were done for me in runs."""
    return page(request, "jobs/tasks.html", tasks=jobs.my_tasks(db, actor, platform))


@router.get("/jobs/tasks/{name:path}")
def task(request: Request, db: Db, actor: ActorDep, platform: PlatformDep, name: str) -> Response:
    """Show a task of a run, with its log."""
    found = jobs.find_task(db, actor, platform, name)
    return page(request, "jobs/task.html", task=found, log=found.folder.read_log())


@router.get("/jobs/{job_id}")
def show(request: Request, db: Db, actor: ActorDep, platform: PlatformDep, job_id: RowId) -> Response:
    """Show one of my batch jobs."""
    job = jobs.find_job(db, actor, job_id)
    return page(
        request,
        "jobs/show.html",
        job=job,
        is_over=jobs.is_over(job),
        log=jobs.log_of(platform, job),
        outputs=jobs.outputs_of(platform, job),
    )


@router.get("/jobs/{job_id}/log")
def log(request: Request, db: Db, actor: ActorDep, platform: PlatformDep, job_id: RowId) -> Response:
    """Return the end of the log: for the page that follows it, or as `?format=text` to take away."""
    job = jobs.find_job(db, actor, job_id)
    text = jobs.log_of(platform, job)
    if request.query_params.get("format") == "text":
        headers = {"Content-Disposition": f'attachment; filename="{job.folder}.log"'}
        return PlainTextResponse(text, headers=headers)
    return page(request, "jobs/_log.html", job=job, is_over=jobs.is_over(job), log=text)


@router.get("/jobs/{job_id}/files")
def file(
    db: Db, actor: ActorDep, platform: PlatformDep, job_id: RowId, name: Name = "", inline: bool = False
) -> Response:
    """Give a file that the batch job wrote; pictures may be shown inside the page."""
    found = jobs.open_output(platform, jobs.find_job(db, actor, job_id), name)
    plain = PurePosixPath(name).name
    kind = jobs.PICTURES.get(PurePosixPath(name).suffix.lower()) if inline else None
    how = "inline" if kind else "attachment"
    headers = {"Content-Disposition": f"{how}; filename*=UTF-8''{quote(plain, safe='')}"}
    return StreamingResponse(chunks(found), media_type=kind or "application/octet-stream", headers=headers)


@router.post("/jobs/{job_id}/cancel")
def cancel(db: Db, actor: ActorDep, job_id: RowId) -> Response:
    """Ask a worker to end a batch job."""
    return see(f"/jobs/{jobs.cancel_job(db, actor, job_id).id}", Notice.JOB_CANCELLED)


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file piece by piece, and close it."""
    with file:
        while chunk := file.read(1 << 20):
            yield chunk
