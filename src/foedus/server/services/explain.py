"""Heat maps: asked for, found, and shown over the images that sites let a project's members see."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from foedus.core.canonical import Json
from foedus.server.auth import limits
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action
from foedus.server.db import ApprovedImage, ChainVersion, Dataset, Explanation, Membership, Run
from foedus.server.errors import Conflict, Invalid, NotFound
from foedus.server.listing import Column, Filter, Listing
from foedus.server.platform import Platform
from foedus.server.services.audit import record
from foedus.server.services.images import is_shown_in
from foedus.server.services.runs import find_run

STATES: Final = ("waiting", "ready", "refused")
PREDICTED: Final = -1
"""Stands for the class that the model predicts."""

_MOST_STEPS: Final = 10  # versions of the strip
_MOST_CHOICES: Final = 500  # images to choose from
_MOST_WAITING: Final = 40  # heat maps that one person waits for
_MOST_MAPS: Final = 5000  # of one image
_LARGEST_CLASS: Final = 100_000
_LONGEST_LAYER: Final = 200


@dataclass(frozen=True, slots=True)
class Wish:
    """What a heat map is asked for: an image, a class (or `PREDICTED`), and a layer (empty: the last one)."""

    image: int
    target: int = PREDICTED
    layer: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """An image that the members of a project see, and by whose leave; `member` is empty for former ones."""

    id: int
    place: int
    label: int | None
    member: str

    @property
    def title(self) -> str:
        """What people call it."""
        return f"image {self.place} of {self.member or 'a former member'}"


def ask(
    db: Session,
    platform: Platform,
    actor: Actor,
    name: str,
    wish: Wish,
    round_: int | None,
    is_all: bool = False,
) -> list[Explanation]:
    """Ask for a heat map, or with `is_all` for those of versions over the whole run; a worker computes them.

    What was computed already is not computed again. Raises `NotFound`, `Invalid`, `Conflict` or `TooMany`.
    """
    limits.attempt(platform, limits.EXPLAIN, actor.name)  # before this transaction begins
    run = find_run(db, actor, name, Action.EXPLAIN)
    faults = {}
    if not PREDICTED <= wish.target <= _LARGEST_CLASS:
        faults["class"] = "must be a number of a class from 0, or nothing for the predicted one"
    if len(wish.layer) > _LONGEST_LAYER or not wish.layer.isprintable():
        faults["layer"] = f"at most {_LONGEST_LAYER} characters"
    if faults:
        raise Invalid(faults)
    sample = find_sample(db, run, wish.image)
    newest = version_at(db, run, None if is_all else round_)
    if newest is None:
        raise Conflict("the run has no model yet", "Wait until it has started.")
    cids = [one.cid for one in spread(db, run)] if is_all else [newest.cid]
    waits = select(func.count()).where(Explanation.asked_by == actor.user_id, Explanation.state == "waiting")
    new = sum(existing(db, wish, cid) is None for cid in cids)
    if new and (db.scalar(waits) or 0) + new > _MOST_WAITING:
        raise Conflict(f"you wait for {_MOST_WAITING} heat maps already", "Wait until these are computed.")
    of_image = select(func.count()).where(Explanation.image_id == sample.id)
    if new and (db.scalar(of_image) or 0) + new > _MOST_MAPS:
        raise Conflict(f"this image has {_MOST_MAPS:,} heat maps already", "Choose another one.")
    found = [_wanted(db, actor, wish, cid) for cid in cids]
    record(db, actor, "ask for heat map", run.name, run.project_id, f"{sample.title}, {len(cids)} versions")
    return found


def find_sample(db: Session, run: Run, image: int) -> Sample:
    """Return an image that the members of a run's project see. Raises `NotFound`."""
    found = samples_of(db, run, ApprovedImage.id == image)
    if not found:
        raise NotFound("such image")
    return found[0]


def find_map(db: Session, run: Run, number: int) -> Explanation:
    """Return a heat map of a version of the run over an image that its members see. Raises `NotFound`."""
    found = select(Explanation).join(ApprovedImage, ApprovedImage.id == Explanation.image_id)
    mine = Explanation.cid.in_(cids_of(run)) & is_shown_in(run.project_id)
    row = db.scalar(found.where(Explanation.id == number, mine))
    if row is None:
        raise NotFound("such heat map")
    return row


def png_of(db: Session, run: Run, image: int) -> bytes:
    """Return an image for people. Raises `NotFound`."""
    return db.get_one(ApprovedImage, find_sample(db, run, image).id).png


def map_png_of(db: Session, run: Run, number: int, is_mask: bool = False) -> bytes:
    """Return a heat map, or the mask that the model predicts, as PNG. Raises `NotFound` without one."""
    row = find_map(db, run, number)
    data = row.mask if is_mask else row.heat
    if data is None:
        raise NotFound("such picture")
    return data


def version_at(db: Session, run: Run, round_: int | None = None) -> ChainVersion | None:
    """Return the version that was in force after a round, the newest one if None."""
    found = select(ChainVersion).where(ChainVersion.run == _chain_run(run))
    if round_ is not None:
        found = found.where(ChainVersion.round <= round_)
    return db.scalar(found.order_by(ChainVersion.version.desc()).limit(1))


