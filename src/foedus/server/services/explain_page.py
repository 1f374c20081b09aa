"""What the page of a run's heat maps shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, can
from foedus.server.db import ApprovedImage, ChainVersion, Dataset, Explanation, Membership, Run
from foedus.server.services.explain import (
    Sample,
    Wish,
    cids_of,
    existing,
    find_sample,
    samples_of,
    spread,
    version_at,
)
from foedus.server.services.images import is_shown_in


@dataclass(frozen=True, slots=True)
class Step:
    """One version of the strip that shows how the map changed, with its map if there is one."""

    round: int
    version: int
    map: Explanation | None


@dataclass(frozen=True, slots=True)
class Shown:
    """All that the page shows. `sample`, `version`, `wish` and `map` are None where there is none."""

    samples: Sequence[Sample]
    sample: Sample | None
    following: int | None  # image after this one
    version: ChainVersion | None
    newest_round: int
    wish: Wish | None
    map: Explanation | None
    steps: Sequence[Step]
    layers: Sequence[str]
    silent: Sequence[str]  # members who contribute, and whose site shares no images
    may_ask: bool


def show(
    db: Session, actor: Actor, run: Run, image: int | None, round_: int | None, target: int, layer: str
) -> Shown:
    """Gather the page of a run; the first image and the newest version where none is asked for.

    Raises `NotFound` for images that the project's members do not see.
    """
    samples = samples_of(db, run)
    sample = find_sample(db, run, image) if image is not None else next(iter(samples), None)
    version, newest = version_at(db, run, round_), version_at(db, run)
    wish = None if sample is None else Wish(sample.id, target, layer)
    return Shown(
        samples,
        sample,
        _following(samples, sample),
        version,
        0 if newest is None else newest.round,
        wish,
        existing(db, wish, version.cid) if wish is not None and version is not None else None,
        _steps(db, run, wish) if wish is not None and version is not None else (),
        _layers(db, run),
        _silent(db, run),
        can(db, actor, Action.EXPLAIN, run).allowed,
    )


def _following(samples: Sequence[Sample], sample: Sample | None) -> int | None:
    """Return the image after one, from the last on to the first; None where there is no other."""
    order = [one.id for one in samples]
    if sample is None or len(order) < 2 or sample.id not in order:
        return None
    return order[(order.index(sample.id) + 1) % len(order)]


def _steps(db: Session, run: Run, wish: Wish) -> list[Step]:
    return [Step(one.round, one.version, existing(db, wish, one.cid)) for one in spread(db, run)]


def _layers(db: Session, run: Run) -> list[str]:
    """Return the layers that a heat map of the run told of; none before the first."""
    told = select(Explanation.found).where(Explanation.cid.in_(cids_of(run)), Explanation.state == "ready")
    found: Any = db.scalar(told.order_by(Explanation.id.desc()).limit(1)) or {}
    return [str(name) for name in found.get("layers", ())]


def _silent(db: Session, run: Run) -> list[str]:
    """Return the members who contribute and show no image, be it of other data than they train on."""
    shows = (
        select(ApprovedImage.id)
        .join(Dataset, Dataset.id == ApprovedImage.dataset_id)
        .where(Dataset.owner_id == Membership.user_id, is_shown_in(run.project_id))
        .correlate(Membership)
        .exists()
    )
    found = select(Membership.client).where(
        Membership.project_id == run.project_id,
        Membership.state == "active",
        Membership.dataset_id.is_not(None),
        ~shows,
    )
    return list(db.scalars(found.order_by(Membership.client)))
