"""The demo: its members federate, administrators own it, and whoever joins it is given images."""

from collections.abc import Callable

import pytest
from sqlalchemy import select
from tests.server.people import Person, join

from foedus.server.db import ApprovedImage, Dataset, ImageRequest, Membership, Project, Run
from foedus.server.demo import SLUG, make_demo, welcome
from foedus.server.platform import Platform
from foedus.server.worker.images import copy_images

pytestmark = pytest.mark.slow


def test_the_demo_is_made_once_with_a_run_that_waits(platform: Platform) -> None:
    make_demo(platform)
    make_demo(platform)
    with platform.reading() as db:
        run = db.scalars(select(Run)).one()
        assert (run.state, len(run.clients)) == ("waiting", 3)
        project = db.scalars(select(Project)).one()
        assert project.evaluation_id is not None
        assert all(dataset.state == "ready" for dataset in db.scalars(select(Dataset)))


def test_one_image_of_each_digit_is_there_to_be_seen(platform: Platform) -> None:
    make_demo(platform)
    with platform.reading() as db:
        request = db.scalars(select(ImageRequest)).one()
    copy_images(platform, request.id)
    with platform.reading() as db:
        assert list(db.scalars(select(ApprovedImage.label).order_by(ApprovedImage.label))) == list(range(10))


def test_administrators_own_it_and_members_are_given_images(
    platform: Platform, person: Callable[..., Person]
) -> None:
    make_demo(platform)
    admin, guest, other = person("root-of-all", is_admin=True), person("guest"), person("other")
    join(platform, guest, SLUG)
    for _ in range(2):
        welcome(platform)
    with platform.reading() as db:
        of = {one.user.name: one for one in db.scalars(select(Membership))}
        assert of[admin.user.name].role == "owner"
        assert of[guest.user.name].dataset is not None
        assert other.user.name not in of
        assert len(db.scalars(select(Dataset).where(Dataset.owner_id == guest.user.id)).all()) == 1
