"""The fake API server itself: it says no as the real one does, or it would prove nothing."""

import http.client
import json
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.fake_api import FakeApi
from tests.kubernetes.fake_kubelet import expanded
from tests.kubernetes.makers import order, site_of, until

from foedus.launch.kubernetes.manifest import job_manifest

JOBS, PODS = "/apis/batch/v1/namespaces/foedus/jobs", "/api/v1/namespaces/foedus/pods"


def ask(api: FakeApi, method: str, path: str, body: object = None, token: str = "") -> tuple[int, Any]:
    connection = http.client.HTTPConnection(api.url.removeprefix("http://"), timeout=10)
    data = json.dumps(body) if body is not None else None
    connection.request(method, path, data, {"Authorization": f"Bearer {token or api.token}"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


@pytest.fixture
def manifest(api: FakeApi, tmp_path: Path) -> Any:  # noqa: ANN401 - JSON
    return job_manifest(order(tmp_path), site_of(api, tmp_path, tmp_path))


def refusal(answer: tuple[int, Any]) -> tuple[int, str]:
    status, body = answer
    assert (body["kind"], body["status"], body["code"]) == ("Status", "Failure", status)
    return status, body["reason"]


def test_it_says_no_with_the_right_words(api: FakeApi, manifest: Any) -> None:  # noqa: ANN401
    assert refusal(ask(api, "GET", JOBS, token="wrong")) == (401, "Unauthorized")  # noqa: S106
    assert refusal(ask(api, "GET", f"{JOBS}/none")) == (404, "NotFound")
    assert refusal(ask(api, "DELETE", f"{JOBS}/none")) == (404, "NotFound")
    assert refusal(ask(api, "GET", "/apis/batch/v1/namespaces/foedus/cronjobs")) == (404, "NotFound")
    assert refusal(ask(api, "PUT", f"{JOBS}/none", {})) == (405, "MethodNotAllowed")
    assert refusal(ask(api, "POST", JOBS, {})) == (400, "BadRequest")
    assert refusal(ask(api, "POST", JOBS, {**manifest, "more": 1})) == (400, "BadRequest")
    elsewhere = JOBS.replace("foedus", "elsewhere")
    assert refusal(ask(api, "POST", elsewhere, manifest)) == (404, "NotFound")
    assert ask(api, "GET", elsewhere)[1]["items"] == [], "as the real one: no error"
    spoiled = {**manifest, "metadata": {**manifest["metadata"], "name": "Not A Name"}}
    assert refusal(ask(api, "POST", JOBS, spoiled)) == (422, "Invalid")
    assert ask(api, "POST", JOBS, manifest)[0] == 201
    assert refusal(ask(api, "POST", JOBS, manifest)) == (409, "AlreadyExists")
    api.forbidden.add(("list", "pods"))
    assert refusal(ask(api, "GET", PODS)) == (403, "Forbidden")
    assert refusal(ask(api, "GET", f"{JOBS}?labelSelector=a%20near%20b")) == (400, "BadRequest")


def test_lists_come_in_pages_whose_tokens_expire(api: FakeApi, manifest: Any) -> None:  # noqa: ANN401
    api.cluster.unschedulable = "no"
    for number in range(3):
        ask(api, "POST", JOBS, {**manifest, "metadata": {**manifest["metadata"], "name": f"job-{number}"}})
    _, first = ask(api, "GET", f"{JOBS}?limit=2")
    assert [job["metadata"]["name"] for job in first["items"]] == ["job-0", "job-1"]
    token = first["metadata"]["continue"]
    _, second = ask(api, "GET", f"{JOBS}?limit=2&continue={token}")
    assert [job["metadata"]["name"] for job in second["items"]] == ["job-2"]
    assert "continue" not in second["metadata"]
    api.expiring = 1
    assert refusal(ask(api, "GET", f"{JOBS}?limit=2&continue={token}")) == (410, "Expired")


@pytest.mark.parametrize(
    ("policy", "is_job_there", "is_pod_ending"),
    [("Foreground", True, True), ("Background", False, True), ("Orphan", False, False)],
)
def test_deletion_follows_its_policy(
    policy: str,
    is_job_there: bool,
    is_pod_ending: bool,
    api: FakeApi,
    manifest: Any,  # noqa: ANN401
) -> None:
    spec = manifest["spec"]["template"]["spec"]
    spec["containers"][0]["command"] = ["/bin/sh", "-c", "trap '' TERM; sleep 1000"]
    spec["terminationGracePeriodSeconds"] = 60
    ask(api, "POST", JOBS, manifest)
    until(lambda: any(pod["status"]["phase"] == "Running" for pod in api.cluster.pods.values()))
    (pod,) = api.cluster.pods.values()
    ask(api, "DELETE", f"{JOBS}/{manifest['metadata']['name']}?propagationPolicy={policy}")
    until(lambda: ("deletionTimestamp" in pod["metadata"]) is is_pod_ending)
    assert (manifest["metadata"]["name"] in api.cluster.jobs) is is_job_there


def test_every_change_has_a_new_version(api: FakeApi, manifest: Any) -> None:  # noqa: ANN401
    name = manifest["metadata"]["name"]
    ask(api, "POST", JOBS, manifest)
    before = int(ask(api, "GET", f"{JOBS}/{name}")[1]["metadata"]["resourceVersion"])
    ask(api, "DELETE", f"{JOBS}/{name}?propagationPolicy=Foreground")
    status, after = ask(api, "GET", f"{JOBS}/{name}")
    assert status == 404 or int(after["metadata"]["resourceVersion"]) > before


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("$(A)", "one"),
        ("$$(A)", "$(A)"),
        ("$(B)", "$(B)"),
        ("$A", "$A"),
        ("$$", "$"),
        ("$$$(A)", "$one"),
        ("$(", "$("),
    ],
)
def test_references_in_commands_are_replaced_as_kubernetes_does(word: str, meant: str) -> None:
    assert expanded(word, {"A": "one"}) == meant
