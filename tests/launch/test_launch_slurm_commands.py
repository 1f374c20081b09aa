"""Slurm's commands as scripts that answer strangely, late, endlessly or not at all."""

import os
import stat
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from foedus.core.records import JobSpec, JobState, Resources
from foedus.launch import JobFolder
from foedus.launch.cluster import ClusterLauncher, Order, Program, Refused, Times, Unreachable
from foedus.launch.slurm import SlurmScheduler, SlurmSite
from foedus.launch.slurm.commands import Commands
from foedus.launch.slurm.refusals import REFUSALS

NAME = f"foedus-{'0' * 24}-0"
NAMES = [f"foedus-{number:024}-0" for number in range(6)]
PLAIN = Order(NAME, ("/bin/true",), "/home/job", Resources())
ALLOWED = ("", "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LD_LIBRARY_PATH", "TZ", "LANG", "FOEDUS_DEVICE")
PLAIN_STATES = ["RUNNING", "PENDING", "COMPLETED", "CANCELLED", "TIMEOUT", "NODE_FAIL"]
FAILED = "Batch job submission failed"


def scheduler(folder: Path, timeout_s: float = 2.0, **scripts: str) -> SlurmScheduler:
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(stat.S_IRWXU)
    return SlurmScheduler(SlurmSite(commands=folder, timeout_s=timeout_s))


def counted(folder: Path, answer: str) -> str:
    """Return a script that notes its name, and then answers so."""
    return f'echo "${{0##*/}}" >> {folder}/asked; {answer}'


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().split()


def lines(names: Iterable[str], state: str, rest: str) -> str:
    return "; ".join(f'echo "{5 + i}|{state}|{rest}|{name}"' for i, name in enumerate(names))


# --- sbatch ---


def submitted(folder: Path, *said: str, code: int = 1) -> None:
    words = "".join(f'echo "sbatch: error: {line}" >&2; ' for line in said)
    scheduler(folder, sbatch=f"{words}exit {code}").submit(replace(PLAIN, folder=str(folder)))


@pytest.mark.parametrize(
    "verdict",
    [
        "Invalid partition name specified",
        "Invalid account or account/partition combination specified",
        "Invalid qos specification",
        "Invalid feature specification",
        "Requested node configuration is not available",
        "Requested time limit is invalid (missing or exceeds some limit)",
        "Invalid generic resource (gres) specification",
        "Access/permission denied",
        "User's group not permitted to use this partition",
        "Memory required by task is not available",
    ],
)
def test_what_slurm_judges_to_be_wrong_is_refused(tmp_path: Path, verdict: str) -> None:
    with pytest.raises(Refused, match=verdict.partition("(")[0]):
        submitted(tmp_path, "something before", f"{FAILED}: {verdict}")


def test_a_refused_time_limit_is_told_with_what_was_asked_for(tmp_path: Path) -> None:
    words = "Requested time limit is invalid"
    with pytest.raises(Refused, match=f"{words}: walltime_s is {PLAIN.resources.walltime_s:g}, and a minute"):
        submitted(tmp_path, f"{FAILED}: {words}")


def test_what_sbatch_itself_or_the_sites_rule_does_not_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="Say which account"):
        submitted(tmp_path, "Say which account", f"{FAILED}: Unspecified error")
    with pytest.raises(Refused, match="cli_filter"):
        submitted(tmp_path, "Too much", "cli_filter plugin terminated with error")
    with pytest.raises(Refused, match="unrecognized option"):
        submitted(tmp_path, "unrecognized option '--export-file=x'", 'Try \\"sbatch --help\\" for more')


@pytest.mark.parametrize(
    "words",
    [
        "Unable to contact slurm controller (connect failure)",
        "Connection reset by peer",
        "Broken pipe",
        "No route to host",
        "Message send failure",
        "Message receive failure",
        "Unexpected message received",
        "Insane message length",
        "Communication shutdown failure",
        "Header lengths are longer than data received",
        "Socket timed out on send/recv operation",
        "Protocol authentication error",
        "Invalid authentication credential",
        "I/O error writing script/environment to file",
        "Slurm backup controller in standby mode",
        "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
        "Required partition not available (inactive or drain)",
        "System submissions disabled",
        "Unspecified error",
        "words that nobody has heard of",
    ],
)
def test_after_any_other_error_slurm_may_have_the_batch_job(tmp_path: Path, words: str) -> None:
    with pytest.raises(Unreachable, match=words.partition("(")[0]):
        submitted(tmp_path, f"{FAILED}: {words}")


def test_the_last_line_decides(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="reset"):
        submitted(tmp_path, "Invalid account", f"{FAILED}: Connection reset by peer")
    with pytest.raises(Refused, match="qos"):
        submitted(tmp_path, "If munged is up, restart", f"{FAILED}: Invalid qos specification")


