"""The scheduler and a fake API server that answers badly, late, or not at all. Nothing is ever success."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.kubernetes.fake_api import FakeApi, Fault
from tests.kubernetes.makers import order, site_of, until

from foedus.core.errors import FoedusError, InvalidSpec
from foedus.launch.cluster import Refused, Unreachable
from foedus.launch.kubernetes import KubernetesScheduler
from foedus.launch.kubernetes import scheduler as module

# --- no answer ---

FAULTS = {
    "down for maintenance": (Fault("status", status=503, message="down"), "does not answer properly (503)"),
    "broken": (Fault("status", status=500), "does not answer properly (500): it went wrong"),
    "behind a proxy": (Fault("status", status=302, headers={"Location": "http://127.0.0.1:1/"}), "answer"),
    "no JSON": (Fault("body", body=b"<html>"), "not JSON"),
    "no object": (Fault("body", body=b"[1]"), "no object"),
    "no list": (Fault("body", body=b"{}"), "something else"),
    "not UTF-8": (Fault("body", body=b'{"items": "\xff"}'), "not JSON"),
    "endlessly nested": (Fault("body", body=b"[" * 200_000), "not JSON"),
    "cut off": (Fault("body", body=b'{"items": [', headers={"Content-Length": "99"}), ""),
    "silent": (Fault("drop"), "does not answer"),
    "hanging": (Fault("hang"), "nothing came within 0.3 s"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_an_answer_that_cannot_be_used_is_none(case: str, api: FakeApi, tmp_path: Path) -> None:
    fault, words = FAULTS[case]
    quick = KubernetesScheduler(site_of(api, tmp_path, tmp_path, timeout_s=0.3))
    api.faults.append(replace(fault))
    actions: list[Callable[[], object]] = [
        lambda: quick.look(["foedus-a-0"]),
        lambda: quick.log("foedus-a-0", ""),
    ]
    if case != "no list":  # which is an answer that is no Job, either
        actions.append(lambda: quick.submit(order(tmp_path)))
    for act in actions:
        with pytest.raises(Unreachable) as caught:
            act()
        assert words in caught.value.message
        assert api.token not in str(caught.value)


def test_an_answer_that_is_too_large_is_none(
    api: FakeApi, scheduler: KubernetesScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foedus.launch.kubernetes.api._ANSWER_LIMIT", 1000)
    api.faults.append(Fault("body", body=b'{"items": [' + b" " * 5000 + b"]}"))
    with pytest.raises(Unreachable, match="more than 1,000 bytes"):
        scheduler.look(["foedus-a-0"])


def test_a_server_that_is_not_there_is_told_of(api: FakeApi, scheduler: KubernetesScheduler) -> None:
    api.close()
    with pytest.raises(Unreachable, match="it refuses connections, or is not there"):
        scheduler.look(["foedus-a-0"])


@pytest.mark.slow
def test_an_answer_that_trickles_in_is_not_waited_for(
    api: FakeApi, scheduler: KubernetesScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, so only a limit on the whole helps."""
    monkeypatch.setattr(module, "_OPERATION_S", 0.5)
    scheduler.look(["foedus-a-0"])
    api.faults.append(Fault("drip"))
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"nothing came within 0\.5 s"):
        scheduler.look(["foedus-a-0"])
    assert time.monotonic() - began < 5


# --- an answer that says no ---


def test_credentials_that_are_not_accepted_are_read_again(api: FakeApi, tmp_path: Path) -> None:
    site = site_of(api, tmp_path, tmp_path)
    api.write_kubeconfig(tmp_path / "kubeconfig", token="old-token")  # noqa: S106 - it opens nothing
    scheduler = KubernetesScheduler(site)
    for act in (lambda: scheduler.look(["foedus-a-0"]), lambda: scheduler.submit(order(tmp_path))):
        with pytest.raises(Unreachable, match="does not accept our credentials \\(401\\)"):
            act()
    api.write_kubeconfig(tmp_path / "kubeconfig")
    assert scheduler.look(["foedus-a-0"]) == {}


def test_missing_permissions_are_named(api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path) -> None:
    api.forbidden = {("list", "jobs"), ("create", "jobs"), ("delete", "jobs")}
    with pytest.raises(Unreachable, match="cannot list resource") as caught:
        scheduler.look(["foedus-a-0"])
    assert "docs/how-to/kubernetes.md" in caught.value.hint
    with pytest.raises(Refused, match="cannot create resource") as refused:
        scheduler.submit(order(tmp_path))
    assert "docs/how-to/kubernetes.md" in refused.value.hint
    with pytest.raises(Unreachable, match="cannot delete resource"):
        scheduler.cancel("foedus-a-0", "")


def test_events_may_be_forbidden(api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path) -> None:
    api.forbidden = {("list", "events")}
    api.cluster.pod_refusal = "is forbidden: exceeded quota"
    wanted = order(tmp_path)
    scheduler.submit(wanted)
    until(lambda: bool(api.cluster.events))
    assert scheduler.look([wanted.name])[wanted.name].cause == "waiting for its pod to be made"
    api.forbidden.clear()
    assert "quota" in scheduler.look([wanted.name])[wanted.name].cause


