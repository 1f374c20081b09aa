"""The OpenAPI document describes the whole API, and its examples are what the API takes and gives."""

import runpy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.server.chains import Story
from tests.server.people import Person
from tests.server.samples import Route, samples

from foedus.server.api import lists
from foedus.server.api.description import Api
from foedus.server.api.examples import EXAMPLES
from foedus.server.app import RESOURCES
from foedus.server.listing import Listing, find
from foedus.server.platform import Platform

ROOT = Path(__file__).parents[2]
DOCUMENT = Api(RESOURCES).openapi()


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    said: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.said["operationId"])

    @property
    def body(self) -> Mapping[str, Any] | None:
        """What is said of the body; None where there is none."""
        found = self.said.get("requestBody")
        return found and found["content"]["application/json"]

    @property
    def success(self) -> Mapping[str, Any]:
        return next(one for status, one in self.said["responses"].items() if status.startswith("2"))

    @property
    def parameters(self) -> dict[str, Mapping[str, Any]]:
        return {one["name"]: one for one in map(resolved, self.said["parameters"])}


def resolved(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference within the document."""
    found: Any = DOCUMENT
    if "$ref" not in part:
        return part
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found  # type: ignore[no-any-return]


def operations() -> Iterator[Operation]:
    for path, methods in DOCUMENT["paths"].items():
        for method, said in methods.items():
            yield Operation(method, path, said)


OPERATIONS = list(operations())
GETS = [one for one in OPERATIONS if one.method == "get"]
each = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.id)


def faults_of(value: object, schema: Mapping[str, Any]) -> list[str]:
    whole = {**schema, "components": DOCUMENT["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(value)]


@each
def test_every_operation_says_what_it_does_and_who_may_call_it(operation: Operation) -> None:
    said = operation.said
    assert said["summary"]
    assert not said["summary"].endswith(".")
    assert said["description"].startswith(said["summary"])
    assert said["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    assert len(said["tags"]) == 1
    assert said["security"] == [{"token": []}, {"session": []}]


def test_operations_have_names_of_their_own() -> None:
    names = [one.id for one in OPERATIONS]
    assert sorted(set(names)) == sorted(names)
    assert set(EXAMPLES) <= set(names)


@each
def test_every_operation_refers_to_the_errors_that_it_can_answer_with(operation: Operation) -> None:
    needed = {"401", "422", "default"}
    if operation.method != "get":
        needed |= {"403", "409"}
    if "{" in operation.path:
        needed |= {"404"}
    responses = operation.said["responses"]
    errors = {status for status in responses if not status.startswith("2")}
    assert needed <= errors <= needed | {"403", "404", "429"}
    assert all(set(responses[status]) == {"$ref"} for status in errors)


@pytest.mark.parametrize("name", DOCUMENT["components"]["responses"])
def test_errors_have_one_shape(name: str) -> None:
    content = DOCUMENT["components"]["responses"][name]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/Error"}
    assert faults_of(content["example"], content["schema"]) == []


def test_an_error_that_is_answered_has_the_shape_described(alice: Person) -> None:
    answers = [alice.program.get(path) for path in ("/api/v1/projects/none", "/api/v1/projects?size=0")]
    assert [answer.status_code for answer in answers] == [404, 422]
    assert all(faults_of(one.json(), {"$ref": "#/components/schemas/Error"}) == [] for one in answers)


@each
def test_calls_that_change_something_take_an_idempotency_key(operation: Operation) -> None:
    assert ("Idempotency-Key" in operation.parameters) == (operation.method != "get")


@each
def test_every_body_has_an_example_of_its_schema(operation: Operation) -> None:
    if operation.body is None:
        assert EXAMPLES.get(operation.id) is None or EXAMPLES[operation.id].body is None
        return
    assert faults_of(operation.body["example"], operation.body["schema"]) == []


@each
def test_every_answer_has_an_example_of_its_schema(operation: Operation) -> None:
    for kind, content in operation.success.get("content", {}).items():
        is_file = kind != "application/json"
        assert is_file or content["example"] is not None
        assert is_file or faults_of(content["example"], content["schema"]) == []


def test_nothing_is_referred_to_that_is_not_there() -> None:
    def references(part: object) -> Iterator[str]:
        if isinstance(part, dict):
            for key, value in part.items():
                yield from [value] if key == "$ref" else references(value)
        if isinstance(part, list):
            for value in part:
                yield from references(value)

    found = set(references(DOCUMENT))
    assert {one for one in found if not resolved({"$ref": one})} == set()


@pytest.mark.slow
def test_the_platform_serves_this_description(alice: Person) -> None:
    assert alice.program.get("/api/v1/openapi.json").json() == DOCUMENT


@pytest.mark.slow
def test_the_reference_is_up_to_date() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make_api_reference.py"))
    assert page["TARGET"].read_text(encoding="utf-8") == page["reference"](), (
        "run python docs/make_api_reference.py"
    )


NOT_THERE = {"jobs.file", "runs.task_log", "projects.download_shared"}
"""Files that Alice's samples do not have."""


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Listing]:
    """The listings that answers were made from."""
    found: list[Listing] = []

    def noted(db: Any, listing: Listing, query: Any) -> Any:  # noqa: ANN401 - handed on as they are
        found.append(listing)
        return find(db, listing, query)

    monkeypatch.setattr(lists, "find", noted)
    return found


