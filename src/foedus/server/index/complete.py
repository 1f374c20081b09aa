"""What the store adds to the index: names of runs, weights of versions, shared examples of updates.

The store may lack an object for a while, or for ever. What is missing is looked for again each time, the
newest first.
"""

from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from foedus.core.errors import FoedusError, UpdateRefused
from foedus.core.ids import Cid
from foedus.learn.weights import SHARED
from foedus.rounds.documents import Terms, fetch
from foedus.server.db import ChainAnswer, ChainRun, ChainVersion
from foedus.server.platform import Platform
from foedus.store import TensorFile, TensorSpec, get_manifest

_AT_ONCE: Final = 200  # rows that wait for something from the store, looked up in one go
_COUNT: Final = TensorSpec("I64", (1,))


def complete(platform: Platform) -> None:
    """Look up in the store what rows lack, and write it."""
    with platform.reading() as db:
        unnamed = db.scalars(
            select(ChainRun).filter_by(name="").order_by(ChainRun.run.desc()).limit(_AT_ONCE)
        ).all()
        weightless = db.scalars(
            select(ChainVersion)
            .where(ChainVersion.weights.is_(None))
            .order_by(ChainVersion.time.desc(), ChainVersion.run, ChainVersion.version)
            .limit(_AT_ONCE)
        ).all()
        uncounted = db.scalars(
            select(ChainAnswer)
            .where(ChainAnswer.num_shared.is_(None), ChainAnswer.cid.is_not(None))
            .order_by(ChainAnswer.time.desc())
            .limit(_AT_ONCE)
        ).all()
    names = {run.run: name for run in unnamed if (name := _name(platform, run.terms))}
    sizes = {(one.run, one.version): size for one in weightless if (size := _weights(platform, one.cid))}
    counts = [(one, count) for one in uncounted if (count := _num_shared(platform, one)) is not None]
    if names or sizes or counts:
        with platform.writing() as db:
            _write(db, names, sizes, counts)


def _write(
    db: Session,
    names: dict[int, str],
    sizes: dict[tuple[int, int], tuple[str, int]],
    counts: list[tuple[ChainAnswer, int]],
) -> None:
    for number, name in names.items():
        db.execute(update(ChainRun).filter_by(run=number).values(name=name))
    for (number, version), (weights, size_bytes) in sizes.items():
        changed = update(ChainVersion).filter_by(run=number, version=version)
        db.execute(changed.values(weights=weights, size_bytes=size_bytes))
    for one, count in counts:
        place = {"run": one.run, "round": one.round, "step": one.step, "client": one.client}
        db.execute(update(ChainAnswer).filter_by(**place).values(num_shared=count))


def _name(platform: Platform, terms: str) -> str | None:
    try:
        return fetch(platform.store, Cid(terms), Terms).name
    except FoedusError:
        return None


def _weights(platform: Platform, cid: str) -> tuple[str, int] | None:
    try:
        weights = get_manifest(platform.store, Cid(cid)).weights
        return weights, platform.store.size(weights)
    except FoedusError:
        return None


def _num_shared(platform: Platform, answer: ChainAnswer) -> int | None:
    """Return how many of an update's examples are shared ones; 0 where it does not say or cannot be true."""
    try:
        with platform.store.open(Cid(str(answer.cid))) as file:
            tensors = TensorFile(file)
            if SHARED not in tensors.names() or tensors.spec(SHARED) != _COUNT:
                return 0
            found = int(tensors.read(SHARED)[0])
    except UpdateRefused:
        return 0
    except FoedusError:
        return None
    return found if 0 <= found <= answer.num_examples else 0