def test_a_used_up_quota_is_worth_another_try(
    api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path
) -> None:
    api.job_quota = 0
    with pytest.raises(Unreachable, match="a quota of the namespace is used up"):
        scheduler.submit(order(tmp_path))


def test_a_missing_namespace_is_named(api: FakeApi, tmp_path: Path) -> None:
    scheduler = KubernetesScheduler(site_of(api, tmp_path, tmp_path, namespace="elsewhere"))
    with pytest.raises(Refused, match='namespaces "elsewhere" not found') as caught:
        scheduler.submit(order(tmp_path))
    assert "kubernetes.namespace" in caught.value.hint


def test_a_server_that_does_not_know_a_field_says_so(
    api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path
) -> None:
    """Dropping it silently would give up what it was for."""
    api.cluster.release = "1.27"
    with pytest.raises(Refused, match="podReplacementPolicy"):
        scheduler.submit(order(tmp_path))


def test_an_overloaded_server_is_left_alone(
    api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path
) -> None:
    api.faults.append(Fault("status", status=429, times=1, headers={"Retry-After": "1"}))
    with pytest.raises(Unreachable, match="overloaded \\(429\\)"):
        scheduler.look(["foedus-a-0"])
    asked = len(api.requests)
    with pytest.raises(Unreachable, match="left alone"):
        scheduler.submit(order(tmp_path))
    assert len(api.requests) == asked, "nothing was asked meanwhile"

    def is_answered() -> bool:
        try:
            return scheduler.look(["foedus-a-0"]) == {}
        except Unreachable:
            return False

    until(is_answered)


@pytest.mark.parametrize("value", ["soon", "-1", "99999999999999999999", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_pause_is_bounded(value: str, api: FakeApi, scheduler: KubernetesScheduler) -> None:
    api.faults.append(Fault("status", status=503, times=1, headers={"Retry-After": value}))
    with pytest.raises(Unreachable):
        scheduler.look(["foedus-a-0"])
    try:
        scheduler.look(["foedus-a-0"])
    except Unreachable as error:
        assert "60 s" in error.message or "59 s" in error.message  # noqa: PT017 - either outcome is right


# --- set-up ---


def test_a_missing_client_is_named(
    api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as damaged:
        damaged.setitem(sys.modules, "kubernetes.client", None)
        with pytest.raises(Unreachable, match="client cannot be loaded") as unloaded:
            scheduler.look(["foedus-a-0"])
        assert "foedus[kubernetes]" in unloaded.value.hint
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(InvalidSpec, match="client is not installed") as caught:
        scheduler.check(order(tmp_path))
    assert "foedus[kubernetes]" in caught.value.hint


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"clusters": []}', json.dumps({"contexts": "x"})])
def test_an_unusable_kubeconfig_is_told_of(content: str | None, api: FakeApi, tmp_path: Path) -> None:
    scheduler = KubernetesScheduler(site_of(api, tmp_path, tmp_path))
    config = tmp_path / "kubeconfig"
    config.unlink()
    if content is not None:
        config.write_text(content)
    scheduler.check(order(tmp_path))
    for act in (lambda: scheduler.submit(order(tmp_path)), lambda: scheduler.look(["foedus-a-0"])):
        with pytest.raises(Unreachable, match="cannot be reached by") as caught:
            act()
        assert "kubeconfig" in caught.value.hint
    api.write_kubeconfig(config)
    assert scheduler.look(["foedus-a-0"]) == {}


def test_an_unknown_context_is_told_of(api: FakeApi, tmp_path: Path) -> None:
    scheduler = KubernetesScheduler(site_of(api, tmp_path, tmp_path, context="elsewhere"))
    with pytest.raises(Unreachable, match="elsewhere"):
        scheduler.look(["foedus-a-0"])


def test_the_usual_kubeconfig_is_used_where_none_is_named(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(api.write_kubeconfig(tmp_path / "usual")))
    scheduler = KubernetesScheduler(site_of(api, tmp_path, tmp_path, kubeconfig=None, context="test@fake"))
    assert scheduler.look(["foedus-a-0"]) == {}


def test_no_error_is_outside_the_contract(
    api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path
) -> None:
    """Whatever status comes back, callers get an error of ours, and its text is bounded."""
    for status in (400, 403, 404, 405, 409, 410, 413, 415, 418, 422, 451, 500, 502, 504, 599):
        api.faults[:] = [Fault("status", status=status, reason="x" * 10_000, message="y" * 100_000)]
        acts: tuple[Callable[[], object], ...] = (
            lambda: scheduler.submit(order(tmp_path)),
            lambda: scheduler.look(["foedus-a-0"]),
            lambda: scheduler.cancel("foedus-a-0", ""),
        )
        for act in acts:
            try:
                act()
            except FoedusError as error:
                assert isinstance(error, Refused | Unreachable)  # noqa: PT017 - some statuses are fine
                assert len(str(error)) < 1500  # noqa: PT017