def test_both_ways_to_slurm_refuse_the_same() -> None:
    assert {2000, 2002, 2014, 2029, 2045, 2051, 2066, 2072} <= REFUSALS
    assert not REFUSALS & {2007, 2016, 2019, 2020, 2022, 2027, 2050, 2056, 2070, 2101, 2105}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exec sleep 60", "took over 0.5 s"),
        ("exec yes", "printed more than 1,000,000 bytes"),
        ("kill -9 $$", "killed by signal 9"),
        ("exit 3", "code 3"),
        ("echo nonsense", "nonsense"),
        ("true", "instead of"),
    ],
)
def test_sbatch_answers_badly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    monkeypatch.setattr("foedus.launch.slurm.commands._LIMIT_BYTES", 1_000_000)
    with pytest.raises(Unreachable, match=words):
        scheduler(tmp_path, 0.5, sbatch=script).submit(replace(PLAIN, folder=str(tmp_path)))


@pytest.mark.parametrize("pipe", ["1", "2"])
def test_endless_output_is_not_collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipe: str) -> None:
    """The command is stopped at the limit, long before its time is over."""
    monkeypatch.setattr("foedus.launch.slurm.commands._LIMIT_BYTES", 1_000_000)
    began = time.monotonic()
    scheduler(tmp_path, squeue=f"echo $$ > {tmp_path}/process; exec yes >&{pipe}")
    with pytest.raises(Unreachable, match="printed more than"):
        Commands(SlurmSite(commands=tmp_path, timeout_s=10)).run("squeue", [])
    assert time.monotonic() - began < 5
    assert not Path(f"/proc/{(tmp_path / 'process').read_text().strip()}").exists()


def test_output_of_both_pipes_is_read_whole(tmp_path: Path) -> None:
    scheduler(tmp_path, squeue="seq 100000; seq 100000 >&2; seq 3")
    found = Commands(SlurmSite(commands=tmp_path)).run("squeue", [])
    assert found.split() == [str(n) for n in (*range(1, 100_001), 1, 2, 3)]


def test_a_submission_whose_answer_was_lost_on_the_way_is_found(tmp_path: Path) -> None:
    name = 'for a; do case $a in --job-name=*) echo "7|PENDING|None|${a#*=}"'
    sbatch = f'{name} >> {tmp_path}/queue;; esac; done; echo "{FAILED}: Connection reset by peer" >&2; exit 1'
    slurm = scheduler(tmp_path, sbatch=sbatch, squeue=f"cat {tmp_path}/queue", scancel="true")
    folder = JobFolder(tmp_path / "job")
    folder.path.mkdir()
    folder.write_spec({})
    times = Times(poll_s=0.05, slow_poll_s=0.05)
    with ClusterLauncher(slurm, Program("a:b"), times) as launcher:
        native_id = launcher.submit(JobSpec("X", str(folder.path), Resources(walltime_s=60)), "key")
        deadline = time.monotonic() + 20
        while (status := launcher.states([native_id], 0.2)[native_id]).state is not JobState.QUEUED:
            assert status.state is JobState.UNKNOWN
            assert time.monotonic() < deadline
    assert (tmp_path / "queue").read_text().count("PENDING") == 1


# --- squeue, sacct, scontrol ---


def test_missing_commands_are_named(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="squeue cannot be run") as caught:
        scheduler(tmp_path).look([NAME])
    assert "slurm.commands" in caught.value.hint


def test_a_failing_squeue_says_nothing_about_jobs(tmp_path: Path) -> None:
    for words in ("invalid user", "Access/permission denied"):
        with pytest.raises(Unreachable, match=words):
            scheduler(tmp_path, squeue=f"echo 'squeue: error: {words}' >&2; exit 1").look([NAME])


def test_one_look_is_one_question_while_jobs_are_known(tmp_path: Path) -> None:
    states = "; ".join(lines([name], state, "None") for name, state in zip(NAMES, PLAIN_STATES, strict=True))
    look = {name: counted(tmp_path, "exit 1") for name in ("sacct", "scontrol")}
    found = scheduler(tmp_path, squeue=counted(tmp_path, states), **look).look(NAMES)
    assert found.keys() == set(NAMES)
    assert asked(tmp_path) == ["squeue"]


def test_a_site_without_sacct_and_scontrol_works(tmp_path: Path) -> None:
    found = scheduler(tmp_path, squeue=f'echo "5|FAILED|NonZeroExitCode|{NAME}"').look([NAME, f"{NAME}1"])
    assert set(found) == {NAME}
    assert found[NAME].state is JobState.FAILED


