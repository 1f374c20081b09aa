"""The contract of `core.protocols.Launcher`, for every backend. A backend is a maker of launchers."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from tests.kubernetes.makers import kubernetes_makers
from tests.launch.held_tools import holding
from tests.launch.process_scheduler import ProcessScheduler
from tests.slurm.fixtures import GROUP, running_cluster

from foedus.core.errors import InvalidSpec
from foedus.core.ids import NativeId
from foedus.core.protocols import Launcher
from foedus.core.records import JobSpec, JobState, JobStatus, Resources
from foedus.launch import JobFolder, LocalLauncher
from foedus.launch.cluster import ClusterLauncher, Program, Times
from foedus.launch.slurm import SlurmScheduler, SlurmSite

APPLICATION = "launcher_application:application"
LIMIT_S = 60.0


@contextmanager
def any_cluster() -> Iterator[Launcher]:
    """The launcher that all clusters share, with a scheduler that starts processes."""
    program = Program(APPLICATION, path=(str(Path(__file__).parent),))
    scheduler = ProcessScheduler()
    with ClusterLauncher(scheduler, program, Times(poll_s=0.1, slow_poll_s=0.1)) as launcher:
        yield launcher
    scheduler.close()


@contextmanager
def held() -> Iterator[Launcher]:
    """Warm workers in batch jobs, with a scheduler that starts processes."""
    program = Program(APPLICATION, path=(str(Path(__file__).parent),))
    scheduler = ProcessScheduler()
    with tempfile.TemporaryDirectory() as folder, holding(scheduler, program, Path(folder)) as launcher:
        yield launcher
    scheduler.close()


@contextmanager
def slurm() -> Iterator[Launcher]:
    """The launcher for Slurm, on a real one."""
    program = Program(APPLICATION, path=(str(Path(__file__).parent),))
    with running_cluster() as cluster, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(cluster.conf))
        with ClusterLauncher(SlurmScheduler(SlurmSite()), program, Times(poll_s=0.5)) as launcher:
            yield launcher


MAKERS: dict[str, Callable[[], AbstractContextManager[Launcher]]] = {
    "local": lambda: LocalLauncher(APPLICATION, workers=2),
    "any cluster": any_cluster,
    "held": held,
    "slurm": slurm,
    **kubernetes_makers(Path(__file__).with_name("launcher_application.py")),
}


@pytest.fixture(scope="module", params=[pytest.param(n, marks=GROUP) if n == "slurm" else n for n in MAKERS])
def launcher(request: pytest.FixtureRequest) -> Iterator[Launcher]:
    with MAKERS[request.param]() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    return JobFolder(tmp_path / "it's a job")


def submit(launcher: Launcher, folder: JobFolder, do: str, walltime_s: float = 120) -> NativeId:
    folder.path.mkdir()
    folder.write_spec({"do": do})
    spec = JobSpec(APPLICATION, str(folder.path), Resources(walltime_s=walltime_s), affinity="client")
    return launcher.submit(spec, ascii(folder.path))


def final(launcher: Launcher, native_id: NativeId) -> JobStatus:
    status = launcher.states([native_id])[native_id]
    while not status.state.is_final:
        before, status = status, launcher.states([native_id], LIMIT_S)[native_id]
        assert status != before, "nothing happened for a long time"
    return status


def test_a_result_means_completed(launcher: Launcher, folder: JobFolder) -> None:
    native_id = submit(launcher, folder, "finish")
    status = final(launcher, native_id)
    assert (status.state, status.cause) == (JobState.COMPLETED, "")
    assert folder.read_result() == {"done": True}
    assert folder.read_events()[0] == [{"progress": 1}]
    assert (folder.path / "update.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("do", "cause"), [("raise", "the reason"), ("die", "code 3"), ("nothing", "without a result")]
)
def test_anything_else_means_failed_and_says_why(
    launcher: Launcher, folder: JobFolder, do: str, cause: str
) -> None:
    status = final(launcher, submit(launcher, folder, do))
    assert status.state is JobState.FAILED
    assert cause in status.cause


def test_the_output_can_be_read(launcher: Launcher, folder: JobFolder) -> None:
    native_id = submit(launcher, folder, "finish")
    final(launcher, native_id)
    assert launcher.logs(native_id) == "doing finish\n"


def test_a_key_is_submitted_once(launcher: Launcher, folder: JobFolder) -> None:
    native_id = submit(launcher, folder, "finish")
    key = ascii(folder.path)
    assert launcher.find(key) == native_id
    final(launcher, native_id)
    assert launcher.submit(JobSpec(APPLICATION, str(folder.path)), key) == native_id
    assert launcher.logs(native_id) == "doing finish\n"


def test_an_unknown_job_is_never_taken_for_finished(launcher: Launcher) -> None:
    unknown = NativeId("unknown")
    assert launcher.find("unknown") is None
    assert launcher.states([unknown])[unknown].state in (JobState.UNKNOWN, JobState.LOST)
    assert launcher.logs(unknown) == ""
    launcher.cancel(unknown)


def test_a_folder_without_spec_is_refused(launcher: Launcher, tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec):
        launcher.submit(JobSpec(APPLICATION, str(tmp_path)), "no spec")
    assert launcher.find("no spec") is None


def test_a_cancelled_job_stops(launcher: Launcher, folder: JobFolder) -> None:
    native_id = submit(launcher, folder, "wait")
    while launcher.states([native_id], LIMIT_S)[native_id].state is not JobState.RUNNING:
        pass
    launcher.cancel(native_id)
    assert final(launcher, native_id).state is JobState.CANCELLED
    launcher.cancel(native_id)
    assert final(launcher, native_id).state is JobState.CANCELLED


def test_the_time_limit_stops_a_job_and_is_named(launcher: Launcher, folder: JobFolder) -> None:
    status = final(launcher, submit(launcher, folder, "wait", walltime_s=0.1))
    assert status.state is JobState.FAILED
    assert "time limit" in status.cause


def test_a_finished_job_stays_as_it_is(launcher: Launcher, folder: JobFolder) -> None:
    native_id = submit(launcher, folder, "finish")
    status = final(launcher, native_id)
    launcher.cancel(native_id)
    assert launcher.states([native_id], LIMIT_S) == {native_id: status}