def map_listing(run: Run) -> Listing:
    """Return the list of the heat maps of a run that its members see."""
    here = (ChainVersion.cid == Explanation.cid) & (ChainVersion.run == _chain_run(run))
    rows = (
        select()
        .select_from(Explanation)
        .join(ApprovedImage, ApprovedImage.id == Explanation.image_id)
        .join(ChainVersion, here)
        .where(is_shown_in(run.project_id))
    )
    return Listing(
        "Heat maps",
        (
            Column("id", "Heat map", Explanation.id, "number"),
            Column("image", "Image", Explanation.image_id, "number"),
            Column("round", "Round", ChainVersion.round, "number"),
            Column("version", "Version", ChainVersion.version, "number"),
            Column("cid", "Model", Explanation.cid, "id"),
            Column("wanted", "Class", Explanation.wanted, "number"),
            Column("layer", "Layer", Explanation.layer),
            Column("state", "State", Explanation.state, "state"),
        ),
        rows,
        Explanation.id,
        "-id",
        filters=(Filter("state", "State", Explanation.state, STATES),),
    )


def as_json(row: Explanation) -> dict[str, Json]:
    """Return a heat map as the API gives it; `found` is null until it is computed."""
    return {
        "id": row.id,
        "image": row.image_id,
        "label": row.image.label,
        "cid": row.cid,
        "class": None if row.wanted == PREDICTED else row.wanted,
        "layer": row.layer,
        "state": row.state,
        "cause": row.cause,
        "found": row.found,
    }


def address(name: str, wish: Wish, round_: str = "", part: str = "") -> str:
    """Return the address of a run's page with a heat map, or of its `part`."""
    target = "" if wish.target == PREDICTED else str(wish.target)
    words = {"image": str(wish.image), "round": round_, "class": target, "layer": wish.layer}
    return f"/runs/{quote(name, safe='')}/explain{part}?{urlencode(words)}"


def parse_class(text: str) -> int:
    """Read a class as a form gives it; nothing stands for the predicted one. Raises `Invalid`."""
    words = text.strip()
    if not words:
        return PREDICTED
    if not (words.isascii() and words.isdigit() and len(words) < 7):
        raise Invalid({"class": "must be a number of a class from 0, or nothing for the predicted one"})
    return int(words)


def _wanted(db: Session, actor: Actor, wish: Wish, cid: str) -> Explanation:
    row = existing(db, wish, cid)
    if row is None:
        with suppress(IntegrityError), db.begin_nested():  # somebody else may ask at the same time
            new = Explanation(image_id=wish.image, cid=cid, wanted=wish.target, layer=wish.layer)
            new.asked_by = actor.user_id
            db.add(new)
        row = existing(db, wish, cid)
        assert row is not None, "it was made just now, here or elsewhere"
    elif row.state == "refused":
        row.state, row.cause, row.asked_by = "waiting", "", actor.user_id
    return row


def existing(db: Session, wish: Wish, cid: str) -> Explanation | None:
    """Return the heat map of a version that is as wished, if somebody has asked for it."""
    same = {"image_id": wish.image, "cid": cid, "wanted": wish.target, "layer": wish.layer}
    return db.scalar(select(Explanation).filter_by(**same))


def samples_of(db: Session, run: Run, which: ColumnElement[bool] | None = None) -> list[Sample]:
    """Return the images that the members of a run's project see, those of one member together."""
    whose = (Membership.user_id == Dataset.owner_id) & (Membership.project_id == run.project_id)
    found = (
        select(
            ApprovedImage.id, ApprovedImage.place, ApprovedImage.label, func.coalesce(Membership.client, "")
        )
        .join(Dataset, Dataset.id == ApprovedImage.dataset_id)
        .outerjoin(Membership, whose)
        .where(is_shown_in(run.project_id))
        .order_by(Membership.client, ApprovedImage.dataset_id, ApprovedImage.place)
        .limit(_MOST_CHOICES)
    )
    rows = db.execute(found if which is None else found.where(which))
    return [Sample(*row) for row in rows]


def spread(db: Session, run: Run) -> Sequence[ChainVersion]:
    """Return versions from the first to the newest, evenly spread and not too many."""
    newest = version_at(db, run)
    if newest is None:
        return ()
    count = min(_MOST_STEPS, newest.version + 1)
    numbers = {round(newest.version * step / max(1, count - 1)) for step in range(count)}
    found = select(ChainVersion).where(ChainVersion.run == _chain_run(run), ChainVersion.version.in_(numbers))
    return db.scalars(found.order_by(ChainVersion.version)).all()


def cids_of(run: Run) -> Select[str]:
    """Return a query for the CIDs of a run's versions."""
    return select(ChainVersion.cid).where(ChainVersion.run == _chain_run(run))


def _chain_run(run: Run) -> int:
    return -1 if run.chain_run is None else run.chain_run
