"""Pages of a run's tasks: how they are, and the logs of one's own."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, Response

from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.pages.render import page
from foedus.server.services import logs, runs

router = APIRouter()

RoundNumber = Annotated[int | None, Query(alias="round", ge=0, le=1_000_000)]
Place = Annotated[str, Query(max_length=200)]


@router.get("/runs/{name}/logs")
def tasks(
    request: Request,
    db: Db,
    actor: ActorDep,
    platform: PlatformDep,
    name: str,
    number: RoundNumber = None,
    task: Place = "",
) -> Response:
    """Show the tasks of a round, the newest one unless another is asked for, and the log of one of mine."""
    run = runs.find_run(db, actor, name)
    number = run.round if number is None else number
    found = logs.run_tasks(db, actor, platform, run, number)
    log = logs.find_log(db, actor, platform, run, task) if task else None
    return page(request, "runs/logs.html", run=run, number=number, tasks=found, log=log)


@router.get("/runs/{name}/logs/tail")
def tail(
    request: Request,
    db: Db,
    actor: ActorDep,
    platform: PlatformDep,
    name: str,
    task: Place = "",
    form: Annotated[str, Query(alias="format", max_length=10)] = "html",
) -> Response:
    """Return the end of a task's log: for the page that follows it, or as `?format=text` to take away."""
    run = runs.find_run(db, actor, name)
    log = logs.find_log(db, actor, platform, run, task)
    if form == "text":
        file = f"{run.name}-{task.replace('/', '-')}.log"
        return PlainTextResponse(log.text, headers={"Content-Disposition": f'attachment; filename="{file}"'})
    return page(request, "runs/_log.html", run=run, log=log)
