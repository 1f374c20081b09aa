"""Images that a site shows: only those that their owner approved, only where their dataset is used."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from sqlalchemy import select
from tests.server.data import with_roots
from tests.server.explained import contribute, copied, digits, run_of
from tests.server.people import Person, join

from foedus.server.app import create_app
from foedus.server.db import (
    ApprovedImage,
    AuditEntry,
    Dataset,
    Explanation,
    ImageRequest,
    Membership,
    Project,
    SharedDataset,
)
from foedus.server.platform import Platform
from foedus.server.worker.images import copy_images


@pytest.fixture
def platform(platform: Platform, tmp_path: Path) -> Platform:
    return with_roots(platform, tmp_path / "data")


@pytest.fixture
def app(platform: Platform) -> FastAPI:
    return create_app(platform)


@pytest.fixture
def dataset(platform: Platform, alice: Person, project: str, tmp_path: Path) -> int:
    return digits(platform, alice, tmp_path / "data", project)


@pytest.fixture
def run(platform: Platform, alice: Person, project: str) -> str:
    return run_of(platform, alice, project, versions=1)


def shown(person: Person, run: str) -> list[int]:
    return [one["id"] for one in person.program.get(f"/api/v1/runs/{run}/explain/images").json()["items"]]


def test_what_is_shown_is_the_very_image_and_nothing_else(
    platform: Platform, alice: Person, dataset: int, tmp_path: Path
) -> None:
    ids = copied(platform, alice, dataset, [4, 2])
    answer = alice.program.get(f"/api/v1/datasets/{dataset}/images").json()
    assert [(one["place"], one["label"], one["width"]) for one in answer["items"]] == [(2, 2, 28), (4, 1, 28)]
    assert answer["projects"] == ["lungs"]
    data = np.load(tmp_path / "data" / "alice" / "28.npz")["images"]
    for url in (f"/datasets/{dataset}/images/{ids[1]}", f"/api/v1/datasets/{dataset}/images/{ids[1]}"):
        picture = alice.program.get(url) if "api" in url else alice.browser.get(url)
        assert picture.headers["content-type"] == "image/png"
        assert picture.headers["cache-control"] == "no-store"
        assert np.array_equal(np.asarray(Image.open(BytesIO(picture.content))), data[4])


def test_by_default_nothing_is_shown(alice: Person, dataset: int, run: str) -> None:
    assert shown(alice, run) == []
    text = alice.browser.get(f"/runs/{run}/explain").text
    assert "No site shares images" in text
    assert "alice: this site shares no images" in text


def test_the_first_images_of_each_label_are_copied_once(
    platform: Platform, alice: Person, dataset: int
) -> None:
    copied(platform, alice, dataset, [0])
    alice.browser.post(f"/datasets/{dataset}/images", data={"per_label": "2"})
    with platform.reading() as db:
        request = db.scalars(select(ImageRequest).order_by(ImageRequest.id.desc())).first()
        assert request is not None
    copy_images(platform, request.id)
    copy_images(platform, request.id)
    with platform.reading() as db:
        assert list(db.scalars(select(ApprovedImage.place).order_by(ApprovedImage.place))) == [
            0,
            1,
            2,
            3,
            4,
            5,
        ]
    page = alice.browser.get(f"/datasets/{dataset}/images").text
    assert page.count('<img src="/datasets/') == 6


def test_members_of_its_projects_see_it_and_others_do_not(
    platform: Platform, alice: Person, stranger: Person, project: str, dataset: int, run: str
) -> None:
    image = copied(platform, alice, dataset, [0])[0]
    for url in (f"/runs/{run}/explain/images/{image}", f"/datasets/{dataset}/images/{image}"):
        assert stranger.browser.get(url).status_code == 404
        assert stranger.program.get(f"/api/v1{url}").status_code == 404
    join(platform, stranger, project)
    assert shown(stranger, run) == [image]
    assert stranger.browser.get(f"/runs/{run}/explain/images/{image}").status_code == 200
    assert "image 0 of alice, label 0" in stranger.browser.get(f"/runs/{run}/explain").text
    assert stranger.browser.get(f"/datasets/{dataset}/images").status_code == 404  # the dataset stays Alice's


def test_who_shows_images_of_other_data_is_not_said_to_show_none(
    platform: Platform, alice: Person, project: str, dataset: int, run: str, tmp_path: Path
) -> None:
    copied(platform, alice, dataset, [0])
    contribute(platform, alice, project, digits(platform, alice, tmp_path / "data", side=32))
    assert "alice: this site shares no images" in alice.browser.get(f"/runs/{run}/explain").text
    with platform.writing() as db:
        db.scalars(select(Project)).one().evaluation_id = dataset
    page = alice.browser.get(f"/runs/{run}/explain").text
    assert "image 0 of alice" in page
    assert "shares no images" not in page


def test_an_image_is_not_reached_through_another_project(
    platform: Platform, alice: Person, stranger: Person, dataset: int
) -> None:
    image = copied(platform, alice, dataset, [0])[0]
    stranger.program.post("/api/v1/projects", json={"slug": "other", "title": "Other"})
    theirs = run_of(platform, stranger, "other", versions=1)
    assert shown(stranger, theirs) == []
    for url in (f"/runs/{theirs}/explain/images/{image}", f"/runs/{theirs}/explain?image={image}"):
        answer, missing = stranger.browser.get(url), stranger.browser.get(url.replace(str(image), "999"))
        assert answer.status_code == missing.status_code == 404
    wish = {"image": image}
    assert stranger.program.post(f"/api/v1/runs/{theirs}/explain/maps", json=wish).status_code == 404
    with platform.reading() as db:
        assert db.scalars(select(Explanation)).all() == []


@pytest.mark.parametrize("use", ["evaluation", "shared", "none", "left"])
def test_it_is_shown_as_long_as_the_project_uses_its_dataset(
    use: str, platform: Platform, alice: Person, project: str, dataset: int, run: str
) -> None:
    image = copied(platform, alice, dataset, [0])[0]
    assert shown(alice, run) == [image]
    if use != "left":
        contribute(platform, alice, project, None)
    with platform.writing() as db:
        found = db.scalars(select(Project).where(Project.slug == project)).one()
        if use == "evaluation":
            found.evaluation_id = dataset
        if use == "shared":
            row = SharedDataset(
                project_id=found.id, dataset_id=dataset, published_by=alice.user.id, examples=1
            )
            row.state = "ready"
            db.add(row)
        if use == "left":
            db.scalars(select(Membership)).one().state = "left"
    if use == "left":
        assert alice.browser.get(f"/runs/{run}/explain").status_code == 404
    else:
        assert shown(alice, run) == ([] if use == "none" else [image])


@pytest.mark.parametrize("is_all", [False, True])
def test_withdrawn_images_are_gone_everywhere(
    is_all: bool, platform: Platform, alice: Person, dataset: int, run: str
) -> None:
    images = copied(platform, alice, dataset, [0, 1])
    asked = alice.program.post(f"/api/v1/runs/{run}/explain/maps", json={"image": images[0]})
    assert asked.status_code == 201
    form = {} if is_all else {"image": str(images[0])}
    assert alice.browser.post(f"/datasets/{dataset}/images/withdraw", data=form).status_code == 303
    assert shown(alice, run) == ([] if is_all else images[1:])
    with platform.reading() as db:
        assert db.scalars(select(Explanation)).all() == []
        entry = db.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
        assert entry is not None
        assert (entry.action, entry.details) == ("withdraw images", "all" if is_all else "place 0")
    assert alice.browser.get(f"/runs/{run}/explain/images/{images[0]}").status_code == 404


def test_withdrawing_the_dataset_withdraws_its_images(
    platform: Platform, alice: Person, dataset: int
) -> None:
    copied(platform, alice, dataset, [0, 1])
    alice.program.post(f"/api/v1/datasets/{dataset}/withdraw")
    with platform.reading() as db:
        assert db.scalars(select(ApprovedImage)).all() == db.scalars(select(ImageRequest)).all() == []


def test_what_is_withdrawn_while_it_is_copied_is_not_shown(
    platform: Platform, alice: Person, dataset: int
) -> None:
    url = f"/api/v1/datasets/{dataset}/images"
    request = alice.program.post(url, json={"places": [1]}).json()["id"]
    assert alice.program.post(f"{url}/withdraw", json={}).json() == {"withdrawn": 0}
    copy_images(platform, request)
    assert alice.program.get(url).json()["items"] == []


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"places": "12"}, "must be from 0 to 11"),
        ({"places": "-1"}, "whole numbers"),
        ({"places": "1;2"}, "whole numbers"),
        ({"places": "9" * 400}, "whole numbers"),
        ({}, "give numbers"),
        ({"per_label": "11"}, "from 0 to 10"),
        ({"per_label": "x"}, "whole number"),
    ],
)
def test_each_wrong_field_is_named(form: dict[str, str], said: str, alice: Person, dataset: int) -> None:
    answer = alice.browser.post(f"/datasets/{dataset}/images", data=form)
    assert answer.status_code == 422
    assert said in answer.text


def test_there_is_a_limit_for_each_dataset(platform: Platform, alice: Person, dataset: int) -> None:
    with platform.writing() as db:
        db.get_one(Dataset, dataset).examples = 100
    url = f"/api/v1/datasets/{dataset}/images"
    assert alice.program.post(url, json={"places": list(range(51))}).status_code == 422
    request = alice.program.post(url, json={"places": list(range(50))}).json()["id"]
    copy_images(platform, request)  # the dataset has 12
    answer = alice.program.get(url).json()
    assert (answer["items"], answer["request"]["state"]) == ([], "refused")
    assert "no example 12" in answer["request"]["cause"]
    for _ in range(5):
        alice.program.post(url, json={"places": [1]})
    assert alice.program.post(url, json={"places": [1]}).status_code == 409


def test_data_that_have_changed_are_not_copied(
    platform: Platform, alice: Person, dataset: int, tmp_path: Path
) -> None:
    (tmp_path / "data" / "alice" / "28.npz").write_bytes(b"other")
    url = f"/api/v1/datasets/{dataset}/images"
    copy_images(platform, alice.program.post(url, json={"places": [1]}).json()["id"])
    request = alice.program.get(url).json()["request"]
    assert request["state"] == "refused"
    assert str(tmp_path) not in request["cause"]


def test_only_ready_datasets_show_images(platform: Platform, alice: Person, dataset: int) -> None:
    with platform.writing() as db:
        db.get_one(Dataset, dataset).state = "checking"
    answer = alice.program.post(f"/api/v1/datasets/{dataset}/images", json={"places": [1]})
    assert answer.status_code == 409
