"""`foedus site check`: tries out the configured cluster, and says in words what is wrong and what to do."""

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from foedus.client import probe, site_words
from foedus.client.site_words import Finding
from foedus.core.errors import FoedusError, InvalidSpec
from foedus.core.ids import NativeId
from foedus.core.protocols import Launcher
from foedus.core.records import JobSpec, JobState, JobStatus, Resources
from foedus.launch import JobFolder, LocalLauncher
from foedus.launch.cluster import Order
from foedus.site.config import site_rows, slurm_site
from foedus.site.launchers import cluster_launcher, outlives_us, scheduler_of
from foedus.site.limits import all_wanted, wanted
from foedus.site.settings import CONFIG_FILE, Settings

FOLDER: Final = "site-check"
_WALLTIME_S: Final = 300.0  # of the batch jobs of a check
_RESERVE_S: Final = 15.0  # for cancelling and clearing up
_PAUSE_S: Final = 0.5
Observer = Callable[[str], None]


def check_site(
    settings: Settings, application: str, timeout_s: float, observer: Observer = lambda doing: None
) -> Iterator[Finding]:
    """Yield what is found, one thing after the other, until something is so wrong that the rest must be.

    Batch jobs ask for what those of `application` ask for, but for minutes only, in a folder that is removed
    in the end. Further ones ask for all that runs will ask for, and are cancelled at once. `observer` is told
    what is being done. Takes no longer than about `timeout_s` seconds, whatever the cluster does.
    """
    deadline = time.monotonic() + timeout_s - min(_RESERVE_S, timeout_s / 4)
    try:
        yield _settings_found(settings)
        asked, threads = wanted(settings, application)
        asked = replace(asked, walltime_s=min(asked.walltime_s, _WALLTIME_S))
        if outlives_us(settings):
            _require_fit(settings, asked)
            yield from _scheduler_found(settings, observer)
        with _work_folder(settings.home) as folder, _launcher(settings, threads) as launcher:
            site = _Site(settings, launcher, folder, asked, threads, deadline, observer)
            yield from site.try_a_job()
            yield site.try_to_cancel()
            if outlives_us(settings):
                yield from site.try_limits(all_wanted(settings, application))
    except _Stop as stop:
        yield stop.finding
    except FoedusError as error:
        yield Finding(
            "settings" if isinstance(error, InvalidSpec) else "scheduler", False, error.message, error.hint
        )


