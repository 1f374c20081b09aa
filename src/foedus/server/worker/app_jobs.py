"""Submits the batch jobs of applications, follows them, cancels them, and registers what they gave."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy import select

from foedus.apps import submit
from foedus.apps.application import Application
from foedus.apps.parameters import Kind
from foedus.core.errors import FoedusError, InvalidSpec, StorageFull
from foedus.core.ids import Cid
from foedus.core.protocols import Launcher
from foedus.core.records import JobState, JobStatus, Resources
from foedus.rounds.home import Home
from foedus.server.db import AppJob, Dataset
from foedus.server.errors import NotFound
from foedus.server.platform import Platform
from foedus.server.services.applications import find_application, full_resources
from foedus.server.services.datasets import is_taken
from foedus.site.launchers import open_launcher
from foedus.store import DirectoryStore, get_manifest

_OVER: Final = tuple(state.value for state in JobState if state.is_final)
_LONGEST_CAUSE: Final = 4000
_AT_ONCE: Final = 8  # local batch jobs with the same number of processors
_COPY_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A row that is not over."""

    id: int
    owner: str
    application: str
    parameters: Mapping[str, Any]
    resources: Mapping[str, Any]
    folder: str
    becomes_dataset: str
    wants_cancel: bool


class AppJobs:
    """Brings the rows of batch jobs and the site's launcher together, one `step` after the other.

    Folder and key of a batch job follow from its row: whatever a killed worker did is found, not repeated.
    Local batch jobs end with this object; the next one takes them up again.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._opened = contextlib.ExitStack()
        self._launchers: dict[int, Launcher] = {}
        self._known: dict[int, tuple[Launcher, submit.AppJob]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def step(self, wait_s: float = 0.0) -> None:
        """Submit what waits, cancel what is to end, and note what became of the others."""
        wanted = self._wanted()
        for one in wanted:
            if one.id in self._known:
                if one.wants_cancel:
                    launcher, job = self._known[one.id]
                    launcher.cancel(job.native_id)
            elif one.wants_cancel and not self._has_begun(one):
                self._note(one.id, "cancelled", "cancelled before it was submitted")
            else:
                self._take_up(one)
        self._follow(wait_s)

    def _wanted(self) -> list[_Wanted]:
        with self._platform.reading() as db:
            rows = db.scalars(select(AppJob).where(AppJob.state.not_in(_OVER)).order_by(AppJob.id))
            return [
                _Wanted(
                    row.id,
                    row.owner.name,
                    row.application,
                    row.parameters,
                    row.resources,
                    row.folder,
                    row.becomes_dataset,
                    row.wants_cancel,
                )
                for row in rows
            ]

    def _has_begun(self, one: _Wanted) -> bool:
        home = self._platform.user_home(one.owner)
        return one.folder in submit.job_names(home)

    def _take_up(self, one: _Wanted) -> None:
        home = self._platform.user_home(one.owner)
        try:
            application = find_application(self._platform, one.application)
            resources = full_resources(self._platform, application, one.resources)
            self._bring_models(home, application, one.parameters)
            launcher = self._launcher(resources.cpus)
            job = submit.submit_as(
                home, launcher, one.folder, application, one.parameters, resources, one.becomes_dataset
            )
        except StorageFull as error:
            self._note(one.id, "waiting", _words(error))
        except (InvalidSpec, NotFound) as error:
            self._note(one.id, "failed", _words(error))
        except FoedusError as error:
            # data and models that do not fit never will; a scheduler that does not answer may answer soon
            is_begun = self._has_begun(one)
            self._note(one.id, "waiting" if is_begun else "failed", _words(error))
        else:
            self._known[one.id] = (launcher, job)

    def _launcher(self, cpus: int) -> Launcher:
        if cpus not in self._launchers:
            asked = [Resources(cpus=cpus)] * _AT_ONCE
            self._launchers[cpus] = self._opened.enter_context(open_launcher(self._platform.site, asked))
        return self._launchers[cpus]

    def _bring_models(self, home: Home, application: Application, parameters: Mapping[str, Any]) -> None:
        """Copy the models that a batch job reads into its owner's store: others' stay out of its reach."""
        for one in application.parameters:
            value = parameters.get(one.name)
            if one.kind is not Kind.CID or value is None:
                continue
            ours, theirs = self._platform.store, DirectoryStore(home.store)
            manifest = get_manifest(ours, Cid(str(value)))
            for cid in (manifest.model, manifest.weights, Cid(str(value))):
                if not theirs.has(cid):
                    with ours.open(cid) as file:
                        theirs.put(iter(lambda file=file: file.read(_COPY_BYTES), b""))  # type: ignore[misc]

    def _follow(self, wait_s: float) -> None:
        numbers = {job.native_id: number for number, (_, job) in self._known.items()}
        for launcher in self._launchers.values():
            ids = [job.native_id for its, job in self._known.values() if its is launcher]
            for native_id, status in (launcher.states(ids, wait_s) if ids else {}).items():
                number = numbers[native_id]
                _, job = self._known[number]
                self._note(number, status.state.value, _cause(job, status), status, job.order.dataset_kind)
                if status.state.is_final:
                    del self._known[number]

    def _note(
        self, number: int, state: str, cause: str, status: JobStatus | None = None, dataset_kind: str = ""
    ) -> None:
        """Write down a state, once; what completed becomes a dataset in the same transaction."""
        with self._platform.writing() as db:
            row = db.get(AppJob, number)
            if row is None or row.state in _OVER:
                return
            row.state, row.cause = state, cause[:_LONGEST_CAUSE]
            if status is not None:
                row.scheduler_id, row.scheduler_state = status.scheduler_id, status.scheduler_state
            if state == JobState.RUNNING and row.started_at is None:
                row.started_at = self._platform.now()
            if state not in _OVER:
                return
            row.ended_at = self._platform.now()
            if state != JobState.COMPLETED or not row.becomes_dataset or not dataset_kind:
                return
            if is_taken(db, row.owner_id, row.becomes_dataset):
                row.cause = f"its output is not registered: there is a dataset {row.becomes_dataset} already"
                return
            request = {"job": row.folder, "recipe": [], "val": 0.1, "test": 0.1, "seed": 1}
            name = row.becomes_dataset
            db.add(Dataset(owner_id=row.owner_id, name=name, kind=dataset_kind, request=request))


def _cause(job: submit.AppJob, status: JobStatus) -> str:
    if status.state is JobState.FAILED:
        failure = job.folder.read_failure()
        if failure is not None:
            return f"{failure.message}. {failure.hint}".strip()
    return status.cause


def _words(error: FoedusError) -> str:
    return f"{error.message}. {error.hint}".strip()
