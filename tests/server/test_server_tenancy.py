"""Every route of the application asks who is there: nobody must sign in, strangers find nothing.

A new route fails here until `tests/server/samples.py` knows what its path names.
"""

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from tests.server.chains import Story
from tests.server.people import Person
from tests.server.samples import NOTHING, OPEN, PUBLIC, SECRET, UNNAMED, Route, routes, samples

from foedus.server.app import API
from foedus.server.platform import Platform

pytestmark = pytest.mark.slow

ROUTES = list(routes())


def ask(client: TestClient, route: Route, path: str) -> Response:
    if route.method in ("GET", "HEAD", "DELETE"):
        return client.request(route.method, path)
    if route.is_form:
        return client.request(route.method, path, data=dict(route.body))
    return client.request(route.method, path, json=dict(route.body))


def is_told(answer: Response, path: str) -> bool:
    """Whether an answer shows what is Alice's; what was asked for may come back."""
    return SECRET in answer.text.replace(path, "").replace(path.replace("/", "%2F"), "").lower()


@pytest.fixture
def values(platform: Platform, story: Story) -> dict[str, str]:
    return samples(platform, story)


def test_each_parameter_of_each_path_has_a_sample(values: dict[str, str]) -> None:
    missing = {parameter for route in ROUTES for parameter in route.parameters if parameter not in values}
    assert missing == set(), "give each a sample in tests/server/samples.py"


def test_no_route_is_public_or_open_that_is_not_there() -> None:
    paths = {route.path for route in ROUTES}
    assert {path for path in PUBLIC if path not in paths} <= {f"{API}/openapi.json"}
    named = {parameter for route in ROUTES for parameter in route.parameters}
    assert set(OPEN) <= named


def test_nobody_is_asked_to_sign_in_on_every_route(nobody: TestClient, values: dict[str, str]) -> None:
    faults = []
    for route in ROUTES:
        if route.path in PUBLIC:
            continue
        path = route.filled(values)
        answer = ask(nobody, route, path)
        is_refused = answer.status_code == 401 or (
            answer.status_code == 303 and answer.headers["location"].startswith("/sign-in?next=")
        )
        if not is_refused or is_told(answer, path):
            faults.append((route.method, path, answer.status_code))
    assert faults == []


def test_public_routes_show_nothing_of_anybody(nobody: TestClient, values: dict[str, str]) -> None:
    for route in ROUTES:
        if route.path in PUBLIC:
            answer = ask(nobody, route, route.path)
            assert answer.status_code < 500 or route.path == "/readyz"
            assert not is_told(answer, route.path), route.path


def test_strangers_find_nothing_wherever_a_path_names_something(
    stranger: Person, values: dict[str, str]
) -> None:
    faults = []
    for route in ROUTES:
        if not route.parameters or route.path in PUBLIC:
            continue
        path = route.filled(values)
        answer = ask(stranger.program if route.path.startswith(API) else stranger.browser, route, path)
        wanted = {404}
        if route.path.startswith(("/admin", f"{API}/admin")):
            wanted = {403, 404}
        elif set(route.parameters) <= set(OPEN):
            wanted = {200, 404} if route.method == "GET" else {200, 404, 422}
        if answer.status_code not in wanted or is_told(answer, path):
            faults.append((route.method, path, answer.status_code))
    assert faults == [], "a 422 hides whether anybody is asked: give a body in tests/server/samples.py"


def test_what_strangers_may_not_see_looks_like_what_is_not_there(
    stranger: Person, values: dict[str, str]
) -> None:
    gone = {name: _missing(value) for name, value in values.items()}
    faults = []
    for route in ROUTES:
        if not route.parameters or route.path in PUBLIC or set(route.parameters) <= set(OPEN):
            continue
        client = stranger.program if route.path.startswith(API) else stranger.browser
        theirs, missing = route.filled(values), route.filled(gone)
        one, other = ask(client, route, theirs), ask(client, route, missing)
        same = one.text.replace(theirs, "") == other.text.replace(missing, "")
        if one.status_code != other.status_code or not same:
            faults.append((route.method, theirs, one.status_code, other.status_code))
    assert faults == []


def _missing(value: str) -> str:
    """Return what looks the same but is nothing."""
    if value.isdigit():
        return str(int(value) + 9000)
    last = "a" if value[-1] != "a" else "c"
    return value[:-1] + last


def test_lists_of_strangers_hold_nothing_of_others(stranger: Person, values: dict[str, str]) -> None:
    faults = []
    for route in ROUTES:
        is_stream = route.path.endswith("/stream")
        if route.method != "GET" or route.parameters or route.path in PUBLIC or is_stream:
            continue
        for query in ("", "?format=csv", "?format=json"):
            client = stranger.program if route.path.startswith(API) else stranger.browser
            answer = client.get(route.path + query)
            is_admin = route.path.startswith(("/admin", f"{API}/admin"))
            if is_told(answer, "") or answer.status_code >= 500 or (is_admin and answer.status_code < 400):
                faults.append((route.path + query, answer.status_code))
    assert faults == []


def test_samples_are_real_for_their_owner(alice: Person, values: dict[str, str]) -> None:
    faults = []
    for route in ROUTES:
        is_real = route.parameters and not NOTHING.intersection(route.parameters)
        if route.method == "GET" and is_real and route.path not in PUBLIC:
            client = alice.program if route.path.startswith(API) else alice.browser
            path = route.filled(values)
            is_admin = route.path.startswith(("/admin", f"{API}/admin"))
            if not is_admin and not path.endswith(("/events", "/stream", *UNNAMED)):
                answer = client.get(path)
                if answer.status_code in (404, 405, 422) or answer.status_code >= 500:
                    faults.append((path, answer.status_code))
    assert faults == [], "a stranger's 404 says nothing where the owner gets one, too"
