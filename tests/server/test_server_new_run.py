"""A run is checked before it starts: names, parameters and ranges by field, by form and API alike."""

import tomllib
from typing import Any

import pytest
from sqlalchemy import select
from tests.server.people import Person, join

from foedus.rounds.spec import parse_spec
from foedus.server.auth import limits
from foedus.server.db import Dataset, Membership, Project, Run
from foedus.server.platform import Platform


@pytest.fixture
def ready(project: str, alice: Person, platform: Platform) -> str:
    """A project with evaluation data to which Alice contributes; returns its slug."""
    with platform.writing() as db:
        data = Dataset(owner_id=alice.user.id, name="scans", kind="images", state="ready", request={})
        db.add(data)
        db.flush()
        db.scalars(select(Project).where(Project.slug == project)).one().evaluation_id = data.id
        db.scalars(select(Membership)).one().dataset_id = data.id
    return project


def contribute(platform: Platform, person: Person, slug: str) -> None:
    join(platform, person, slug)
    with platform.writing() as db:
        data = Dataset(owner_id=person.user.id, name="scans", kind="images", state="ready", request={})
        db.add(data)
        db.flush()
        mine = select(Membership).where(Membership.user_id == person.user.id)
        db.scalars(mine).one().dataset_id = data.id


def check(person: Person, slug: str, spec: dict[str, Any], **more: object) -> Any:  # noqa: ANN401
    return person.program.post(f"/api/v1/projects/{slug}/runs/check", json={"spec": spec, **more})


def faults(person: Person, slug: str, spec: dict[str, Any], **more: object) -> dict[str, str]:
    answer = check(person, slug, spec, **more)
    assert answer.status_code == 422, answer.text
    found: dict[str, str] = answer.json()["error"]["fields"]
    return found


def test_a_check_returns_the_whole_spec_and_makes_nothing(
    ready: str, alice: Person, platform: Platform
) -> None:
    found = check(alice, ready, {"rounds": 7, "algorithm": {"name": "fedadam"}}).json()
    assert found["clients"] == ["alice"]
    assert parse_spec(tomllib.loads(found["toml"])).model_dump(mode="json") == found["spec"]
    assert found["spec"]["rounds"] == 7
    assert "7 rounds" in found["estimate"][0]
    with platform.reading() as db:
        assert db.scalars(select(Run)).all() == []


@pytest.mark.parametrize(
    ("spec", "field", "what"),
    [
        ({"model": {"name": "cn"}}, "model.name", "Did you mean 'cnn'?"),
        ({"model": {"name": "unet"}}, "model.name", "unet is for segmentation"),
        ({"model": {"args": {"classes": 1}}}, "model.args.classes", "must lie between 2 and 100000"),
        ({"model": {"args": {"labels": 3}}}, "model.args.labels", "has no argument"),
        ({"model": {"name": "mlp", "args": {"hidden": "wide"}}}, "model.args.hidden", "of type list"),
        ({"model": {"init": "zeros"}}, "model.init", "hidden layers"),
        ({"model": {"start": "bafkrei"}}, "model.start", "must be a CID"),
        ({"algorithm": {"name": "fedproxy"}}, "algorithm.name", "Did you mean 'fedprox'?"),
        ({"algorithm": {"params": {"mu": -1}}}, "algorithm.params.mu", "must lie between 0 and 1000"),
        ({"algorithm": {"params": {"tau": 1}}}, "algorithm.params.tau", "has no argument"),
        ({"rounds": 0}, "rounds", "must be at least 1"),
        ({"training": {"epochs": "none"}}, "training.epochs", "must be a whole number"),
        ({"policy": {"threshold": 2}}, "policy.threshold", "exceeds the 1 clients"),
        ({"robust": {"rule": "krum", "byzantine": 1}}, "robust.byzantine", "takes 5 clients"),
        ({"jobs": {"launcher": "batched"}}, "jobs.launcher", "use local"),
        ({"partition": 3}, "partition", "must be a section"),
        ({"policy": {"magic": 1}}, "spec", "unknown key 'policy.magic'"),
    ],
)
def test_what_no_worker_could_run_is_refused_by_its_field(
    spec: dict[str, Any], field: str, what: str, ready: str, alice: Person
) -> None:
    found = faults(alice, ready, spec)
    assert list(found) == [field]
    assert what in found[field]
    answer = alice.program.post(f"/api/v1/projects/{ready}/runs", json={"spec": spec})
    assert (answer.status_code, answer.json()["error"]["fields"]) == (422, found)


def test_clients_are_chosen_among_those_with_data(
    ready: str, alice: Person, stranger: Person, platform: Platform
) -> None:
    contribute(platform, stranger, ready)
    assert check(alice, ready, {}).json()["clients"] == ["alice", "mallory"]
    chosen = check(alice, ready, {}, clients=["mallory"]).json()
    assert (chosen["clients"], chosen["spec"]["partition"]["clients"]) == (["mallory"], 1)
    assert "clients" in faults(alice, ready, {}, clients=[])
    assert "carol" in faults(alice, ready, {}, clients=["carol"])["clients"]
    made = alice.program.post(f"/api/v1/projects/{ready}/runs", json={"clients": ["mallory"]})
    assert made.json()["clients"] == ["mallory"]


def test_a_frozen_policy_binds_runs(ready: str, alice: Person, platform: Platform) -> None:
    with platform.writing() as db:
        project = db.scalars(select(Project)).one()
        project.policy_frozen, project.draft = True, {"policy": {"epsilon": 0.1}}
    assert list(faults(alice, ready, {})) == ["policy.epsilon"]
    assert check(alice, ready, {"policy": {"epsilon": 0.1}}).status_code == 200


def test_runs_are_started_only_so_often(ready: str, alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RUNS", limits.Limit("runs", "new runs", 1))
    answers = [alice.program.post(f"/api/v1/projects/{ready}/runs", json={}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 429]


def test_only_leads_check_and_strangers_learn_nothing(
    ready: str, stranger: Person, platform: Platform
) -> None:
    theirs, missing = (check(stranger, slug, {}) for slug in (ready, "nothing"))
    assert (theirs.status_code, theirs.json()) == (404, missing.json())
    assert stranger.browser.get(f"/projects/{ready}/runs/new").status_code == 404
    assert stranger.browser.post(f"/projects/{ready}/runs/new", data={}).status_code == 404
    join(platform, stranger, ready)
    assert check(stranger, ready, {}).status_code == 403
    assert stranger.browser.get(f"/projects/{ready}/runs/new").status_code == 403


def test_nobody_starts_from_a_model_that_is_not_theirs(ready: str, alice: Person) -> None:
    cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
    found = faults(alice, ready, {"model": {"start": cid}})
    assert found == {"model.start": "choose a version of a model in one of your projects"}
