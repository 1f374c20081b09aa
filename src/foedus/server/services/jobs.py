"""Batch jobs: those of applications, and the tasks of runs in which one holds data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.core.records import JobState
from foedus.launch import JobFolder
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, require, visible_projects
from foedus.server.db import AppJob, Run, RunClient
from foedus.server.errors import Conflict, NotFound
from foedus.server.listing import Column, Filter, Listing
from foedus.server.platform import Platform
from foedus.server.services.audit import record
from foedus.server.services.places import Entry, browse, open_file
from foedus.site.batch_jobs import BatchJob, tasks_of

STATES: Final = ("waiting", *(state.value for state in JobState))
PICTURES: Final = {".png": "image/png", ".gif": "image/gif", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
"""Files that browsers may show; everything else is only downloaded."""

_MOST_FILES: Final = 500
_MOST_FOLDERS: Final = 50
_MOST_RUNS: Final = 10
_MOST_TASKS: Final = 200
_OVER: Final = frozenset(state.value for state in JobState if state.is_final)


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a batch job wrote. `name` is its path below the output folder."""

    name: str
    size_bytes: int

    @property
    def is_picture(self) -> bool:
        """Whether browsers may show it."""
        return Path(self.name).suffix.lower() in PICTURES


def find_job(db: Session, actor: Actor, job_id: int, action: Action = Action.SEE) -> AppJob:
    """Return one of the actor's batch jobs. Raises `NotFound` for what is missing or somebody else's."""
    job = db.get(AppJob, job_id)
    if job is None:
        raise NotFound("such batch job")
    require(db, actor, action, job, "such batch job")
    return job


def cancel_job(db: Session, actor: Actor, job_id: int) -> AppJob:
    """Ask a worker to end a batch job. Raises `Conflict` for one that has ended."""
    job = find_job(db, actor, job_id, Action.EDIT)
    if job.state in _OVER:
        raise Conflict(f"this batch job is {job.state} already")
    job.wants_cancel = True
    record(db, actor, "cancel batch job", job.folder)
    return job


def is_over(job: AppJob) -> bool:
    """Whether nothing more will happen in it."""
    return job.state in _OVER


def log_of(platform: Platform, job: AppJob) -> str:
    """Return the last 64 KiB of a batch job's log."""
    return JobFolder(platform.user_home(job.owner.name).root / "jobs" / job.folder).read_log()


def outputs_of(platform: Platform, job: AppJob) -> list[Output]:
    """Return the files that a batch job wrote, without links and hidden names."""
    roots, base = (platform.user_home(job.owner.name).root,), _base(job)
    found: list[Output] = []
    folders = [base]
    for folder in folders:  # grows while it is walked
        try:
            entries: Sequence[Entry] = browse(roots, 0, folder).entries
        except NotFound:  # nothing was written yet
            continue
        for one in entries:
            if not one.is_folder:
                found.append(Output(one.place.removeprefix(f"{base}/"), one.size_bytes))
            elif len(folders) < _MOST_FOLDERS:
                folders.append(one.place)
    return found[:_MOST_FILES]


def open_output(platform: Platform, job: AppJob, name: str) -> BinaryIO:
    """Open a file that a batch job wrote. Raises `NotFound`, also for links and places outside."""
    return open_file((platform.user_home(job.owner.name).root,), 0, f"{_base(job)}/{name}")


def my_tasks(db: Session, actor: Actor, platform: Platform) -> list[BatchJob]:
    """Return the tasks that were done for the actor as client, in its newest runs, the newest first."""
    mine = (
        select(Run.name, RunClient.client)
        .join(RunClient, RunClient.run_id == Run.id)
        .where(RunClient.user_id == actor.user_id, Run.project_id.in_(visible_projects(actor)))
        .order_by(Run.id.desc())
        .limit(_MOST_RUNS)
    )
    found = [
        task
        for run, client in db.execute(mine)
        for task in tasks_of(platform.home, run)
        if task.client == client
    ]
    return found[:_MOST_TASKS]


def find_task(db: Session, actor: Actor, platform: Platform, name: str) -> BatchJob:
    """Return a task that was done for the actor. Raises `NotFound`."""
    for task in my_tasks(db, actor, platform):
        if task.name == name:
            return task
    raise NotFound("such batch job")


def job_listing(actor: Actor) -> Listing:
    """Return the list of the actor's batch jobs of applications."""
    return Listing(
        "Batch jobs",
        (
            Column("id", "Number", AppJob.id, is_hidden=True),
            Column("folder", "Batch job", AppJob.folder, link="/jobs/{id}"),
            Column("application", "Application", AppJob.application),
            Column("state", "State", AppJob.state, "state"),
            Column("cause", "Cause", AppJob.cause, is_sortable=False),
            Column("scheduler_id", "Native id", AppJob.scheduler_id, "id"),
            Column("created_at", "Submitted", AppJob.created_at, "time"),
            Column("ended_at", "Ended", AppJob.ended_at, "time"),
        ),
        select().select_from(AppJob).where(AppJob.owner_id == actor.user_id),
        AppJob.id,
        "-created_at",
        empty="No batch job yet. Choose an application, and submit it.",
        search=(AppJob.folder, AppJob.application),
        filters=(Filter("state", "State", AppJob.state, STATES),),
    )


def as_json(job: AppJob) -> dict[str, Json]:
    """Return a batch job as the API gives it."""
    return {
        "id": job.id,
        "name": job.folder,
        "application": job.application,
        "parameters": job.parameters,
        "resources": job.resources,
        "state": job.state,
        "cause": job.cause,
        "scheduler_id": job.scheduler_id,
        "wants_cancel": job.wants_cancel,
        "becomes_dataset": job.becomes_dataset,
    }


def _base(job: AppJob) -> str:
    return f"jobs/{job.folder}/output"
