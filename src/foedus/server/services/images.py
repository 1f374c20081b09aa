"""Images that a site shows: approved one by one by the dataset's owner, seen in the projects it serves."""

import re
from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, SQLColumnExpression, func, literal, or_, select
from sqlalchemy.orm import Session, aliased

from foedus.core.canonical import Json
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action
from foedus.server.db import ApprovedImage, Dataset, ImageRequest, Membership, Project, SharedDataset
from foedus.server.errors import Conflict, Invalid, NotFound
from foedus.server.listing import Column, Listing
from foedus.server.services.audit import record
from foedus.server.services.datasets import find_dataset, forget_images

MOST_IMAGES: Final = 50  # of one dataset
MOST_PER_LABEL: Final = 10
_MOST_WAITING: Final = 5  # requests of one dataset
_SEPARATOR: Final = re.compile(r"[\s,]+")


def approve_images(
    db: Session, actor: Actor, dataset_id: int, places: Sequence[int], per_label: int = 0
) -> ImageRequest:
    """Let single images of an own dataset be seen in its projects; a worker copies them.

    `places` are numbers of examples from 0; `per_label`: so many of each label besides, the first ones.
    Raises `Invalid` naming each wrong field, `Conflict` while the dataset is not ready or much is copied.
    """
    dataset = find_dataset(db, actor, dataset_id, Action.EDIT)
    if dataset.state != "ready":
        raise Conflict(f"the dataset is {dataset.state}", "Only images of a dataset that is ready are shown.")
    faults = {}
    last = (dataset.examples or 0) - 1
    if not 0 <= per_label <= MOST_PER_LABEL:
        faults["per_label"] = f"must be from 0 to {MOST_PER_LABEL}"
    if any(not 0 <= place <= last for place in places):
        faults["places"] = f"must be from 0 to {last:,}"
    elif not places and not per_label:
        faults["places"] = "give numbers of examples, or how many of each label"
    elif len(set(places)) + len(approved_images(db, dataset)) > MOST_IMAGES:
        faults["places"] = (
            f"at most {MOST_IMAGES} images of a dataset, those that are shown already among them"
        )
    if faults:
        raise Invalid(faults)
    copying = select(func.count()).where(
        ImageRequest.dataset_id == dataset.id, ImageRequest.state == "copying"
    )
    if (db.scalar(copying) or 0) >= _MOST_WAITING:
        raise Conflict("images of this dataset are being copied", "Wait until that is done.")
    request = ImageRequest(dataset_id=dataset.id, places=sorted(set(places)), per_label=per_label)
    db.add(request)
    db.flush()
    words = [f"places {', '.join(map(str, request.places))}"] if places else []
    words += [f"the first {per_label} of each label"] if per_label else []
    record(db, actor, "approve images", dataset.name, details="; ".join(words))
    return request


def withdraw_images(db: Session, actor: Actor, dataset_id: int, image_id: int | None = None) -> int:
    """Take one image back, or all with those that are being copied; returns how many.

    What was computed from them goes with them. Raises `NotFound` for an image that is not there.
    """
    dataset = find_dataset(db, actor, dataset_id, Action.EDIT)
    if image_id is not None:
        image = own_image(db, actor, dataset.id, image_id)
        what = f"place {image.place}"
        db.delete(image)
        count = 1
    else:
        what, count = "all", forget_images(db, dataset)
    record(db, actor, "withdraw images", dataset.name, details=what)
    return count


def own_image(db: Session, actor: Actor, dataset_id: int, image_id: int) -> ApprovedImage:
    """Return an image of one of the actor's datasets. Raises `NotFound`."""
    dataset = find_dataset(db, actor, dataset_id)
    image = db.get(ApprovedImage, image_id)
    if image is None or image.dataset_id != dataset.id:
        raise NotFound("such image")
    return image


def approved_images(db: Session, dataset: Dataset) -> Sequence[ApprovedImage]:
    """Return the images of a dataset that are shown."""
    found = select(ApprovedImage).where(ApprovedImage.dataset_id == dataset.id)
    return db.scalars(found.order_by(ApprovedImage.place)).all()


def latest_request(db: Session, dataset: Dataset) -> ImageRequest | None:
    """Return what the owner asked for last."""
    found = select(ImageRequest).where(ImageRequest.dataset_id == dataset.id)
    return db.scalar(found.order_by(ImageRequest.id.desc()).limit(1))


def audience(db: Session, dataset: Dataset) -> Sequence[Project]:
    """Return the projects whose members see the images of a dataset."""
    found = select(Project).where(_serves(Project.id, literal(dataset.id)))
    return db.scalars(found.order_by(Project.slug)).all()


def is_shown_in(project_id: int) -> ColumnElement[bool]:
    """Return the condition under which the members of a project see an image: use it in every query."""
    dataset = aliased(Dataset)
    ready = select(dataset.id).where(dataset.state == "ready", _serves(literal(project_id), dataset.id))
    return ApprovedImage.dataset_id.in_(ready)


def image_listing(project_id: int) -> Listing:
    """Return the list of the images that the members of a project see."""
    whose = (Membership.user_id == Dataset.owner_id) & (Membership.project_id == project_id)
    rows = (
        select()
        .select_from(ApprovedImage)
        .join(Dataset, Dataset.id == ApprovedImage.dataset_id)
        .outerjoin(Membership, whose)
        .where(is_shown_in(project_id))
    )
    return Listing(
        "Images",
        (
            Column("id", "Image", ApprovedImage.id, "number"),
            Column("member", "Shown by", func.coalesce(Membership.client, "")),
            Column("place", "Place", ApprovedImage.place, "number"),
            Column("label", "Label", ApprovedImage.label, "number"),
            Column("width", "Width", ApprovedImage.width, "number"),
            Column("height", "Height", ApprovedImage.height, "number"),
        ),
        rows,
        ApprovedImage.id,
        "id",
    )


def parse_places(text: str) -> list[int]:
    """Read numbers of examples as people write them: `0, 5 9`. Raises `Invalid`."""
    words = [word for word in _SEPARATOR.split(text) if word]
    if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise Invalid({"places": "write whole numbers from 0, with commas between them"})
    return [int(word) for word in words]


def as_json(image: ApprovedImage) -> dict[str, Json]:
    """Return an image as the API gives it to its owner."""
    return {
        "id": image.id,
        "place": image.place,
        "label": image.label,
        "width": image.width,
        "height": image.height,
    }


def request_as_json(request: ImageRequest) -> dict[str, Json]:
    """Return what was asked for, and what became of it."""
    return {
        "id": request.id,
        "places": request.places,
        "per_label": request.per_label,
        "state": request.state,
        "cause": request.cause,
    }


def _serves(
    project_id: SQLColumnExpression[int], dataset_id: SQLColumnExpression[int]
) -> ColumnElement[bool]:
    """Whether a dataset trains, scores or shares examples in a project."""
    member, shared, scored = aliased(Membership), aliased(SharedDataset), aliased(Project)
    trains = select(member.id).where(
        member.project_id == project_id, member.dataset_id == dataset_id, member.state == "active"
    )
    shares = select(shared.id).where(
        shared.project_id == project_id, shared.dataset_id == dataset_id, shared.state == "ready"
    )
    scores = select(scored.id).where(scored.id == project_id, scored.evaluation_id == dataset_id)
    return or_(trains.exists(), shares.exists(), scores.exists())
