import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from launch_helpers import ENTRY, Jobs, processes_at

from foedus.core.errors import HomeInUse, InvalidSpec
from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobState, JobStatus
from foedus.launch import JobFolder, LocalLauncher
from foedus.launch.cluster.journal import Journal


def test_a_result_completes_the_job(jobs: Jobs) -> None:
    status, folder = jobs.run("finish")
    assert (status.state, status.cause) == (JobState.COMPLETED, "")
    assert jobs.result(folder)["pid"] != os.getpid()


def test_setup_runs_once_per_worker(jobs: Jobs) -> None:
    for name in "abcd":
        _, folder = jobs.run("finish", name)
        result = jobs.result(folder)
        assert result["setups"] == [result["pid"]]


def test_workers_see_no_secrets_and_few_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOEDUS_DEVICE", "cpu")
    monkeypatch.setenv("FOEDUS_PASSWORD", "secret")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    with LocalLauncher(ENTRY, workers=1, threads=2) as launcher:
        _, folder = (jobs := Jobs(launcher, tmp_path)).run("finish")
    environment = jobs.result(folder)["environment"]
    assert isinstance(environment, dict)
    assert "FOEDUS_PASSWORD" not in environment
    assert environment["FOEDUS_DEVICE"] == "cpu"
    assert environment["ATEN_CPU_CAPABILITY"] == "default"
    assert environment["OMP_NUM_THREADS"] == "2"
    assert os.environ.get("OMP_NUM_THREADS") != "2"


@pytest.mark.parametrize(
    ("do", "cause"),
    [
        ("raise", "ValueError: no \ufffd[31mgood?"),
        ("refuse", "the partition is empty\nGive it some rows."),
        ("leave", "SystemExit: enough"),
        ("nothing", "the task ended without a result"),
        ("damage", "the task's result is not usable"),
    ],
)
def test_a_failure_is_told_and_not_retried(jobs: Jobs, do: str, cause: str) -> None:
    status, folder = jobs.run(do)
    assert status.state is JobState.FAILED
    assert status.cause.startswith(cause)
    assert "next attempt" not in folder.read_log()


def test_the_traceback_ends_in_the_failing_line(jobs: Jobs) -> None:
    _, folder = jobs.run("raise")
    failure = folder.read_failure()
    assert failure is not None
    assert "do_raise" in failure.traceback


@pytest.mark.parametrize("do", ["finish_then_raise", "finish_then_die"])
def test_a_result_counts_whatever_happens_after_it(jobs: Jobs, do: str) -> None:
    assert jobs.run(do)[0].state is JobState.COMPLETED


