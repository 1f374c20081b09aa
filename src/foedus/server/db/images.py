"""Single images that a site shows, and heat maps over them."""

import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from foedus.server.db.accounts import User
from foedus.server.db.base import Base, Key, Leased, Long, Text32, Text64, Text200, utc_now
from foedus.server.db.projects import Dataset


class ImageRequest(Leased, Base):
    """Images of a dataset that its owner approves to be shown: by place, or the first ones of each label.

    `state`: `copying`, `ready` or `refused` (with `cause`). A worker makes a row of `ApprovedImage` for each.
    """

    __tablename__ = "image_requests"

    id: Mapped[Key]
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), index=True)
    places: Mapped[list[Any]]  # numbers of examples from 0
    per_label: Mapped[int] = mapped_column(default=0)
    state: Mapped[Text32] = mapped_column(default="copying")
    cause: Mapped[Long] = mapped_column(default="")
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)

    dataset: Mapped[Dataset] = relationship()


class ApprovedImage(Base):
    """One image that a site shows, copied by a worker. Once withdrawn, it and all made from it are gone."""

    __tablename__ = "approved_images"
    __table_args__ = (UniqueConstraint("dataset_id", "place"),)

    id: Mapped[Key]
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    place: Mapped[int]  # number of the example in the dataset, from 0
    label: Mapped[int | None]
    width: Mapped[int]
    height: Mapped[int]
    png: Mapped[bytes] = mapped_column(deferred=True)  # for people
    example: Mapped[bytes] = mapped_column(deferred=True)  # the same as .npy, for models
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)

    dataset: Mapped[Dataset] = relationship()


class Explanation(Leased, Base):
    """A heat map of one image under one version of a model: computed once, whoever asks.

    `state`: `waiting`, `ready` or `refused` (with `cause`). `wanted` is the class asked for, -1 for the one
    that the model predicts; `layer` is empty for the model's last convolution. `found` says what came of it.
    """

    __tablename__ = "explanations"
    __table_args__ = (UniqueConstraint("image_id", "cid", "wanted", "layer"),)

    id: Mapped[Key]
    image_id: Mapped[int] = mapped_column(ForeignKey("approved_images.id", ondelete="CASCADE"))
    cid: Mapped[Text64]  # of the version's manifest
    wanted: Mapped[int]
    layer: Mapped[Text200]
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    state: Mapped[Text32] = mapped_column(default="waiting", index=True)
    cause: Mapped[Long] = mapped_column(default="")
    found: Mapped[dict[str, Any] | None]
    heat: Mapped[bytes | None] = mapped_column(deferred=True)  # PNG: 255 is the hottest place
    mask: Mapped[bytes | None] = mapped_column(deferred=True)  # PNG: probability of the class in each pixel
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)

    image: Mapped[ApprovedImage] = relationship()
    asker: Mapped[User | None] = relationship()
