"""Whatever is sent, the platform answers with what is wrong and never with a defect."""

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from tests.server.chains import Story
from tests.server.people import Person
from tests.server.samples import PUBLIC, Route, routes, samples

from foedus.server.app import API
from foedus.server.platform import Platform

HOSTILE = (
    "a\0b",
    "x" * 20_000,
    "'\"><script>alert(1)</script>",
    "../../../etc/passwd",
    "-1",
    "9" * 400,
    "1e400",
    "NaN",
    "\u202egnp\U0001f600",
    "a\r\nSet-Cookie: x=y",
    "{{ 7 * 7 }}%00${7}",
    "'; DROP TABLE users; --",
    "\ufeff",
)
FORMS = [route for route in routes() if route.is_form and route.method == "POST" and route.body]
GETS = [route for route in routes() if route.method == "GET"]


@pytest.fixture
def values(platform: Platform, story: Story) -> dict[str, str]:
    return samples(platform, story)


@pytest.mark.slow
@pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"])
def test_no_request_that_the_schema_allows_or_forbids_finds_a_defect(
    app: FastAPI, alice: Person, values: dict[str, str]
) -> None:
    schema = schemathesis.openapi.from_asgi(f"{API}/openapi.json", app)
    faults: list[str] = []

    def try_out(operation: schemathesis.schemas.APIOperation) -> None:  # type: ignore[type-arg]
        @settings(
            max_examples=8,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def once(case: Case) -> None:
            answer = case.call(headers={"Authorization": alice.program.headers["authorization"]})
            if answer.status_code >= 500:
                faults.append(f"{case.as_curl_command()}: {answer.status_code} {answer.text[:200]}")

        once()

    for found in schema.get_all_operations():
        try_out(found.ok())
    assert faults == []


def _try_fields(alice: Person, route: Route, path: str) -> list[tuple[str, str, str, int]]:
    faults = []
    for field in route.body:
        for text in HOSTILE:
            data = {name: value for name, value in route.body.items() if name != field} | {field: text}
            answer = alice.browser.post(path, data=data)
            is_raw = "<script>alert(1)" in answer.text
            if answer.status_code >= 500 or is_raw or "set-cookie: x=y" in str(answer.headers).lower():
                faults.append((path, field, text[:40], answer.status_code))
    return faults


@pytest.mark.slow
@pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"])
def test_no_field_of_a_form_finds_a_defect(app: FastAPI, alice: Person, values: dict[str, str]) -> None:
    app.router.redirect_slashes = False
    alice.browser._transport.raise_server_exceptions = False  # type: ignore[attr-defined]
    faults = []
    for route in FORMS:
        if route.path not in PUBLIC or route.path in ("/theme", "/sign-in", "/sign-up"):
            faults += _try_fields(alice, route, route.filled(values))
    assert faults == []


@pytest.mark.slow
@pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"])
def test_no_part_of_a_path_finds_a_defect(alice: Person, values: dict[str, str]) -> None:
    alice.browser._transport.raise_server_exceptions = False  # type: ignore[attr-defined]
    faults = []
    for route in GETS:
        for parameter in route.parameters:
            for text in (
                "%00",
                "%ff",
                "..%2f..%2fetc%2fpasswd",
                "9" * 30,
                "-1",
                "%F0%9F%98%80",
                "a" * 5000,
                "%0d%0a",
            ):
                path = route.filled({**values, parameter: text})
                if path.endswith(("/events", "/stream")):
                    continue
                status = alice.browser.get(path).status_code
                if status >= 500 or status == 200:
                    faults.append((path[:100], status))
    assert faults == []
