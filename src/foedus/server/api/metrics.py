"""Tasks and numbers of runs by the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from foedus.server.api.lists import list_json
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.services import logs, numbers, runs

router = APIRouter(prefix="/runs", tags=["runs"])


@router.get("/{name}/tasks", operation_id="runs.tasks")
def tasks(
    db: Db,
    actor: ActorDep,
    platform: PlatformDep,
    name: str,
    number: Annotated[int | None, Query(alias="round", ge=0, le=1_000_000)] = None,
) -> dict[str, Any]:
    """Return the tasks of a round: those of your client, and all of them if you lead the project."""
    run = runs.find_run(db, actor, name)
    found = logs.run_tasks(db, actor, platform, run, run.round if number is None else number)
    return {"items": [task.to_json() for task in found]}


@router.get("/{name}/tasks/log", operation_id="runs.task_log")
def log(
    db: Db,
    actor: ActorDep,
    platform: PlatformDep,
    name: str,
    task: Annotated[str, Query(max_length=200)] = "",
) -> dict[str, str]:
    """Return the last 64 KiB of the log of a task of your client; `task` is its `place`."""
    found = logs.find_log(db, actor, platform, runs.find_run(db, actor, name), task)
    return {"log": found.text}


@router.get("/{name}/numbers", operation_id="runs.numbers")
def numbers_of(request: Request, db: Db, actor: ActorDep, name: str) -> dict[str, Any]:
    """List all numbers of a run; those of the global model have an empty client."""
    return list_json(request, db, numbers.number_listing(runs.find_run(db, actor, name)))