class _Stop(Exception):
    """Nothing more can be tried."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding


def _settings_found(settings: Settings) -> Finding:
    rows = site_rows(settings)
    file = settings.home / CONFIG_FILE
    said = f"{len([row for row in rows if row[2] != 'default'])} of {file}" if file.is_file() else "defaults"
    return Finding("settings", True, f"launcher {settings.launcher}; {said}")


def _require_fit(settings: Settings, asked: Resources) -> None:
    """Raise `InvalidSpec` for what no answer of the scheduler could mend: the user, the folder, a wish."""
    argv, folder = ("true",), str(settings.home / FOLDER / "fit")
    scheduler_of(settings).check(Order(f"foedus-{FOLDER}", argv, folder, asked, "SITE_CHECK"))


def _scheduler_found(settings: Settings, observer: Observer) -> Iterator[Finding]:
    observer("looking for the scheduler")
    if settings.launcher == "slurm":
        site, _ = slurm_site(settings)
        if site.rest is None:
            yield site_words.commands_found(site)
    began = time.monotonic()
    scheduler_of(settings).look([f"foedus-{FOLDER}"])
    yield Finding("scheduler", True, f"answers after {time.monotonic() - began:.2f} s")


@contextmanager
def _work_folder(home: Path) -> Iterator[Path]:
    """Make a folder where batch jobs can be tried, and remove it again with all that is in it."""
    folder = home / FOLDER / secrets.token_hex(4)
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise InvalidSpec(
            f"cannot write to the home folder {home}: {error.strerror}", "Choose another."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another check is under way
            folder.parent.rmdir()


def _launcher(settings: Settings, threads: int) -> AbstractContextManager[Launcher]:
    if outlives_us(settings):
        return cluster_launcher(settings, threads, probe.ENTRY)
    from foedus.rounds.backend import SETUP

    return LocalLauncher(probe.ENTRY, workers=1, threads=threads, setup=SETUP)


@dataclass
class _Site:
    settings: Settings
    launcher: Launcher
    folder: Path
    asked: Resources
    threads: int
    deadline: float
    observer: Observer
    word: str = field(default_factory=lambda: secrets.token_hex(8))

    def try_a_job(self) -> Iterator[Finding]:
        """Run a batch job and compare what it tells with what was asked for. Raises `_Stop`."""
        began = time.monotonic()
        folder, native_id = self._submit("probe", self.asked, wait=False)
        status = self._follow("batch job", native_id, lambda status: _has_ended(status, folder))
        result = folder.read_result() if status.state is JobState.COMPLETED else None
        if result is None:
            raise _Stop(site_words.job_failed(status, folder, self.settings))
        where = f"ran on {result['host']}" + (f" as {status.scheduler_id}" if status.scheduler_id else "")
        yield Finding("batch job", True, f"{where}; done after {time.monotonic() - began:.1f} s")
        yield from self._compare(result)
        yield site_words.log_found(self.word in self.launcher.logs(native_id))

    def _compare(self, result: Mapping[str, Any]) -> Iterator[Finding]:
        here = self.settings.home
        yield site_words.home_found(result["beside"] == self.word, here, str(result["beside"]))
        yield site_words.user_found(result["user"], os.getuid())
        yield site_words.program_found(result, self.settings.launcher)
        yield site_words.processors_found(result, self.asked, self.threads)
        if self.asked.gpus:
            yield site_words.gpus_found(result, self.asked)
        yield site_words.scratch_found(result, self.asked, self.settings.launcher)

    def try_to_cancel(self) -> Finding:
        """Submit a batch job that waits, and cancel it. Raises `_Stop`."""
        _, native_id = self._submit("waiting", self.asked, wait=True)
        self._follow("cancel", native_id, lambda status: status.state is not JobState.UNKNOWN)
        began = time.monotonic()
        self.launcher.cancel(native_id)
        status = self._follow("cancel", native_id, lambda status: status.state.is_final)
        if status.state is not JobState.CANCELLED:
            return Finding(
                "cancel", False, f"a batch job that was cancelled is {status.state}: {status.cause}"
            )
        return Finding("cancel", True, f"a batch job was cancelled after {time.monotonic() - began:.1f} s")

    def try_limits(self, every: Mapping[Resources, Sequence[str]]) -> Iterator[Finding]:
        """Submit batch jobs that ask for all that runs will ask for, and cancel them. Raises `_Stop`."""
        are_taken = True
        for number, (asked, names) in enumerate(every.items()):
            _, native_id = self._submit(f"limits-{number}", asked, wait=True)
            status = self._follow(
                "limits", native_id, lambda status: status.state.is_final or _is_seen(status)
            )
            self.launcher.cancel(native_id)
            fault = site_words.limit_found(status, asked, names, self.settings)
            if fault is not None:
                are_taken = False
                yield fault
            self._follow("limits", native_id, lambda status: status.state.is_final)
        if are_taken:
            yield site_words.limits_kept(every)

    def _submit(self, name: str, asked: Resources, wait: bool) -> tuple[JobFolder, NativeId]:
        self.observer("submitting a batch job")
        beside = self.folder / "beside"
        beside.write_text(self.word)
        folder = JobFolder(self.folder / name)
        folder.path.mkdir(mode=0o700)
        folder.write_spec({"word": self.word, "wait": wait, "beside": str(beside)})
        spec, key = JobSpec("SITE_CHECK", str(folder.path), asked), f"{FOLDER}/{self.folder.name}/{name}"
        try:
            return folder, self.launcher.submit(spec, key)
        except KeyboardInterrupt:  # the cluster may have it by now: it is found again by its name
            self.launcher.cancel(self.launcher.submit(spec, key))
            raise

    def _follow(self, what: str, native_id: NativeId, enough: Callable[[JobStatus], bool]) -> JobStatus:
        """Wait until the batch job's state is enough. Raises `_Stop` when time is over."""
        status = self.launcher.states([native_id])[native_id]
        try:
            while not enough(status):
                self.observer(
                    f"the batch job is {status.state}" + (f": {status.cause}" if status.cause else "")
                )
                if time.monotonic() > self.deadline:
                    raise _Stop(site_words.too_slow(what, status))
                status = self.launcher.states([native_id], _PAUSE_S)[native_id]
        except BaseException:  # also when somebody interrupts us
            self.launcher.cancel(native_id)
            raise
        return status


def _is_seen(status: JobStatus) -> bool:
    """Whether the scheduler has said something of a batch job that it took."""
    return status.state is not JobState.UNKNOWN and status.scheduler_state != ""


def _has_ended(status: JobStatus, folder: JobFolder) -> bool:
    """Whether it has ended; one that failed and said why is not waited for until its files must be there."""
    return status.state.is_final or site_words.said_in_the_end(status, folder) != ""
