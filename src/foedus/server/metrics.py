"""Metrics for Prometheus: requests, runs, workers, the index. No names of people, projects or runs."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from foedus.server.db import AppJob, ChainHead, Run, Worker
from foedus.server.logs import Answered
from foedus.server.platform import Platform

_BUCKETS_S: Final = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
_STATES: Final = ("waiting", "preparing", "running", "completed", "failed", "cancelled")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REFUSED: Final = frozenset({401, 403, 422, 429})


class Metrics:
    """Counts of one web process, in a registry of its own, and gauges that are read when asked for."""

    def __init__(self, platform: Platform) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "foedus_requests", "requests", ("route", "method", "status"), registry=registry
        )
        self._seconds = Histogram(
            "foedus_request_seconds", "time of requests", ("route",), registry=registry, buckets=_BUCKETS_S
        )
        self._listeners = Gauge("foedus_listeners", "browsers that follow events", registry=registry)
        self._refused = Counter("foedus_sign_in_failures", "refused sign-ins", registry=registry)
        registry.register(_Database(platform))

    def count(self, answered: Answered) -> None:
        """Count a request that is over."""
        method = answered.method if answered.method in _METHODS else "other"
        self._requests.labels(answered.route, method, str(answered.status)).inc()
        self._seconds.labels(answered.route).observe(answered.seconds)
        if answered.route == "/sign-in" and method == "POST" and answered.status in _REFUSED:
            self._refused.inc()

    def listen(self, change: int) -> None:
        """Count somebody who begins or ceases to follow events."""
        self._listeners.inc(change)

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self._registry)


class _Database:
    """Gauges that are counted in the database; none while it does not answer."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def describe(self) -> list[Metric]:
        return []  # registering must not ask the database

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("foedus_database_up", "whether the database answers")
        try:
            found = self._read()
        except SQLAlchemyError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from found

    def _read(self) -> list[Metric]:
        now = self._platform.now()
        runs = GaugeMetricFamily("foedus_runs", "runs by state", labels=("state",))
        with self._platform.reading() as db:
            by_state = select(Run.state, func.count()).group_by(Run.state)
            counts = dict(db.execute(by_state).all())
            jobs = db.scalar(select(func.count()).where(AppJob.state == "waiting").select_from(AppJob))
            height = db.scalar(select(func.max(ChainHead.block)))
            seen = db.scalar(select(func.max(Worker.seen_at)))
        for state in _STATES:
            runs.add_metric([state], counts.get(state, 0))
        found: list[Metric] = [
            runs,
            _gauge("foedus_queue_runs", "runs that wait for a worker", counts.get("waiting", 0)),
            _gauge("foedus_queue_jobs", "batch jobs of applications that wait for a worker", jobs or 0),
        ]
        if height is not None:
            found.append(_gauge("foedus_index_height", "the newest block in the index", height))
        if seen is not None:
            age = (now - seen).total_seconds()
            found.append(_gauge("foedus_worker_seen_seconds", "time since a worker was seen", age))
        return found


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)