@pytest.mark.parametrize(
    ("entry", "setup", "cause"),
    [
        ("no_such_module:run", "", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("launch_entries:no_such_function", "", "AttributeError"),
        (ENTRY, "launch_entries:broken_set_up", "RuntimeError: no such device"),
    ],
)
def test_code_that_cannot_be_loaded_fails_each_job(
    tmp_path: Path, entry: str, setup: str, cause: str
) -> None:
    with LocalLauncher(entry, workers=1, setup=setup) as launcher:
        jobs = Jobs(launcher, tmp_path)
        for name in "ab":
            status, _ = jobs.run("finish", name)
            assert status.state is JobState.FAILED
            assert status.cause.startswith(cause)


def test_all_output_is_caught(jobs: Jobs) -> None:
    _, folder = jobs.run("print")
    log = jobs.launcher.logs(NativeId(ascii(folder.path)))
    assert sorted(log.splitlines()) == [
        "from C",
        "from Python, ünïcode",
        "from a child",
        "from the descriptor \ufffd",
        "to stderr",
    ]


def test_output_of_one_job_stays_out_of_the_next(own_jobs: Jobs) -> None:
    own_jobs.run("print", "a")
    _, second = own_jobs.run("finish", "b")
    assert second.read_log() == ""


def test_a_known_key_returns_the_job_it_has(jobs: Jobs) -> None:
    first, second = jobs.folder("a"), jobs.folder("b")
    native_id = jobs.submit(first, "twice")
    assert jobs.submit(second, "twice") == native_id == jobs.launcher.find("twice")
    jobs.wait(native_id)
    assert jobs.submit(second, "twice") == native_id
    assert second.read_result() is None
    assert jobs.launcher.find("never") is None


def test_work_done_before_is_found_again(jobs: Jobs, tmp_path: Path) -> None:
    _, folder = jobs.run("finish", key="round-1")
    before = jobs.result(folder)
    with LocalLauncher(ENTRY, workers=1) as launcher:
        again = Jobs(launcher, tmp_path)
        assert launcher.find("round-1") is None
        native_id = again.submit(folder, "round-1")
        assert launcher.states([native_id])[native_id].state is JobState.COMPLETED
        assert folder.read_result() == before
        other = again.submit(folder, "round-2")
        assert again.wait(other)[other].state is JobState.COMPLETED
    assert folder.read_result() != before


ODD_NAMES = ["a b", "it's", 'say "hi"', "two\nlines", "; echo $HOME `id`", "ünï", "\udcff", "-rf", "%s{0}"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_folder_names_are_only_names(jobs: Jobs, name: str) -> None:
    assert jobs.run("finish", name)[0].state is JobState.COMPLETED


def test_unusable_jobs_are_refused(jobs: Jobs, tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="no job folder"):
        jobs.launcher.submit(JobSpec("", str(tmp_path)), "a")
    with pytest.raises(InvalidSpec, match="no job folder"):
        jobs.launcher.submit(JobSpec("", str(tmp_path / "none")), "a")
    folder = jobs.folder()
    for walltime_s in (0.0, -1.0, float("nan")):
        with pytest.raises(InvalidSpec, match="time limit"):
            jobs.submit(folder, "a", walltime_s=walltime_s)
    (folder.path / "result.json").mkdir()
    with pytest.raises(InvalidSpec, match="cannot be written"):
        jobs.submit(folder, "a")
    assert jobs.launcher.find("a") is None


def test_unusable_launchers_are_refused() -> None:
    for entry in ("", "os", "os:system; x", "../x:y", "a..b:c"):
        with pytest.raises(InvalidSpec, match="does not name a function"):
            LocalLauncher(entry, workers=1)
    with pytest.raises(InvalidSpec, match="at least one worker"):
        LocalLauncher(ENTRY, workers=0)
    with pytest.raises(InvalidSpec, match="at least one thread"):
        LocalLauncher(ENTRY, threads=0)


def test_a_clients_jobs_go_to_the_worker_that_knows_it(jobs: Jobs) -> None:
    workers: dict[str, set[object]] = {"hospital-a": set(), "hospital-b": set()}
    for number in range(6):
        for client, seen in workers.items():
            _, folder = jobs.run("finish", f"{client}-{number}", affinity=client)
            seen.add(jobs.result(folder)["pid"])
    assert [len(seen) for seen in workers.values()] == [1, 1]
    assert workers["hospital-a"] != workers["hospital-b"]


def test_an_idle_worker_takes_what_a_busy_one_knows(jobs: Jobs) -> None:
    _, folder = jobs.run("finish", "a", affinity="client")
    busy = jobs.folder("busy", "hang")
    hanging = jobs.submit(busy, affinity="client")
    assert processes_at(busy) == [jobs.result(folder)["pid"]]
    status, other = jobs.run("finish", "b", affinity="client")
    assert status.state is JobState.COMPLETED
    assert jobs.result(other)["pid"] != jobs.result(folder)["pid"]
    jobs.launcher.cancel(hanging)
    jobs.wait(hanging)


@pytest.mark.slow
def test_many_jobs_on_few_workers_all_complete_once(jobs: Jobs) -> None:
    folders = [jobs.folder(f"{number}") for number in range(50)]
    ids = [jobs.submit(folder) for folder in folders]
    states = jobs.wait(*ids)
    assert {status.state for status in states.values()} == {JobState.COMPLETED}
    assert len({jobs.result(folder)["pid"] for folder in folders}) == 2


def test_waiting_ends_with_the_first_change_and_with_the_time(own_jobs: Jobs) -> None:
    folder = own_jobs.folder("a", "hang")
    native_id = own_jobs.submit(folder)
    processes_at(folder)
    assert own_jobs.launcher.states([native_id], 10)[native_id].state is JobState.RUNNING
    began = time.monotonic()
    assert own_jobs.launcher.states([native_id], 0.02)[native_id].state is JobState.RUNNING
    assert 0.02 <= time.monotonic() - began < 5
    assert own_jobs.launcher.states([], 10) == {}
    unknown = own_jobs.launcher.states([NativeId("unknown")], 10)
    assert unknown[NativeId("unknown")].state is JobState.LOST


def test_closing_does_not_hide_why_a_job_is_stopped(tmp_path: Path) -> None:
    with LocalLauncher(ENTRY, workers=1) as launcher:
        jobs = Jobs(launcher, tmp_path)
        folder = jobs.folder("a", "hang_stubbornly")
        native_id = jobs.submit(folder)
        processes_at(folder)
        launcher.cancel(native_id)
    assert launcher.states([native_id])[native_id].cause == "cancelled while it ran"


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    launcher = LocalLauncher(ENTRY, workers=1)
    jobs = Jobs(launcher, tmp_path)
    running, queued = (jobs.submit(jobs.folder(name, "hang")) for name in "ab")
    launcher.close()
    launcher.close()
    states = launcher.states([running, queued], 10)
    assert {(status.state, status.cause) for status in states.values()} == {
        (JobState.CANCELLED, "the command that ran it has ended")
    }
    launcher.cancel(running)
    with pytest.raises(RuntimeError, match="closed"):
        launcher.submit(JobSpec("", str(tmp_path)), "another")


@pytest.mark.slow
def test_hundreds_of_jobs_leak_neither_descriptors_nor_memory(own_jobs: Jobs) -> None:
    folder = own_jobs.folder()
    sizes = []
    for number in range(200):
        native_id = own_jobs.submit(folder, f"{number}")
        assert own_jobs.wait(native_id)[native_id].state is JobState.COMPLETED
        if number in (50, 199):
            worker = own_jobs.result(folder)["pid"]
            sizes.append(
                [_descriptors(process) for process in (os.getpid(), worker)] + [_resident_kib(worker)]
            )
    assert sizes[0][:2] == sizes[1][:2]
    assert sizes[1][2] - sizes[0][2] < 1024


def _descriptors(process: object) -> int:
    return len(os.listdir(f"/proc/{process}/fd"))


def _resident_kib(process: object) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


# --- nobody else is at work ---


def test_a_job_that_another_process_is_at_is_not_begun_a_second_time(jobs: Jobs, tmp_path: Path) -> None:
    folder = jobs.folder("taken", "hang")
    native_id = jobs.submit(folder, "taken")
    processes_at(folder)
    spec = JobSpec("", str(folder.path))
    with (
        LocalLauncher(ENTRY, workers=1) as other,
        pytest.raises(HomeInUse, match="another process is at work"),
    ):
        other.submit(spec, "taken")
    jobs.launcher.cancel(native_id)
    jobs.wait(native_id)
    assert not folder.is_held()


def test_a_job_that_waits_is_taken_as_well(own_jobs: Jobs) -> None:
    own_jobs.submit(own_jobs.folder("first", "hang"))
    folder = own_jobs.folder("second", "finish")
    waiting = own_jobs.submit(folder, "second")
    assert own_jobs.launcher.states([waiting])[waiting].state is JobState.QUEUED
    with LocalLauncher(ENTRY, workers=1) as other, pytest.raises(HomeInUse):
        other.submit(JobSpec("", str(folder.path)), "second")
    own_jobs.launcher.cancel(waiting)
    assert not folder.is_held()


def test_a_job_whose_batch_job_has_not_ended_is_not_begun_here(jobs: Jobs) -> None:
    folder = jobs.folder("elsewhere", "finish")
    spec, journal = JobSpec("", str(folder.path)), Journal.new(folder, "elsewhere")
    journal.write(folder)
    with pytest.raises(HomeInUse, match=f"the batch job {journal.full_name} of a cluster") as refused:
        jobs.launcher.submit(spec, "elsewhere")
    assert f"foedus job cancel {folder.path}" in refused.value.hint
    replace(journal, is_settled=True).write(folder)
    native_id = jobs.launcher.submit(spec, "elsewhere")
    assert jobs.wait(native_id)[native_id].state is JobState.COMPLETED


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("home/jobs/sim_render-1", "sim_render-1"),
        ("home/runs/mnist-1/jobs/r00001.1/client-1.train", "mnist-1/r00001.1/client-1.train"),
        ("jobs/runs/mnist-1/jobs/prepare", "mnist-1/prepare"),
    ],
)
def test_a_batch_job_is_told_by_the_name_that_can_be_cancelled(jobs: Jobs, path: str, name: str) -> None:
    folder = JobFolder(jobs.root / path)
    folder.path.mkdir(parents=True)
    folder.write_spec({"do": "finish"})
    Journal.new(folder, "k").write(folder)
    with pytest.raises(HomeInUse) as refused:
        jobs.launcher.submit(JobSpec("", str(folder.path)), "k")
    assert refused.value.hint.endswith(f": foedus job cancel {name}")


