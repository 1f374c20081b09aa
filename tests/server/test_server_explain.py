"""Heat maps: asked for once, computed by the worker in a process of its own, shown to members alone."""

import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi import FastAPI
from PIL import Image
from sqlalchemy import func, select
from tests.server.data import with_roots
from tests.server.explained import contribute, copied, digits, run_of
from tests.server.federation import federation, worker_until
from tests.server.people import Person, join

from foedus.apps.explain.task import run as run_task
from foedus.learn.examples import prepare_images
from foedus.learn.explain import explain
from foedus.learn.models import build_model
from foedus.server.app import create_app
from foedus.server.auth import limits
from foedus.server.auth.actors import ALL_SCOPES, Actor
from foedus.server.db import (
    ApprovedImage,
    AuditEntry,
    ChainVersion,
    Dataset,
    Explanation,
    ImageRequest,
    Run,
    User,
)
from foedus.server.platform import Platform
from foedus.server.services import explain as services
from foedus.server.worker.explaining import Explainer


@pytest.fixture
def platform(platform: Platform, tmp_path: Path) -> Platform:
    return with_roots(platform, tmp_path / "data")


@pytest.fixture
def app(platform: Platform) -> FastAPI:
    return create_app(platform)


@pytest.fixture
def image(platform: Platform, alice: Person, project: str, tmp_path: Path) -> int:
    """An image of Alice's that the members of her project see: place 4, label 1."""
    dataset = digits(platform, alice, tmp_path / "data", project)
    return copied(platform, alice, dataset, [4])[0]


@pytest.fixture
def run(platform: Platform, alice: Person, project: str) -> str:
    return run_of(platform, alice, project)


