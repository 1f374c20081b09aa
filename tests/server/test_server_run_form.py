"""The form for a new run works in steps, without JavaScript: fill in, review, back, keep, start."""

import pytest
from sqlalchemy import select
from tests.server.people import Person

from foedus.server.db import Dataset, Membership, Project, Run
from foedus.server.platform import Platform

PLACE = "/projects/lungs/runs/new"


@pytest.fixture(autouse=True)
def ready(project: str, alice: Person, platform: Platform) -> None:
    with platform.writing() as db:
        data = Dataset(owner_id=alice.user.id, name="scans", kind="images", state="ready", request={})
        db.add(data)
        db.flush()
        db.scalars(select(Project)).one().evaluation_id = data.id
        db.scalars(select(Membership)).one().dataset_id = data.id


def spec_of(platform: Platform) -> dict[str, object]:
    with platform.reading() as db:
        found: dict[str, object] = db.scalars(select(Run).order_by(Run.id.desc())).first().spec  # type: ignore[union-attr]
        return found


def test_the_form_explains_every_field_and_shows_defaults(alice: Person) -> None:
    text = alice.browser.get(PLACE).text
    for name, value in (("rounds", "10"), ("training.learning_rate", "0.01"), ("algorithm.params.mu", "0.1")):
        assert f'name="{name}" type="text" value="{value}"' in text
    assert "proximal weight; 0 is FedAvg; 0 to 1000." in text
    assert 'value="alice" checked' in text
    assert 'value="unet"' not in text  # it makes masks


def test_the_form_tells_no_more_of_a_dataset_than_the_page_data(alice: Person, platform: Platform) -> None:
    with platform.writing() as db:
        data = db.scalars(select(Dataset)).one()
        data.examples, data.metadata_ = 326, {"histogram": [120, 202, 4]}
    assert '<span class="muted">about 320 examples</span>' in alice.browser.get(PLACE).text
    assert "326" not in alice.browser.get(PLACE).text
    with platform.writing() as db:
        db.scalars(select(Dataset)).one().metadata_ = {"histogram": [124, 202]}
    assert '<span class="muted">326 examples</span>' in alice.browser.get(PLACE).text


def test_another_algorithm_brings_its_parameters_and_keeps_what_was_typed(alice: Person) -> None:
    form = {"do": "show", "algorithm.name": "fedadam", "rounds": "42", "algorithm.params.mu": "0.7"}
    answer = alice.browser.post(PLACE, data=form)
    assert answer.status_code == 200
    assert 'name="algorithm.params.beta1"' in answer.text
    assert 'name="algorithm.params.mu"' not in answer.text
    assert 'name="rounds" type="text" value="42"' in answer.text


def test_review_shows_spec_cost_and_command_and_then_starts(alice: Person, platform: Platform) -> None:
    form = {"title": "First", "rounds": "3", "algorithm.params.mu": "0.5", "clients": "alice"}
    text = alice.browser.post(PLACE, data=form).text
    for part in ("params]\nmu = 0.5", "3 rounds with 1 of 1 clients", "/api/v1/projects/lungs/runs"):
        assert part in text
    with platform.reading() as db:
        assert db.scalars(select(Run)).all() == []
    for name, value in form.items():
        assert f'<input type="hidden" name="{name}" value="{value}">' in text
    started = alice.browser.post(PLACE, data={**form, "do": "start"})
    assert (started.status_code, started.headers["location"]) == (303, "/runs/lungs-1")
    assert spec_of(platform)["algorithm"] == {"name": "fedprox", "params": {"mu": 0.5}}


def test_wrong_fields_are_named_beside_them_and_in_a_summary(alice: Person) -> None:
    form = {"rounds": "0", "training.epochs": "none", "asks_clients": "1"}
    for button in ("review", "start", "draft"):
        answer = alice.browser.post(PLACE, data={**form, "do": button, "clients": "alice"})
        assert answer.status_code == 422
        for name in ("rounds", "training.epochs"):
            assert f'href="#f-{name}"' in answer.text
            assert f'id="f-{name}"' in answer.text
            assert f'<small id="n-{name}" class="fault">' in answer.text
    assert 'href="#f-clients"' in alice.browser.post(PLACE, data={"asks_clients": "1"}).text


@pytest.mark.parametrize(
    "form",
    [
        {"model": "x", "algorithm": "y"},
        {"model.name.x": "1", "policy": "2"},
        {"algorithm.params.mu": "nan"},
        {"algorithm.params.mu": "1e999"},
        {"rounds": "9" * 999},
        {"title": "t" * 5000},
        {"seed": "\x00"},
        {"model.name": "<b>"},
        {"clients": "<b>"},
        {"do": "dance"},
    ],
)
def test_whatever_is_sent_is_answered(form: dict[str, str], alice: Person) -> None:
    for button in ({}, {"do": "show"}, {"do": "start"}):
        answer = alice.browser.post(PLACE, data={**button, **form})
        assert answer.status_code in (200, 303, 422)
        assert "<b>" not in answer.text.replace("<b></b>", "")


def test_a_draft_is_kept_and_fills_in_the_next_form(alice: Person) -> None:
    answer = alice.browser.post(PLACE, data={"rounds": "33", "policy.epsilon": "0.3", "do": "draft"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/projects/lungs")
    text = alice.browser.get(PLACE).text
    assert 'name="rounds" type="text" value="33"' in text
    assert "33 rounds" in alice.browser.get("/projects/lungs").text


def test_a_run_is_cloned_by_those_who_see_it(alice: Person, stranger: Person) -> None:
    spec = {"rounds": 44, "model": {"name": "mlp", "args": {"hidden": [8, 9]}}}
    made = alice.program.post("/api/v1/projects/lungs/runs", json={"spec": spec})
    assert made.status_code == 201, made.text
    text = alice.browser.get(f"{PLACE}?from=lungs-1").text
    assert 'name="rounds" type="text" value="44"' in text
    assert 'name="model.args.hidden" type="text" value="8, 9"' in text
    assert f'href="{PLACE}?from=lungs-1"' in alice.browser.get("/runs/lungs-1").text
    stranger.program.post("/api/v1/projects", json={"slug": "theirs", "title": "Theirs"})
    assert stranger.browser.get("/projects/theirs/runs/new?from=lungs-1").status_code == 404
    again = alice.browser.post(PLACE, data={"model.name": "mlp", "model.args.hidden": "8, 9", "do": "start"})
    assert again.headers["location"] == "/runs/lungs-2"


def test_a_project_without_data_says_so_at_the_top(alice: Person, platform: Platform) -> None:
    with platform.writing() as db:
        db.scalars(select(Project)).one().evaluation_id = None
    answer = alice.browser.post(PLACE, data={})
    assert answer.status_code == 422
    assert "no evaluation dataset" in answer.text