@pytest.mark.parametrize("who", ["whoever cancelled it", "its attempt"])
def test_a_batch_job_whose_end_is_known_is_done_here(jobs: Jobs, who: str) -> None:
    folder = jobs.folder("elsewhere", "finish")
    key = ascii(folder.path)  # the launcher serves other tests, too
    journal = Journal.new(folder, key)
    journal.write(folder)
    if who == "its attempt":
        attempt = JobFolder(folder.path, "attempt-00.00")
        attempt.claim()
        attempt.fail(ValueError("no good"))
    else:
        folder.write_status(JobStatus(NativeId(journal.name), JobState.CANCELLED))
    native_id = jobs.submit(folder, key)
    assert jobs.wait(native_id)[native_id].state is JobState.COMPLETED
    noted = Journal.read(folder)
    assert noted is not None
    assert noted.is_settled


def test_what_a_batch_job_of_a_cluster_has_done_is_taken_over(jobs: Jobs) -> None:
    folder = jobs.folder("elsewhere", "raise")
    key = ascii(folder.path)
    folder.begin(key)
    Journal.new(folder, key).write(folder)
    attempt = JobFolder(folder.path, "attempt-00.00")
    attempt.claim()
    attempt.finish({"by": "a node"})
    native_id = jobs.submit(folder, key)
    assert jobs.wait(native_id)[native_id].state is JobState.COMPLETED
    assert folder.read_result() == {"by": "a node"}


# --- warned ---


def test_a_task_that_is_warned_goes_on_from_its_checkpoint(jobs: Jobs) -> None:
    folder = jobs.folder("counting", "count_until_warned")
    native_id = jobs.submit(folder, walltime_s=1.0)
    status = jobs.wait(native_id)[native_id]
    assert (status.state, status.attempt) == (JobState.COMPLETED, 3)
    assert folder.read_result() == {"turns": 2}
