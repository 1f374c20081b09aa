"""The worker: compares what people asked for with what is, and does what is missing. Several are safe.

The chain of one installation has one writer, so of several workers one works while the others stand by; when
it dies, the kernel lets go of its lock and another one goes on at once.
"""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Final

from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import SQLAlchemyError

from foedus.core.errors import FoedusError, HomeInUse
from foedus.rounds.runs import Site, open_site
from foedus.server.db import Dataset, ImageRequest, Run, SharedDataset, Worker
from foedus.server.demo import welcome
from foedus.server.index.follow import follow
from foedus.server.platform import Platform
from foedus.server.worker.app_jobs import AppJobs
from foedus.server.worker.datasets import register_dataset
from foedus.server.worker.driving import drive
from foedus.server.worker.explaining import Explainer
from foedus.server.worker.images import copy_images
from foedus.server.worker.leases import Lease, LeasedRow, claim, give_back, take_over
from foedus.server.worker.people import bring_up_to_date
from foedus.server.worker.shared_data import publish
from foedus.version import VERSION

_log = logging.getLogger(__name__)

_PAUSE_S: Final = 0.5  # between two looks at the database
_STANDBY_S: Final = 1.0
_BEAT_TURNS: Final = 10  # looks between two signs of life


class PlatformWorker:
    """Works until `stop` is set."""

    def __init__(self, platform: Platform, stop: threading.Event) -> None:
        self._platform, self._stop = platform, stop
        self.name = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(2)}"
        self._started = platform.now()
        self._runs: dict[int, threading.Thread] = {}
        self._reader: threading.Thread | None = None  # reads data, which may take long

    def run(self) -> None:
        """Work, or stand by while another worker does."""
        try:
            while not self._stop.is_set():
                try:
                    with open_site(self._platform.home) as site:
                        self._work(site)
                except HomeInUse as error:
                    self._beat("standby", error.message)
                    self._stop.wait(_STANDBY_S)
        finally:
            self._beat("stopped", "")

    def _work(self, site: Site) -> None:
        site.clock.go_on_from(site.ledger.head().timestamp)
        take_over(self._platform, self.name)
        turn = 0
        try:
            with AppJobs(self._platform) as jobs, Explainer(self._platform, self.name) as explainer:
                while not self._stop.is_set():
                    if turn % _BEAT_TURNS == 0:
                        self._beat("working", self._doing())
                    turn += 1
                    self._attempt("the demo", lambda: welcome(self._platform))
                    self._attempt("people", lambda: bring_up_to_date(self._platform, site.ledger))
                    self._attempt("the index", lambda: follow(self._platform, site.ledger))
                    self._attempt("batch jobs", jobs.step)
                    self._attempt("runs", lambda: self._take_up_runs(site))
                    self._attempt("datasets", self._take_up_data)
                    self._attempt("heat maps", explainer.step)
                    self._stop.wait(_PAUSE_S)
        finally:
            self._stop_runs()

    def _attempt(self, what: str, do: Callable[[], object]) -> None:
        """Do one kind of work; its failure must not keep the others from being done."""
        try:
            do()
        except (FoedusError, SQLAlchemyError, OSError) as error:
            _log.warning("%s: %s", what, error)
        except Exception:
            _log.exception("%s: a defect", what)

    def _take_up_runs(self, site: Site) -> None:
        for run in [run for run, thread in self._runs.items() if not thread.is_alive()]:
            del self._runs[run]
        while len(self._runs) < self._platform.server.runs_at_once:
            lease = claim(self._platform, Run, _next_run(), self.name)
            if lease is None:
                return
            name = f"run-{lease.id}"
            thread = threading.Thread(target=drive, args=(self._platform, site, lease, self._stop), name=name)
            self._runs[lease.id] = thread
            thread.start()

    def _take_up_data(self) -> None:
        if self._reader is not None and self._reader.is_alive():
            return
        kinds: tuple[tuple[LeasedRow, ColumnElement[bool], Callable[[Platform, int], None]], ...] = (
            (Dataset, Dataset.state == "checking", register_dataset),
            (SharedDataset, SharedDataset.state == "publishing", publish),
            (ImageRequest, ImageRequest.state == "copying", copy_images),
        )
        for table, wanted, handler in kinds:
            lease = claim(self._platform, table, wanted, self.name)
            if lease is not None:
                self._reader = threading.Thread(target=self._read, args=(lease, handler), daemon=True)
                self._reader.start()
                return

    def _read(self, lease: Lease, handler: Callable[[Platform, int], None]) -> None:
        self._attempt("datasets", lambda: handler(self._platform, lease.id))
        self._attempt("datasets", lambda: give_back(self._platform, lease))

    def _stop_runs(self) -> None:
        self._stop.set()
        for thread in self._runs.values():
            thread.join()

    def _doing(self) -> str:
        return f"{len(self._runs)} runs" if self._runs else "nothing to do"

    def _beat(self, state: str, doing: str) -> None:
        """Leave a sign of life for the pages. A database that is away is no reason to stop."""
        try:
            with self._platform.writing() as db:
                row = db.get(Worker, self.name) or Worker(name=self.name, started_at=self._started)
                row.seen_at, row.state, row.doing, row.version = self._platform.now(), state, doing, VERSION
                db.add(row)
        except SQLAlchemyError as error:
            _log.warning("no sign of life can be left: %s", error)


def _next_run() -> ColumnElement[bool]:
    """Return which runs may be driven: each project has one at a time, the oldest first."""
    open_states = ("waiting", "preparing", "running")
    earlier = Run.__table__.alias("earlier")
    has_earlier = (
        select(earlier.c.id)
        .where(
            earlier.c.project_id == Run.project_id, earlier.c.id < Run.id, earlier.c.state.in_(open_states)
        )
        .exists()
    )
    return Run.state.in_(open_states) & ~has_earlier