def test_what_the_controller_forgot_is_asked_of_sacct(tmp_path: Path) -> None:
    found = scheduler(tmp_path, squeue="true", sacct=f'echo "5|TIMEOUT|0:0|{NAME}"').look([NAME])
    assert found[NAME].out_of_time


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "COMPLETING", "SUSPENDED", "REVOKED", "ODD"])
def test_what_the_controller_forgot_is_not_running(tmp_path: Path, state: str) -> None:
    """The database keeps such a state for ever where the controller could not tell it of the end."""
    sacct = lines([NAME], "FAILED", "1:0") + "; " + f'echo "9|{state}|0:0|{NAME}"'
    assert scheduler(tmp_path, squeue="true", sacct=sacct).look([NAME]) == {}


def test_one_question_tells_how_all_failed_and_forgotten_jobs_ended(tmp_path: Path) -> None:
    """Only about what the database does not know yet the controller is asked, one by one."""
    *known, late, forgotten = NAMES
    slurm = scheduler(
        tmp_path,
        squeue=counted(tmp_path, lines([*known, late], "FAILED", "NonZeroExitCode")),
        sacct=counted(tmp_path, lines(known, "FAILED", "42:0") + f"; {lines([forgotten], 'FAILED', '43:0')}"),
        scontrol=counted(
            tmp_path, f'echo "JobId={5 + len(known)} JobName={late} JobState=FAILED Reason=x ExitCode=44:0"'
        ),
    )
    found = slurm.look(NAMES)
    assert asked(tmp_path) == ["squeue", "sacct", "scontrol"]
    codes = {**dict.fromkeys(known, "42"), late: "44", forgotten: "43"}
    assert {name: sight.ended.split()[-1] for name, sight in found.items()} == codes


def test_the_code_of_another_job_of_that_name_or_id_does_not_count(tmp_path: Path) -> None:
    wrong = f'echo "6|FAILED|42:0|{NAME}"'
    other = f'echo "JobId=5 JobName={NAMES[1]} JobState=FAILED Reason=x ExitCode=42:0"'
    squeue = f'echo "5|FAILED|NonZeroExitCode|{NAME}"'
    found = scheduler(tmp_path, squeue=squeue, sacct=wrong, scontrol=other).look([NAME])
    assert found[NAME].ended == "it failed"


@pytest.mark.slow
@pytest.mark.parametrize("sacct", ["exit 1", "exec sleep 60"])
def test_a_look_takes_no_longer_than_two_commands_may(tmp_path: Path, sacct: str) -> None:
    squeue = lines(NAMES, "FAILED", "NonZeroExitCode")
    slurm = scheduler(tmp_path, 0.5, squeue=squeue, sacct=sacct, scontrol="sleep 0.2; exit 1")
    began = time.monotonic()
    found = slurm.look(NAMES)
    assert time.monotonic() - began < 1.1
    assert {sight.state for sight in found.values()} == {JobState.FAILED}


def test_nobody_is_asked_after_the_first_who_does_not_answer(tmp_path: Path) -> None:
    squeue = lines(NAMES, "FAILED", "NonZeroExitCode")
    slow = counted(tmp_path, "exec sleep 60")
    scheduler(tmp_path, 0.2, squeue=squeue, sacct=counted(tmp_path, "exit 1"), scontrol=slow).look(NAMES)
    assert asked(tmp_path) == ["sacct", "scontrol"]


# --- scancel, and all of them ---


@pytest.mark.parametrize(
    ("words", "is_harmless"),
    [
        ("Invalid job id specified", True),
        ("Kill job error on job id 5: Job/step already completing or completed", True),
        ("Kill job error on job id 5: Access/permission denied", False),
        ("Unable to contact slurm controller (connect failure)", False),
        ("Address already in use", False),
    ],
)
def test_only_what_has_ended_need_not_be_cancelled(tmp_path: Path, words: str, is_harmless: bool) -> None:
    slurm = scheduler(tmp_path, scancel=f"echo 'scancel: error: {words}' >&2; exit 1")
    if is_harmless:
        slurm.cancel(NAME, "5")
        return
    with pytest.raises(Unreachable, match="scancel fails"):
        slurm.cancel(NAME, "5")


def test_commands_see_no_option_and_no_secret_in_their_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_ACCOUNT", "other")
    monkeypatch.setenv("FOEDUS_TOKEN", "secret")
    monkeypatch.setenv("SQUEUE_FORMAT", "%x")
    order = replace(PLAIN, folder=str(tmp_path))
    scheduler(tmp_path, sbatch=f"env > {tmp_path}/env; echo 5").submit(order)
    given = (tmp_path / "environment").read_bytes().split(b"\0")
    assert {pair.partition(b"=")[0] for pair in given} <= {name.encode() for name in ALLOWED}
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert names <= {*os.environ, "LANG", "LC_ALL", "PWD", "SHLVL", "_"}
    assert not {"SBATCH_ACCOUNT", "FOEDUS_TOKEN", "SQUEUE_FORMAT"} & names
