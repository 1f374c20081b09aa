"""`foedus site check` on this machine, and on a scheduler that says no in all the ways there are."""

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.client.client_tools import call, start
from tests.client.slurm_commands import VERSION, commands, slurm_home, waiting_slurm

from foedus.client import probe, site_words
from foedus.core.ids import NativeId
from foedus.core.records import JobState, JobStatus, Resources
from foedus.launch import JobFolder
from foedus.launch.slurm import SlurmSite
from foedus.site.limits import all_wanted
from foedus.site.settings import Settings


def checked(home: Path, *options: str) -> tuple[int, dict[str, dict[str, Any]]]:
    result = call("site", "check", "--home", home, "--format", "json", *options)
    told = json.loads(result.stdout)
    assert told["is_ok"] == all(one["is_ok"] for one in told["found"])
    return result.exit_code, {one["name"]: one for one in told["found"]}


@pytest.mark.slow
def test_this_machine_is_fine_and_nothing_is_left_behind(tmp_path: Path) -> None:
    code, found = checked(tmp_path)
    assert code == 0
    assert list(found) == [
        *("settings", "batch job", "home folder", "user", "program", "processors", "scratch", "log", "cancel")
    ]
    assert os.listdir(tmp_path) in ([], ["foedus.log"])


@pytest.mark.slow
def test_people_get_marks_and_a_last_word(tmp_path: Path) -> None:
    result = call("site", "check", "--home", tmp_path)
    assert "✓ batch job    ran on" in result.stdout
    assert result.stdout.endswith("all is well\n")


@pytest.mark.slow
def test_gpus_that_are_not_given_are_missed(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[resources.FL_TRAIN]\ngpus = 2\n")
    code, found = checked(tmp_path)
    assert code == 1
    assert found["GPUs"]["words"].startswith("0 given (none), asked for 2")
    assert found["cancel"]["is_ok"], "the rest is tried all the same"


def test_faulty_settings_are_told_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('launcher = "slurm"\n[slurm]\nretry = 1\n')
    code, found = checked(tmp_path)
    assert (code, list(found)) == (1, ["settings"])
    assert found["settings"]["words"] == "unknown key slurm.retry; did you mean 'retries'?"
    assert "config.toml" in found["settings"]["advice"]


def test_missing_commands_are_told(tmp_path: Path) -> None:
    code, found = checked(slurm_home(tmp_path / "home", commands(tmp_path / "bin", sbatch=VERSION)))
    assert (code, list(found)) == (1, ["settings", "scheduler"])
    assert found["scheduler"]["words"] == "squeue cannot be run: No such file or directory"
    assert "slurm.commands" in found["scheduler"]["advice"]


def test_a_scheduler_that_is_down_is_told(tmp_path: Path) -> None:
    down = f"{VERSION}\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1"
    programs = commands(tmp_path / "bin", sbatch=down, squeue=down, scancel=down)
    _, found = checked(slurm_home(tmp_path / "home", programs))
    assert found["commands"]["words"] == (
        "slurm 22.05.8; without scontrol and sacct, which only means fewer words about failures"
    )
    assert "Unable to contact" in found["scheduler"]["words"]


def test_a_refusal_is_told_with_what_to_do(tmp_path: Path) -> None:
    fine = f"{VERSION}\nexit 0"
    no = f"{VERSION}\necho 'sbatch: error: invalid partition specified: gpu' >&2; exit 1"
    home = slurm_home(tmp_path / "home", commands(tmp_path / "bin", sbatch=no, squeue=fine, scancel=fine))
    code, found = checked(home)
    assert code == 1
    assert "invalid partition specified: gpu" in found["batch job"]["words"]
    assert found["batch job"]["advice"].startswith("Correct [resources]")
    assert not (home / "site-check").exists()


def test_what_no_scheduler_could_mend_is_told_before_one_is_asked(tmp_path: Path) -> None:
    volume = f'volume = {{ claim = "c", root = "{tmp_path}" }}'
    (tmp_path / "config.toml").write_text(
        f'launcher = "kubernetes"\n[kubernetes]\nimage = "i"\nuser = 0\n{volume}\n'
    )
    code, found = checked(tmp_path)
    assert (code, list(found)) == (1, ["settings"])
    assert found["settings"]["words"] == "batch jobs may not run as root"
    assert "ordinary user" in found["settings"]["advice"]


def test_an_unknown_application_is_told_before_anything_is_tried(tmp_path: Path) -> None:
    code, found = checked(tmp_path, "--application", "FL_TRIAN")
    assert (code, found["settings"]["words"]) == (1, "there is no application 'FL_TRIAN'")
    assert found["settings"]["advice"] == "Did you mean 'FL_TRAIN'?"
    assert "batch job" not in found


@pytest.mark.parametrize(
    ("name", "settings", "options"),
    [
        ("MINE", "", ("--cpus-per-task=3", "--threads=3", "--mem=700M", "--partition=big")),
        ("MINE", "[resources]\ncpus = 5\n", ("--cpus-per-task=3", "--threads=3", "--mem=700M")),
        ("MINE", "[resources.MINE]\ncpus = 5\n", ("--cpus-per-task=5", "--threads=5", "--mem=700M")),
        ("FL_VERIFY", "", ("--cpus-per-task=2", "--threads=2", "--mem=2000M")),
        ("FL_PREPARE", "[resources.FL_PREPARE]\ncpus = 4\n", ("--cpus-per-task=4", "--threads=2")),
    ],
)
def test_the_batch_job_asks_for_what_the_application_asks_for(
    tmp_path: Path, name: str, settings: str, options: tuple[str, ...]
) -> None:
    said = tmp_path / "said"
    refusal = "sbatch: error: Batch job submission failed: Invalid partition name specified"
    fine, no = f"{VERSION}\nexit 0", f'{VERSION}\necho "$@" > {said}; echo "{refusal}" >&2; exit 1'
    home = slurm_home(tmp_path / "home", commands(tmp_path / "bin", sbatch=no, squeue=fine, scancel=fine))
    config = home / "config.toml"
    config.write_text(f"threads = 2\n{config.read_text()}{settings}")
    (home / "applications").mkdir()
    (home / "applications" / "mine.toml").write_text(
        'name = "MINE"\ntitle = "mine"\ncommand = ["true"]\n'
        '[resources]\ncpus = 3\nmemory_mb = 700\nqueue = "big"\n'
    )
    checked(home, "--application", name)
    assert set(options) <= set(said.read_text().split())


@pytest.mark.slow
def test_a_batch_job_that_only_waits_is_cancelled_in_time(tmp_path: Path) -> None:
    programs = waiting_slurm(tmp_path / "bin")
    began = time.monotonic()
    code, found = checked(slurm_home(tmp_path / "home", programs), "--timeout", "10")
    assert (code, time.monotonic() - began < 12) == (1, True)
    assert "still queued: waiting for resources when time was over" in found["batch job"]["words"]
    assert "--timeout" in found["batch job"]["advice"]
    assert "--name=foedus-" in (programs / "cancelled").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("answers_after_s", [0, 3])
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, answers_after_s: float) -> None:
    programs = waiting_slurm(tmp_path / "bin", answers_after_s)
    home = slurm_home(tmp_path / "home", programs)
    with start("site", "check", "--home", home) as process:
        deadline = time.monotonic() + 30
        while not (programs / "queue").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert not (home / "site-check").exists()
    assert "--name=foedus-" in (programs / "cancelled").read_text()


