"""Has heat maps computed that somebody asked for: in a process of its own, a few at a time."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from foedus.apps.explain.order import ORDER, ExplainOrder, Place, Question
from foedus.core.errors import FoedusError
from foedus.rounds.home import make_folder, read_json, write_json
from foedus.server.db import Explanation
from foedus.server.platform import Platform
from foedus.server.services.explain import PREDICTED
from foedus.server.worker.leases import Lease, LeaseLost, claim, give_back, renew

_log = logging.getLogger(__name__)

LIMIT_S: Final = 120.0
"""A process that takes longer over one map is ended: that one is refused, the others are tried again."""

_AT_ONCE: Final = 16
_LOOK_S: Final = 0.1
_RENEW_S: Final = 10.0
_LONGEST_CAUSE: Final = 4000
_LARGEST_PICTURE: Final = 8 << 20
_KEPT: Final = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH")
"""What such a process sees of our environment, which may hold secrets."""


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of one question: figures and pictures, or a cause."""

    found: dict[str, Any] | None
    cause: str = ""
    heat: bytes | None = None
    mask: bytes | None = None


class Explainer:
    """Takes up heat maps that wait, one `step` after the other; it ends with the worker.

    Answers are written one by one, so whatever a killed worker had begun is computed again, and nothing else.
    """

    def __init__(self, platform: Platform, owner: str, limit_s: float = LIMIT_S) -> None:
        self._platform, self._owner, self._limit_s = platform, owner, limit_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._folder = platform.home.root / "explain"

    def __enter__(self) -> Self:
        shutil.rmtree(self._folder, ignore_errors=True)  # of a worker that was killed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def step(self) -> None:
        """Take up what waits, unless the last ones are still being computed."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._platform.reading() as db:  # a claim writes, twice a second, where mostly nothing waits
            if db.scalar(select(Explanation.id).where(Explanation.state == "waiting").limit(1)) is None:
                return
        leases: list[Lease] = []
        while len(leases) < _AT_ONCE:
            lease = claim(self._platform, Explanation, Explanation.state == "waiting", self._owner)
            if lease is None:
                break
            leases.append(lease)
        if leases:
            self._thread = threading.Thread(target=self._answer, args=(leases,), name="explain")
            self._thread.start()

    def _answer(self, leases: Sequence[Lease]) -> None:
        try:
            with self._platform.reading() as db:
                rows = {one.id: db.get(Explanation, one.id) for one in leases}
                questions = [(_question(row), row.image.example) for row in rows.values() if row is not None]
            self._compute(leases, questions)
        except LeaseLost:
            return
        except (FoedusError, SQLAlchemyError, OSError) as error:
            _log.warning("heat maps: %s", error)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._give_back(leases)

    def _give_back(self, leases: Sequence[Lease]) -> None:
        try:
            for one in leases:
                give_back(self._platform, one)
        except SQLAlchemyError as error:  # the leases then run out
            _log.warning("heat maps: %s", error)

    def _compute(self, leases: Sequence[Lease], questions: Sequence[tuple[Question, bytes]]) -> None:
        if not questions:  # all of them were withdrawn
            return
        make_folder(self._folder)
        for question, example in questions:
            (self._folder / question.example).write_bytes(example)
        asked = [question for question, _ in questions]
        order = ExplainOrder(store=str(self._platform.home.store), questions=asked)
        write_json(self._folder / ORDER, order.to_json())
        cause = self._run(leases)
        if self._stop.is_set():
            return
        held = {one.id: one for one in leases}
        for question in asked:
            result = _result(Place(self._folder, question.id))
            if result is None and not cause:
                cause = "the process that computed it ended without an answer"
            self._note(held[question.id], result or _Result(None, cause))
            if result is None:
                return  # it was this one: the others are tried again

    def _run(self, leases: Sequence[Lease]) -> str:
        """Let the process work; returns why it was ended, if it was."""
        command = [sys.executable, "-m", "foedus.apps.explain.task", str(self._folder)]
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment | {"OMP_NUM_THREADS": "1"},
            process_group=0,
        ) as process:
            began = renewed = time.monotonic()
            done = 0
            try:
                while process.poll() is None:
                    if self._stop.wait(_LOOK_S):
                        return "the worker has ended"
                    now = time.monotonic()
                    if (answers := len(list(self._folder.glob("*.json")))) > done:
                        done, began = answers, now
                    if now - began > self._limit_s:
                        return f"it took longer than {self._limit_s:g} s"
                    if now - renewed > _RENEW_S:
                        renewed = now
                        self._renew(leases)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        return ""

    def _renew(self, leases: Sequence[Lease]) -> None:
        with self._platform.writing() as db:
            for one in leases:
                if db.get(Explanation, one.id) is not None:  # its image may have been withdrawn
                    renew(db, one, self._platform.now())

    def _note(self, lease: Lease, result: _Result) -> None:
        """Write down what became of one; nothing when its image was withdrawn meanwhile."""
        with self._platform.writing() as db:
            row = db.get(Explanation, lease.id)
            if row is None:
                return
            lease.require(db)
            row.state = "refused" if result.found is None else "ready"
            row.found, row.cause = result.found, result.cause[:_LONGEST_CAUSE]
            row.heat, row.mask = result.heat, result.mask


def _question(row: Explanation) -> Question:
    return Question(
        id=row.id,
        cid=row.cid,
        example=f"{row.image_id}.npy",
        target=None if row.wanted == PREDICTED else row.wanted,
        layer=row.layer,
    )


def _result(place: Place) -> _Result | None:
    """Return an answer; None when there is none."""
    if not place.answer.is_file():
        return None
    try:
        answer: Any = read_json(place.answer)
        if "cause" in answer:
            return _Result(None, str(answer["cause"]))
        mask = _picture(place.mask) if place.mask.is_file() else None
        return _Result(dict(answer["found"]), heat=_picture(place.heat), mask=mask)
    except (FoedusError, OSError, KeyError, TypeError, ValueError):
        return _Result(None, "its answer cannot be read")


def _picture(path: Path) -> bytes:
    data = path.read_bytes()
    if len(data) > _LARGEST_PICTURE:
        raise ValueError("too large")
    return data
