"""How batch jobs are listed: as a table for people, as lines for programs."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from foedus.client.output import print_table, seconds_text, time_text
from foedus.core.canonical import Json, canonical_json
from foedus.site.batch_jobs import BatchJob

CSV_COLUMNS: Final = (
    *("batch job", "application", "client", "dataset", "parameters", "state", "native id", "native state"),
    *("attempt", "queued_s", "running_s", "node", "cause", "as of", "folder"),
)
_COLUMNS: Final = (
    *("batch job", "application", "for", "state", "native id", "attempt", "queued", "running", "cause"),
)


def csv_row(job: BatchJob) -> tuple[object, ...]:
    """Return its values for `CSV_COLUMNS`; parameters as JSON."""
    queued, running = ("" if s is None else f"{s:.1f}" for s in (job.queued_s, job.running_s))
    parameters = canonical_json(dict(job.parameters)).decode() if job.parameters else ""
    return (
        *(job.name, job.application, job.client, job.dataset, parameters, job.state, job.scheduler_id),
        *(job.scheduler_state, job.attempt, queued, running, job.node, job.cause),
        *("" if job.as_of is None else time_text(int(job.as_of)), job.folder.path),
    )


def print_list(shown: Iterable[BatchJob], known: Iterable[BatchJob]) -> None:
    """Print a table. Of each is told for which client it is, or what it has other than those known."""
    varied = _varied(known)
    rows = [
        (
            *(job.name, job.application, _told_apart(job, varied[job.application]), state_text(job)),
            *(job.scheduler_id, job.attempt, duration(job.queued_s), duration(job.running_s)),
            job.cause.partition("\n")[0],
        )
        for job in shown
    ]
    print_table(_COLUMNS, rows, right=("attempt", "queued", "running"))


def state_text(job: BatchJob) -> str:
    """Say its state, and of when that is where nobody could be asked."""
    if job.as_of is None:
        return job.state
    return f"{job.state} as of {time.strftime('%d %b %H:%M', time.localtime(job.as_of))}"


def duration(seconds: float | None) -> str:
    """Say how long it took; nothing where nobody saw it."""
    return "" if seconds is None else seconds_text(seconds)


def values_text(values: Mapping[str, Json], names: Iterable[str]) -> str:
    """Say these of the values, in one line."""
    return ", ".join(f"{name} = {values[name]}" for name in names if name in values)


def _told_apart(job: BatchJob, varied: Sequence[str]) -> str:
    return job.client or values_text(job.parameters, varied) or job.dataset


def _varied(jobs: Iterable[BatchJob]) -> Mapping[str, list[str]]:
    """Return, for each application, which of its parameters are not the same in all its batch jobs."""
    every: dict[str, list[Mapping[str, Json]]] = defaultdict(list)
    for job in jobs:
        every[job.application].append(job.parameters)
    found: dict[str, list[str]] = {}
    for application, values in every.items():
        names = dict.fromkeys(name for one in values for name in one)
        found[application] = [name for name in names if len({repr(one.get(name)) for one in values}) > 1]
    return found