# --- words ---

RESULT: Mapping[str, Any] = {
    "host": "n1",
    "user": os.getuid(),
    "interpreter": "/opt/python",
    "versions": probe.versions(),
    "cpus": 4,
    "threads": 2,
    "gpus": ["0", "1"],
    "usable_gpus": 2,
    "scratch": "/scratch",
    "free_mb": 1000,
    "beside": "",
}


def test_other_versions_are_named() -> None:
    assert site_words.program_found(RESULT, "slurm").is_ok
    other = {**RESULT, "versions": {**probe.versions(), "torch": "2.0"}}
    found = site_words.program_found(other, "slurm")
    assert not found.is_ok
    assert found.words == f"/opt/python has torch 2.0 instead of {probe.versions()['torch']}"
    assert "slurm.python" in found.advice


@pytest.mark.parametrize(
    ("cpus", "threads", "is_ok"), [(4, 2, True), (2, 2, True), (5, 2, False), (4, 1, False), (4, 4, False)]
)
def test_processors_and_threads_must_be_as_asked_for(cpus: int, threads: int, is_ok: bool) -> None:
    assert site_words.processors_found(RESULT, Resources(cpus=cpus), threads).is_ok is is_ok


@pytest.mark.parametrize(("given", "usable", "is_ok"), [(2, 2, True), (1, 2, False), (2, 0, False)])
def test_gpus_must_be_given_and_usable(given: int, usable: int, is_ok: bool) -> None:
    told = {**RESULT, "gpus": [str(n) for n in range(given)], "usable_gpus": usable}
    assert site_words.gpus_found(told, Resources(gpus=2)).is_ok is is_ok


