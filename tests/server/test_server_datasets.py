"""Datasets: registered by a worker, shown to their owner alone, withdrawn."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from tests.server.data import with_roots, write_digits
from tests.server.people import Person, make_person

from foedus.server.app import create_app
from foedus.server.db import Dataset
from foedus.server.platform import Platform
from foedus.server.services.datasets import about, for_others
from foedus.server.worker.datasets import register_dataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_digits(tmp_path / "data" / "alice")
    (tmp_path / "data" / "mallory").mkdir()
    return tmp_path / "data"


@pytest.fixture
def platform(platform: Platform, root: Path) -> Platform:
    return with_roots(platform, root)


@pytest.fixture
def app(platform: Platform) -> FastAPI:
    return create_app(platform)


def wanted(**changes: object) -> dict[str, object]:
    return {"name": "digits", "kind": "arrays", "place": "digits.npz", "recipe": "deduplicate", **changes}


def registered(alice: Person, platform: Platform, **changes: object) -> int:
    answer = alice.program.post("/api/v1/datasets", json=wanted(**changes))
    assert answer.status_code == 201, answer.text
    register_dataset(platform, answer.json()["id"])
    return int(answer.json()["id"])


def test_a_dataset_is_registered_in_the_browser_and_read_by_a_worker(
    alice: Person, platform: Platform, root: Path
) -> None:
    assert "digits.npz" in alice.browser.get("/datasets/browse").text
    form = alice.browser.get("/datasets/new", params={"root": 0, "place": "digits.npz"})
    assert form.status_code == 200
    answer = alice.browser.post("/datasets/new", data={k: str(v) for k, v in wanted().items()})
    assert answer.status_code == 303, answer.text
    page = answer.headers["location"]
    assert "checking" in alice.browser.get(page).text
    register_dataset(platform, int(page.rpartition("/")[2]))
    text = alice.browser.get(page).text
    assert "ready" in text
    assert str(root / "alice" / "digits.npz") in text
    assert alice.program.get("/api/v1/datasets").json()["items"][0]["examples"] == 40


def test_reading_again_after_a_crash_gives_the_same(alice: Person, platform: Platform) -> None:
    dataset_id = registered(alice, platform)
    with platform.writing() as db:
        found = db.get_one(Dataset, dataset_id)
        before, found.state, found.metadata_ = found.metadata_, "checking", None
    register_dataset(platform, dataset_id)
    with platform.reading() as db:
        found = db.get_one(Dataset, dataset_id)
        assert (found.state, found.metadata_) == ("ready", before)


def test_unusable_data_are_refused_with_a_cause_that_tells_no_path(
    alice: Person, platform: Platform, root: Path
) -> None:
    (root / "alice" / "bad.npz").write_bytes(b"nonsense")
    found = alice.program.get(f"/api/v1/datasets/{registered(alice, platform, place='bad.npz')}").json()
    assert found["state"] == "refused"
    assert found["cause"]
    assert str(root) not in found["cause"]


def test_data_that_became_a_link_are_refused(alice: Person, platform: Platform, root: Path) -> None:
    answer = alice.program.post("/api/v1/datasets", json=wanted())
    (root / "alice" / "digits.npz").rename(root / "mallory" / "digits.npz")
    (root / "alice" / "digits.npz").symlink_to(root / "mallory" / "digits.npz")
    register_dataset(platform, answer.json()["id"])
    assert alice.program.get(f"/api/v1/datasets/{answer.json()['id']}").json()["state"] == "refused"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "../x"}, "name"),
        ({"kind": "pickle"}, "kind"),
        ({"place": "../mallory"}, "place"),
        ({"root": 7}, "root-or-place"),
        ({"recipe": "explode"}, "recipe"),
        ({"recipe": "normalise\ngrey"}, "recipe"),
        ({"val": 0.5, "test": 0.5}, "test"),
        ({"licence": "x" * 201}, "licence"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_made(
    change: dict[str, object], field: str, alice: Person
) -> None:
    answer = alice.program.post("/api/v1/datasets", json=wanted(**change))
    assert answer.status_code == 422
    assert list(answer.json()["error"]["fields"]) == ["place" if field == "root-or-place" else field]
    page = alice.browser.post("/datasets/new", data={k: str(v) for k, v in wanted(**change).items()})
    assert page.status_code == 422
    assert alice.program.get("/api/v1/datasets").json()["total"] == 0


def test_a_strangers_dataset_looks_like_a_missing_one(
    alice: Person, stranger: Person, platform: Platform
) -> None:
    dataset_id = registered(alice, platform)
    for method, tail in (("GET", ""), ("POST", "/withdraw")):
        theirs = stranger.program.request(method, f"/api/v1/datasets/{dataset_id}{tail}")
        missing = stranger.program.request(method, f"/api/v1/datasets/999999{tail}")
        assert (theirs.status_code, theirs.json()) == (missing.status_code, missing.json())
        assert theirs.status_code == 404
        assert stranger.browser.request(method, f"/datasets/{dataset_id}{tail}").status_code == 404
    assert stranger.program.get("/api/v1/datasets").json()["total"] == 0


def test_a_withdrawn_dataset_is_out_of_use_and_keeps_its_name(alice: Person, platform: Platform) -> None:
    dataset_id = registered(alice, platform)
    assert alice.browser.post(f"/datasets/{dataset_id}/withdraw").status_code == 303
    assert alice.program.get(f"/api/v1/datasets/{dataset_id}").json()["state"] == "withdrawn"
    assert alice.program.post("/api/v1/datasets", json=wanted()).status_code == 422


def test_others_see_neither_small_counts_nor_what_tells_them() -> None:
    metadata = {"histogram": [20, 17, 3, 0], "parts": {"train": 32, "val": 4, "test": 4}}
    dataset = Dataset(name="a", kind="arrays", licence="", examples=43, metadata_=metadata, request={})
    found = for_others(dataset)
    assert found["histogram"] == [20, 15, None, 0]  # rounded, for the chain tells how many were trained on
    assert (found["examples"], found["parts"]) == (40, None)
    dataset.metadata_ = {"histogram": [20, 17, 6, 0], "parts": metadata["parts"]}
    assert for_others(dataset)["histogram"] == [20, 17, 6, 0]
    assert for_others(dataset)["examples"] == 43


@pytest.mark.parametrize("small", [1, 2, 3, 4])
def test_a_small_count_is_not_what_is_missing_from_a_sum(small: int) -> None:
    """With as many examples in all, each small count could be behind what is shown."""
    metadata = {"histogram": [38 - small, 53, small]}
    dataset = Dataset(name="a", kind="arrays", licence="", examples=91, metadata_=metadata, request={})
    assert for_others(dataset)["histogram"] == [35, 55, None]


@pytest.mark.parametrize(
    ("count", "is_rounded", "words"),
    [(1234, False, "1,234"), (1230, True, "about 1,230"), (0, True, "<10"), (0, False, "0")],
)
def test_sums_say_whether_they_are_exact(count: int, is_rounded: bool, words: str) -> None:
    assert about(count, is_rounded) == words


def test_an_administrator_of_the_site_sees_no_foreign_dataset(
    alice: Person, app: FastAPI, platform: Platform
) -> None:
    dataset_id = registered(alice, platform)
    admin = make_person(app, platform, "root", is_admin=True)
    assert admin.program.get(f"/api/v1/datasets/{dataset_id}").status_code == 404
