"""What whoever waits for an application's batch job is told of the dataset that it made."""

from collections.abc import Collection, Mapping
from pathlib import Path

import pytest
from tests.client.dataset_tools import dataset_at

from foedus.apps.datasets.catalogue import find_dataset, keep
from foedus.apps.order import Order
from foedus.apps.submit import AppJob
from foedus.client.following import follow
from foedus.client.shell import Shell, open_shell
from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobState, JobStatus
from foedus.launch import JobFolder


class Done:
    """A launcher of which every job has ended well."""

    def submit(self, spec: JobSpec, key: str) -> NativeId:
        raise AssertionError("nothing is to be submitted")

    def find(self, key: str) -> NativeId | None:
        return None

    def states(self, ids: Collection[NativeId], wait_s: float = 0.0) -> Mapping[NativeId, JobStatus]:
        return {native_id: JobStatus(native_id, JobState.COMPLETED) for native_id in ids}

    def cancel(self, native_id: NativeId) -> None:
        raise AssertionError("nothing is to be cancelled")

    def logs(self, native_id: NativeId) -> str:
        return ""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return open_shell(tmp_path)


@pytest.fixture
def job(shell: Shell) -> AppJob:
    order = Order(application="SIM_MINE", parameters={}, dataset_kind="frames", dataset="spots")
    folder = JobFolder(shell.home.root / "jobs" / "sim_mine-1")
    folder.path.mkdir(parents=True)
    folder.finish({"frames": 3})
    return AppJob("sim_mine-1", folder, NativeId("n"), order)


@pytest.mark.parametrize("is_own", [True, False])
def test_an_output_whose_name_another_dataset_took_is_told_of(
    shell: Shell, job: AppJob, capsys: pytest.CaptureFixture[str], is_own: bool
) -> None:
    keep(shell.home, dataset_at(job.folder.path / "output" if is_own else shell.home.root / "other"))
    ended = follow(shell, Done(), [job], stays=False)
    said = capsys.readouterr().err
    assert ended == [(job, {"frames": 3})]
    assert ("another one has this name" in said) is not is_own
    assert ("dataset register sim_mine-1 --name NAME --home" in said) is not is_own
    assert find_dataset(shell.home, "spots").path.endswith("output" if is_own else "other")


def test_damaged_metadata_of_that_name_cost_no_result(
    shell: Shell, job: AppJob, capsys: pytest.CaptureFixture[str]
) -> None:
    (shell.home.root / "datasets").mkdir()
    (shell.home.root / "datasets" / "spots.json").write_text("{")
    assert follow(shell, Done(), [job], stays=False) == [(job, {"frames": 3})]
    assert "another one has this name" in capsys.readouterr().err
