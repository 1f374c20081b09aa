"""An API server that is away, lost answers, killed launchers: nothing is done twice, none is a success."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kubernetes.batch import Batch, batch, created
from tests.kubernetes.fake_api import FakeApi, Fault
from tests.kubernetes.fake_kubelet import kill
from tests.kubernetes.makers import until

from foedus.core.records import JobState

pytestmark = pytest.mark.slow
RUNNING, UNKNOWN = JobState.RUNNING, JobState.UNKNOWN


@pytest.fixture
def jobs(api: FakeApi, tmp_path: Path) -> Iterator[Batch]:
    with batch(api, tmp_path) as opened:
        yield opened


def test_while_the_server_is_away_nothing_is_known_and_nothing_done_twice(api: FakeApi, jobs: Batch) -> None:
    before = jobs.submit("before", {"do": "count", "to": 20})
    jobs.wait(before, RUNNING)
    api.faults.append(Fault("status", status=503, message="down"))
    assert "503" in jobs.wait(before, UNKNOWN).cause
    during = jobs.submit("during", {"do": "tell"})
    assert jobs.wait(during, UNKNOWN).state is UNKNOWN
    assert jobs.wait(before).state is JobState.COMPLETED, "its folder says so, whatever the server says"
    assert jobs.status(during).state is UNKNOWN
    api.faults.clear()
    assert jobs.wait(during).state is JobState.COMPLETED
    assert len(api.cluster.jobs) == 2


def test_a_hanging_server_holds_nothing_up(api: FakeApi, tmp_path: Path) -> None:
    with batch(api, tmp_path, timeout_s=0.5) as jobs:
        api.faults.append(Fault("hang"))
        native_id = jobs.submit("job", {"do": "tell"})
        assert "nothing came within 0.5 s" in jobs.wait(native_id, UNKNOWN).cause
        jobs.launcher.cancel(native_id)
        assert jobs.status(native_id).state is UNKNOWN
        api.faults.clear()
        assert jobs.wait(native_id).state is JobState.CANCELLED


@pytest.mark.parametrize(
    ("command", "words"), [("false", "our credentials (401)"), ("sleep", "nothing came")]
)
def test_a_login_program_that_fails_or_hangs_costs_no_job(
    command: str, words: str, api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foedus.launch.kubernetes.scheduler._OPERATION_S", 1.0)
    with batch(api, tmp_path) as jobs:
        config = tmp_path / "kubeconfig"
        login = {"apiVersion": "client.authentication.k8s.io/v1", "command": f"/bin/{command}", "args": ["3"]}
        broken = json.loads(config.read_text())
        broken["users"][0]["user"] = {"exec": {**login, "interactiveMode": "Never"}}
        config.write_text(json.dumps(broken))
        native_id = jobs.submit("job", {"do": "tell"})
        assert words in jobs.wait(native_id, UNKNOWN).cause
        api.write_kubeconfig(config)
        assert jobs.wait(native_id).state is JobState.COMPLETED
    assert len(api.cluster.jobs) == 1


def test_a_job_whose_submission_was_not_answered_is_found(api: FakeApi, jobs: Batch) -> None:
    api.faults.append(Fault("drop", methods=("POST",), times=1))
    native_id = jobs.submit("job", {"do": "tell"})
    assert jobs.wait(native_id).state is JobState.COMPLETED
    assert created(api) == 1


def test_another_process_takes_a_running_job_up(api: FakeApi, tmp_path: Path) -> None:
    """The first is killed after the Job was made and before it could note so."""
    with batch(api, tmp_path) as first:
        api.faults.append(Fault("drop", methods=("POST",), times=1))
        native_id = first.submit("job", {"do": "count", "to": 20})
    with batch(api, tmp_path) as second:
        assert second.submit("job", {"do": "count", "to": 20}) == native_id
        assert second.wait(native_id).state is JobState.COMPLETED
        assert second.result(native_id)["first"] == 0
    assert len(api.cluster.jobs) == 1


def test_a_job_that_was_cleaned_up_while_nobody_looked_is_done_again(api: FakeApi, tmp_path: Path) -> None:
    """Its time to live passed meanwhile; a result in its folder counts."""
    with batch(api, tmp_path) as first:
        with_result = first.submit("good", {"do": "tell"})
        without = first.submit("bad", {"do": "sleep"})
        first.wait(without, RUNNING)
        until(lambda: bool(first.folders[without].attempts()))  # its pod runs before its program does
    until(lambda: _is_over(api, first.name(with_result)))
    _clean_up(api, first.name(with_result), first.name(without))
    with batch(api, tmp_path) as second:
        good, bad = second.submit("good", {"do": "tell"}), second.submit("bad", {"do": "sleep"})
        assert second.wait(good).state is JobState.COMPLETED
        status = second.wait_until(bad, lambda status: status.attempt > 1 or status.state.is_final)
        assert (status.state, status.attempt) == (RUNNING, 2), "it was never a success"
        second.launcher.cancel(bad)
        assert second.wait(bad).state is JobState.CANCELLED
    assert created(api) == 3


def _clean_up(api: FakeApi, *names: str) -> None:
    """Delete these Jobs with their pods, as the cluster does once their time to live has passed."""
    with api.cluster.lock:
        pods = [
            pod["metadata"]["name"] for name in names for pod in api.cluster.pods_of(api.cluster.jobs[name])
        ]
        for name in names:
            if not _is_over(api, name):
                kill(api.cluster.running(name).process)
            api.cluster.delete(name, "Background")
    until(lambda: not set(pods) & set(api.cluster.pods))


def _is_over(api: FakeApi, name: str) -> bool:
    return "Complete" in str(api.cluster.jobs[name]["status"].get("conditions"))
