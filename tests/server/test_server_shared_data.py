"""Shared data: drawn by a seed, in the store by CID, for members alone."""

from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from tests.server.data import ready_dataset, with_roots
from tests.server.people import Person, join

from foedus.server.app import create_app
from foedus.server.db import Dataset, Project, SharedDataset
from foedus.server.platform import Platform
from foedus.server.worker.datasets import register_dataset
from foedus.server.worker.shared_data import publish
from foedus.store import cid_of
from foedus.store.tensorfile import decode


@pytest.fixture
def platform(platform: Platform, tmp_path: Path) -> Platform:
    return with_roots(platform, tmp_path / "data")


@pytest.fixture
def app(platform: Platform) -> FastAPI:
    return create_app(platform)


@pytest.fixture
def shared(alice: Person, project: str, platform: Platform, tmp_path: Path) -> int:
    """Ten published examples of a dataset of Alice's."""
    wanted = {"dataset": ready_dataset(platform, alice, tmp_path / "data"), "examples": 10}
    answer = alice.program.post(f"/api/v1/projects/{project}/data/shared", json=wanted)
    assert answer.status_code == 201, answer.text
    publish(platform, answer.json()["id"])
    return int(answer.json()["id"])


def test_a_member_downloads_exactly_what_the_cid_says(
    project: str, shared: int, alice: Person, stranger: Person, platform: Platform
) -> None:
    join(platform, stranger, project)
    url = f"/projects/{project}/data/shared/{shared}"
    data = stranger.browser.get(url).content
    listed = stranger.program.get(f"/api/v1/projects/{project}/data").json()["shared"][0]
    assert (listed["state"], listed["cid"]) == ("ready", str(cid_of([data])))
    assert stranger.program.get(f"/api/v1{url}").content == data
    tensors = decode(data)
    assert {name: found.shape for name, found in tensors.items()} == {"images": (10, 8, 8), "labels": (10,)}
    assert "Download" in alice.browser.get(f"/projects/{project}/data").text


def test_publishing_again_after_a_crash_gives_the_same_cid(shared: int, platform: Platform) -> None:
    with platform.writing() as db:
        found = db.get_one(SharedDataset, shared)
        before, found.state, found.cid = found.cid, "publishing", None
    publish(platform, shared)
    with platform.reading() as db:
        assert db.get_one(SharedDataset, shared).cid == before


def test_strangers_get_nothing_and_learn_nothing(project: str, shared: int, stranger: Person) -> None:
    theirs = stranger.browser.get(f"/projects/{project}/data/shared/{shared}")
    missing = stranger.browser.get("/projects/nothing/data/shared/1")
    assert theirs.status_code == missing.status_code == 404


def test_a_member_of_another_project_gets_it_by_no_other_address(shared: int, stranger: Person) -> None:
    stranger.program.post("/api/v1/projects", json={"slug": "other", "title": "Other"})
    assert stranger.browser.get(f"/projects/other/data/shared/{shared}").status_code == 404


def test_data_that_have_changed_are_not_published(
    alice: Person, project: str, platform: Platform, tmp_path: Path
) -> None:
    dataset = ready_dataset(platform, alice, tmp_path / "data")
    (tmp_path / "data" / "alice" / "digits.npz").write_bytes(b"other")
    url = f"/api/v1/projects/{project}/data"
    made = alice.program.post(f"{url}/shared", json={"dataset": dataset, "examples": 3}).json()
    publish(platform, made["id"])
    found = alice.program.get(url).json()["shared"][0]
    assert (found["state"], found["cid"]) == ("refused", None)
    assert str(tmp_path) not in found["cause"]


@pytest.mark.parametrize("has_masks", [True, False])
def test_a_project_that_learns_masks_publishes_masks(
    has_masks: bool, alice: Person, project: str, platform: Platform, tmp_path: Path
) -> None:
    with platform.writing() as db:
        db.scalars(select(Project)).one().task = "segmentation"
    folder = tmp_path / "data" / "alice"
    images = np.random.default_rng(1).integers(0, 255, (12, 16, 16), dtype=np.uint8)
    masks = {"masks": (images > 127).astype(np.uint8)} if has_masks else {}
    folder.mkdir(parents=True)
    np.savez(folder / "lungs.npz", images=images, labels=np.arange(12) % 3, **masks)
    request = {"path": str(folder / "lungs.npz"), "recipe": [], "val": 0.1, "test": 0.1, "seed": 1}
    with platform.writing() as db:
        dataset = Dataset(owner_id=alice.user.id, name="lungs", kind="arrays", request=request)
        db.add(dataset)
        db.flush()
        number = dataset.id
    register_dataset(platform, number)
    url = f"/api/v1/projects/{project}/data"
    made = alice.program.post(f"{url}/shared", json={"dataset": number, "examples": 3}).json()
    publish(platform, made["id"])
    found = alice.program.get(url).json()["shared"][0]
    if has_masks:
        tensors = decode(alice.program.get(f"{url}/shared/{made['id']}").content)
        assert np.array_equal(tensors["targets"], tensors["images"] > 127)
    else:
        assert "has no masks, and the project learns them" in found["cause"]


@pytest.mark.parametrize(
    ("examples", "status"), [("0", 422), ("41", 422), ("x", 422), ("", 422), ("40", 303)]
)
def test_no_more_is_published_than_there_is(
    examples: str, status: int, alice: Person, project: str, platform: Platform, tmp_path: Path
) -> None:
    dataset = ready_dataset(platform, alice, tmp_path / "data")
    form = {"dataset": str(dataset), "examples": examples, "seed": "1"}
    assert alice.browser.post(f"/projects/{project}/data/shared", data=form).status_code == status