def differences(example: Any, answer: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Compare the keys of an answer, and of the items in it, with those of its example."""
    if set(example) != set(answer):
        yield f"{sorted(set(example) ^ set(answer))} are in the example or the answer alone"
    elif answer.get("items"):
        yield from differences(example["items"][0], answer["items"][0])


def misdescribed(operation: Operation, listing: Listing) -> Iterator[str]:
    """Compare a list as it is with how it may be narrowed and sorted by its description."""
    listed = EXAMPLES[operation.id].listed
    assert listed is not None
    keys = [column.key for column in listing.columns if column.is_sortable]
    if (listed.sort, list(listed.sorts)) != (listing.sort, keys):
        yield f"is sorted by {listing.sort}, or by {keys}"
    filters = {one.key: tuple(one.choices) for one in listing.filters}
    said = {key: choices or filters.get(key) for key, choices in listed.filters.items()}
    if said != filters:
        yield f"has the filters {filters}"
    for one in {"q", "size", "after", "sort", *filters} - set(operation.parameters):
        yield f"{one} is not described"


@pytest.mark.slow
def test_answers_look_like_their_examples_and_lists_are_narrowed_as_said(
    alice: Person, person: Callable[..., Person], platform: Platform, story: Story, seen: list[Listing]
) -> None:
    values, root = samples(platform, story), person("root", is_admin=True)
    faults = []
    for one in GETS:
        if one.id in NOT_THERE:
            continue
        seen.clear()
        program = root.program if one.said["tags"] == ["administration"] else alice.program
        answer = program.get(Route("GET", one.path, False, {}).filled(values))
        assert answer.status_code == 200, one.id
        example = EXAMPLES[one.id]
        if example.file:
            faults += [one.id] if answer.headers["content-type"] != example.file else []
        else:
            faults += [f"{one.id}: {fault}" for fault in differences(example.answer, answer.json())]
        faults += [f"{one.id} is a list, or none"] if bool(seen) != bool(example.listed) else []
        faults += [f"{one.id}: {fault}" for listing in seen for fault in misdescribed(one, listing)]
    assert faults == []


MADE = ["projects.create", "tokens.create", "invitations.create", "members.add"]


@pytest.mark.slow
def test_what_examples_make_is_answered_as_they_say(
    alice: Person, person: Callable[..., Person], project: str
) -> None:
    person("bob")
    faults = []
    for one in (one for one in OPERATIONS if one.id in MADE):
        example = EXAMPLES[one.id]
        assert isinstance(example.body, dict)
        body = example.body | ({"slug": "hearts"} if one.id == "projects.create" else {})
        answer = alice.program.post(one.path.format(slug=project), json=body)
        assert answer.status_code == 201, (one.id, answer.text)
        faults += [f"{one.id}: {fault}" for fault in differences(example.answer, answer.json())]
    assert faults == []