def compute_here(platform: Platform, monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
    """Let the worker compute what waits, in this process instead of one that has to load PyTorch."""

    def run_here(explainer: Explainer, _leases: object) -> str:
        run_task(explainer._folder)
        return ""

    with monkeypatch.context() as patched:
        patched.setattr(Explainer, "_run", run_here)
        patched.setattr("foedus.apps.explain.task.prepare_worker", lambda: None)
        with Explainer(platform, "worker") as explainer:
            for _ in range(times):
                explainer.step()
                assert explainer._thread is not None
                explainer._thread.join()


def ask(person: Person, run: str, **wish: object) -> list[dict[str, object]]:
    answer = person.program.post(f"/api/v1/runs/{run}/explain/maps", json=wish)
    assert answer.status_code == 201, answer.text
    return list(answer.json()["items"])


def test_a_map_is_computed_once_and_is_what_the_mathematics_say(
    platform: Platform, alice: Person, image: int, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask(alice, run, image=image, **{"class": 2})
    assert [one["state"] for one in asked] == ["waiting"]
    compute_here(platform, monkeypatch)
    assert [one["id"] for one in ask(alice, run, image=image, **{"class": 2})] == [asked[0]["id"]]
    url = f"/api/v1/runs/{run}/explain/maps/{asked[0]['id']}"
    answer = alice.program.get(url).json()
    pixels = np.random.default_rng(7).integers(0, 255, (12, 28, 28), dtype=np.uint8)[4:5]
    inputs = prepare_images(pixels, np.zeros(1, np.int64), (1, 28, 28)).inputs
    expected = explain(build_model("cnn-bn", {}, 2).eval(), inputs, 2)
    found = answer["found"]
    assert (answer["state"], answer["label"], found["target"], found["layer"]) == ("ready", 1, 2, "4")
    assert found["shares"] == pytest.approx(expected.shares)
    assert (found["predicted"], found["version"]) == (expected.predicted, 2)
    assert found["layers"] == ["0", "4"]
    picture = Image.open(BytesIO(alice.program.get(f"{url}/heat").content))
    assert picture.mode == "P"
    wanted = torch.round(expected.heat * 255).numpy()
    assert np.abs(np.asarray(picture).astype(int) - wanted).max() <= 1
    assert alice.program.get(f"{url}/mask").status_code == 404  # a classification has none


def test_the_page_shows_it_with_and_without_javascript(
    platform: Platform, alice: Person, image: int, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = f"/runs/{run}/explain"
    assert "Compute the heat map" in alice.browser.get(base).text
    form = {"image": str(image), "round": "1", "class": "", "layer": ""}
    answer = alice.browser.post(base, data=form)
    assert answer.status_code == 303
    waiting = alice.browser.get(answer.headers["location"]).text
    assert "is being computed" in waiting
    assert f'hx-get="/runs/{run}/explain/now?image={image}&amp;round=1' in waiting
    compute_here(platform, monkeypatch)
    shown = alice.browser.get(answer.headers["location"])
    for words in ("Heat map for class", "True class", "version 1, round 1", "Overlay", "viridis", "hx-get"):
        assert (words in shown.text) == (words != "hx-get"), words
    part = alice.browser.get(f"/runs/{run}/explain/now?image={image}&round=1")
    assert "<html" not in part.text
    assert 'id="maps"' in part.text


def test_all_rounds_are_asked_for_and_shown_side_by_side(
    platform: Platform, alice: Person, image: int, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = {"image": str(image), "rounds": "all"}
    assert alice.browser.post(f"/runs/{run}/explain", data=form).status_code == 303
    compute_here(platform, monkeypatch)
    listed = alice.program.get(f"/api/v1/runs/{run}/explain/maps?sort=round").json()["items"]
    assert [(one["round"], one["state"]) for one in listed] == [(n, "ready") for n in range(3)]
    text = alice.browser.get(f"/runs/{run}/explain").text
    assert all(f"Round {number}: class" in text for number in range(3))
    assert "Compute all of these" not in text


def test_at_most_ten_versions_stand_for_a_long_run(
    platform: Platform, alice: Person, project: str, image: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.server.explained.put_version", lambda p, version, b, m: f"baf{version:056d}")
    long = run_of(platform, alice, project, versions=200)
    asked = ask(alice, long, image=image, all_rounds=True)
    assert len(asked) == 10
    assert {one["cid"] for one in asked} >= {f"baf{0:056d}", f"baf{199:056d}"}


@pytest.mark.parametrize(("model", "said"), [("2nn", "no convolution"), ("surrogate", "predicts fields")])
def test_models_that_cannot_be_explained_say_why(
    model: str,
    said: str,
    platform: Platform,
    alice: Person,
    project: str,
    image: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = run_of(platform, alice, project, model, versions=1)
    asked = ask(alice, name, image=image)
    compute_here(platform, monkeypatch)
    answer = alice.program.get(f"/api/v1/runs/{name}/explain/maps/{asked[0]['id']}").json()
    assert (answer["state"], answer["found"]) == ("refused", None)
    assert said in answer["cause"]
    text = alice.browser.get(f"/runs/{name}/explain").text
    assert said in text
    assert "Try again" in text
    assert ask(alice, name, image=image)[0]["state"] == "waiting"


@pytest.mark.parametrize("model", ["unet", "unet-classes"])
def test_models_for_masks_show_the_mask(
    model: str,
    platform: Platform,
    alice: Person,
    project: str,
    image: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = run_of(platform, alice, project, model, versions=1)
    dataset = digits(platform, alice, tmp_path / "data", project, side=32)
    fits = copied(platform, alice, dataset, [0])[0]
    asked = ask(alice, name, image=fits)[0]["id"]
    compute_here(platform, monkeypatch)
    url = f"/api/v1/runs/{name}/explain/maps/{asked}"
    found = alice.program.get(url).json()["found"]
    assert found["is_mask"] is True
    assert sum(found["labels"]) == (pytest.approx(1) if model == "unet-classes" else 0)
    mask = Image.open(BytesIO(alice.program.get(f"{url}/mask").content))
    assert mask.size == (32, 32)
    page = alice.browser.get(f"/runs/{name}/explain?image={fits}").text
    assert "Predicted mask" in page
    assert ("Predicted label" in page) == (model == "unet-classes")


@pytest.mark.parametrize(
    ("wish", "status", "said"),
    [
        ({"class": "100001"}, 422, "class"),
        ({"class": "x"}, 422, "class"),
        ({"layer": "a\x00b"}, 422, "layer"),
        ({"layer": "a" * 201}, 422, "layer"),
        ({"round": "x"}, 422, "round"),
        ({"image": "9999"}, 404, "image"),
        ({"image": ""}, 404, "image"),
    ],
)
def test_each_wrong_field_is_named(
    wish: dict[str, str], status: int, said: str, alice: Person, image: int, run: str
) -> None:
    answer = alice.browser.post(f"/runs/{run}/explain", data={"image": str(image), **wish})
    assert answer.status_code == status
    assert said in answer.text
    for query in ("image=x", "round=-1", "class=1.5", f"image={2**40}"):
        assert alice.browser.get(f"/runs/{run}/explain?{query}").status_code in (404, 422)


def test_classes_and_layers_that_a_model_lacks_are_refused_by_it(
    platform: Platform, alice: Person, image: int, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(alice, run, image=image, **{"class": 99})
    ask(alice, run, image=image, layer="nothing")
    compute_here(platform, monkeypatch)
    with platform.reading() as db:
        causes = list(db.scalars(select(Explanation.cause).order_by(Explanation.id)))
    assert "no class 99" in causes[0]
    assert "no convolution 'nothing'" in causes[1]


def test_strangers_and_members_of_other_projects_learn_nothing(
    platform: Platform, alice: Person, stranger: Person, image: int, run: str
) -> None:
    number = ask(alice, run, image=image)[0]["id"]
    stranger.program.post("/api/v1/projects", json={"slug": "other", "title": "Other"})
    theirs = run_of(platform, stranger, "other")  # with the very same versions
    for name in (run, theirs):
        for end in (f"maps/{number}", f"maps/{number}/heat", f"images/{image}"):
            assert stranger.program.get(f"/api/v1/runs/{name}/explain/{end}").status_code == 404
    assert stranger.program.get(f"/api/v1/runs/{theirs}/explain/maps").json()["items"] == []
    assert stranger.program.post(f"/api/v1/runs/{run}/explain/maps", json={"image": image}).status_code == 404


def test_a_map_goes_out_of_sight_with_its_image(
    platform: Platform, alice: Person, project: str, image: int, run: str
) -> None:
    number = ask(alice, run, image=image)[0]["id"]
    contribute(platform, alice, project, None)
    assert alice.program.get(f"/api/v1/runs/{run}/explain/maps/{number}").status_code == 404
    assert alice.program.get(f"/api/v1/runs/{run}/explain/maps").json()["items"] == []


def test_auditors_may_ask_and_it_is_written_down(
    platform: Platform, stranger: Person, project: str, image: int, run: str
) -> None:
    join(platform, stranger, project, "auditor")
    ask(stranger, run, image=image)
    with platform.reading() as db:
        entry = db.scalars(select(AuditEntry).where(AuditEntry.action == "ask for heat map")).one()
        assert (entry.actor, entry.what) == ("mallory", run)


def test_requests_are_limited(
    platform: Platform, alice: Person, image: int, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_MOST_WAITING", 2)
    url = f"/api/v1/runs/{run}/explain/maps"
    assert alice.program.post(url, json={"image": image, "all_rounds": True}).status_code == 409
    with platform.reading() as db:
        assert db.scalar(select(func.count()).select_from(Explanation)) == 0
    monkeypatch.setattr(limits, "EXPLAIN", limits.Limit("explain-test", "requests for heat maps", 1))
    assert alice.program.post(url, json={"image": image}).status_code == 201
    assert alice.program.post(url, json={"image": image}).status_code == 429


def test_runs_without_models_say_so(platform: Platform, alice: Person, project: str, image: int) -> None:
    name = run_of(platform, alice, project, versions=0)
    assert "no model yet" in alice.browser.get(f"/runs/{name}/explain").text
    assert alice.program.post(f"/api/v1/runs/{name}/explain/maps", json={"image": image}).status_code == 409


def test_an_image_withdrawn_while_it_is_computed_leaves_nothing(
    platform: Platform, alice: Person, image: int, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(alice, run, image=image)
    original = Explainer._note

    def withdraw_first(*args: object) -> None:
        with platform.writing() as db:
            db.delete(db.scalars(select(Explanation)).one().image)
        original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Explainer, "_note", withdraw_first)
    compute_here(platform, monkeypatch)
    with platform.reading() as db:
        assert db.scalars(select(Explanation)).all() == []
    assert not (platform.home.root / "explain").exists()


@pytest.mark.parametrize("fault", ["dies", "hangs", "stops"])
def test_a_process_that_fails_spoils_one_map_and_no_other(
    fault: str, platform: Platform, alice: Person, image: int, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(alice, run, image=image, all_rounds=True)
    code = "import sys; sys.exit(1)" if fault == "dies" else "import time; time.sleep(60)"
    script = platform.home.root / "script.py"
    script.write_text(code)
    _replace_program(monkeypatch, script)
    limit_s = 0.0 if fault == "hangs" else 100.0
    with Explainer(platform, "worker", limit_s) as explainer:
        explainer.step()
        assert explainer._thread is not None
        if fault != "stops":
            explainer._thread.join()
    with platform.reading() as db:
        states = list(db.scalars(select(Explanation.state).order_by(Explanation.id)))
        leases = list(db.scalars(select(Explanation.lease_until)))
    assert states == (["waiting"] * 3 if fault == "stops" else ["refused", "waiting", "waiting"])
    assert leases == [None] * 3


@pytest.mark.slow
def test_the_process_answers_by_itself(platform: Platform, alice: Person, image: int, run: str) -> None:
    ask(alice, run, image=image, all_rounds=True)
    with Explainer(platform, "worker") as explainer:
        explainer.step()
        assert explainer._thread is not None
        explainer._thread.join()
    with platform.reading() as db:
        assert list(db.scalars(select(Explanation.state))) == ["ready"] * 3


@pytest.mark.slow
def test_a_worker_copies_images_and_computes_maps_of_a_real_run(platform: Platform, tmp_path: Path) -> None:
    federation(platform, tmp_path, rounds=1)
    worker_until(platform, lambda db: db.scalars(select(Run)).one().is_over)
    with platform.writing() as db:
        dataset = db.scalars(select(Dataset).order_by(Dataset.id)).first()
        assert dataset is not None
        db.add(ImageRequest(dataset_id=dataset.id, places=[0], per_label=0))
    worker_until(platform, lambda db: db.scalar(select(ApprovedImage.id)) is not None)
    worker_until(platform, lambda db: len(db.scalars(select(ChainVersion)).all()) == 2)
    with platform.writing() as db:
        ada = db.scalars(select(User).where(User.name == "ada")).one()
        actor, image = Actor(ada, frozenset(ALL_SCOPES)), db.scalars(select(ApprovedImage.id)).one()
    with platform.writing() as db:
        services.ask(db, platform, actor, "digits-1", services.Wish(image), None, is_all=True)
    worker_until(
        platform, lambda db: db.scalar(select(Explanation.id).where(Explanation.state == "waiting")) is None
    )
    with platform.reading() as db:
        rows = db.scalars(select(Explanation).order_by(Explanation.id)).all()
        assert [(row.state, row.cause) for row in rows] == [("ready", "")] * 2
        assert [row.found["version"] for row in rows if row.found] == [0, 1]


def _replace_program(monkeypatch: pytest.MonkeyPatch, script: Path) -> None:
    started = subprocess.Popen

    def start(command: list[str], **options: object) -> object:
        return started([command[0], str(script)], **options)  # type: ignore[call-overload]

    monkeypatch.setattr("foedus.server.worker.explaining.subprocess.Popen", start)