@pytest.mark.parametrize(
    ("free_mb", "asked_mb", "is_ok"), [(100, 0, True), (100, 100, True), (99, 100, False)]
)
def test_there_must_be_scratch_space(free_mb: int, asked_mb: int, is_ok: bool) -> None:
    told = {**RESULT, "free_mb": free_mb}
    assert site_words.scratch_found(told, Resources(scratch_mb=asked_mb), "slurm").is_ok is is_ok
    assert not site_words.scratch_found({**RESULT, "free_mb": -1}, Resources(), "slurm").is_ok


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        ("the scheduler refuses it: Invalid account", "Correct [resources]"),
        ("foedus: the prologue ended with code 127\nmodule: command not found", "Correct slurm.prologue"),
        ("exited with code 127; its log ends:\njob.sh: exec: /x/python: not found", "Set slurm.python to"),
        ("failed; its log ends:\nNo module named 'foedus'", "Install Foedus there for this"),
        ("ModuleNotFoundError: No module named 'torch'", "Install Foedus there with all"),
        ("foedus: this node has no environment modules (no command 'module')", "Leave slurm.modules out"),
        (
            "its output cannot be written: the job folder is not there, or not writable",
            "The home folder must",
        ),
        ("out of memory: it used 99 of 99 MB", "Ask for more"),
        ("the batch job ended without a result", "The home folder must"),
        ("something new", "What it says comes from"),
    ],
)
def test_what_went_wrong_is_followed_by_what_to_do(tmp_path: Path, cause: str, advice: str) -> None:
    (tmp_path / "batch.log").touch()
    status = JobStatus(NativeId("n"), JobState.FAILED, cause)
    found = site_words.job_failed(status, JobFolder(tmp_path), Settings(home=tmp_path, launcher="slurm"))
    assert (found.is_ok, found.words) == (False, cause)
    assert found.advice.startswith(advice)


def test_what_leaves_no_trace_in_its_folder_did_not_see_it(tmp_path: Path) -> None:
    status = JobStatus(NativeId("n"), JobState.FAILED, "exited with code 1")
    found = site_words.job_failed(status, JobFolder(tmp_path), Settings(home=tmp_path, launcher="slurm"))
    assert found.advice.startswith("The home folder must")


def test_what_failed_is_told_with_its_log_though_its_files_are_waited_for(tmp_path: Path) -> None:
    (tmp_path / "batch.log").write_text("No such file or directory: '/nowhere/foedus-1'\n")
    settings = Settings(home=tmp_path, launcher="slurm", sections={"slurm": {"scratch": "/nowhere"}})
    status = JobStatus(NativeId("n"), JobState.RUNNING, "it has ended", "7", "FAILED (NonZeroExitCode)")
    assert site_words.said_in_the_end(status, JobFolder(tmp_path))
    found = site_words.job_failed(status, JobFolder(tmp_path), settings)
    assert "/nowhere/foedus-1" in found.words
    assert found.advice.startswith("Set slurm.scratch")
    runs = JobStatus(NativeId("n"), JobState.RUNNING, "", "7", "RUNNING")
    assert not site_words.said_in_the_end(runs, JobFolder(tmp_path))


def test_all_that_runs_ask_for_is_judged_once_each(tmp_path: Path) -> None:
    said: dict[str, Any] = {"resources": {"walltime_s": 600, "FL_VERIFY": {"memory_mb": 900}}}
    settings = Settings(home=tmp_path, launcher="slurm", sections=said)
    found = {tuple(names): asked.walltime_s for asked, names in all_wanted(settings, "FL_TRAIN").items()}
    assert found == {("FL_PREPARE", "FL_TRAIN", "FL_AGGREGATE"): 600, ("FL_VERIFY",): 600}
    held = Settings(home=tmp_path, launcher="slurm", allocation="held", sections=said)
    assert {asked.walltime_s for asked in all_wanted(held, "FL_TRAIN")} == {14_400}
    assert [*all_wanted(held, "SIM_RENDER").values()] == [["SIM_RENDER"]]


@pytest.mark.parametrize(
    ("state", "cause", "is_fault"),
    [
        (JobState.FAILED, "the scheduler refuses it: Requested time limit is invalid", True),
        (JobState.QUEUED, "cannot start: the partition's time limit is shorter than walltime_s", True),
        (JobState.QUEUED, "waiting for resources", False),
        (JobState.RUNNING, "", False),
    ],
)
def test_a_limit_is_told_with_its_setting(
    tmp_path: Path, state: JobState, cause: str, is_fault: bool
) -> None:
    status, settings = JobStatus(NativeId("n"), state, cause), Settings(home=tmp_path, launcher="slurm")
    found = site_words.limit_found(status, Resources(walltime_s=3600), ["FL_TRAIN"], settings)
    assert (found is not None) == is_fault
    if found is not None:
        assert found.advice.startswith("3600 s and a minute were asked for: lower resources.walltime_s")


def test_a_command_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    programs = commands(
        tmp_path / "bin", sbatch=VERSION, squeue=VERSION, scancel=VERSION, sacct="exec sleep 100"
    )
    found = site_words.commands_found(SlurmSite(commands=programs, timeout_s=0.2))
    assert "without scontrol and sacct" in found.words
