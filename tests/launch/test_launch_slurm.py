"""Slurm without a Slurm: arguments, fields, what is printed, and words. The real one is in tests/slurm."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.errors import InvalidSpec
from foedus.core.records import JobState, Resources
from foedus.launch.cluster import Order
from foedus.launch.slurm import Container, SlurmScheduler, SlurmSite
from foedus.launch.slurm.arguments import SCRIPT, sbatch_arguments
from foedus.launch.slurm.parsing import sacct_jobs, scontrol_job, squeue_jobs
from foedus.launch.slurm.words import NativeJob, seen

NAME = f"foedus-{'0' * 24}-0"
PLAIN = Order(NAME, ("/venv/bin/python", "-m", "program", "/home/a b/job"), "/home/a b/job", Resources())
ALLOWED = ("", "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LD_LIBRARY_PATH", "TZ", "LANG")
HOSTILE = [
    "a b",
    "a\nb",
    "a;id",
    "$(id)",
    "`id`",
    "a'b",
    'a"b',
    "-n",
    "--wrap=id",
    "#SBATCH --wrap=id",
    "ä",
    "a\0b",
    "a|b",
    "x" * 1_000_000,
]


def order(**resources: object) -> Order:
    return replace(PLAIN, resources=Resources(**resources))  # type: ignore[arg-type]


# --- what is asked for ---


def test_every_wish_is_one_argument() -> None:
    wishes = Resources(
        cpus=4,
        memory_mb=2000,
        gpus=2,
        gpu_type="h100",
        walltime_s=5400,
        queue="batch,long",
        account="physics",
        qos="high",
        constraint="ib&nvme",
        scratch_mb=500,
    )
    site = SlurmSite(cluster="north", modules=("cuda/12.4",), prologue="ulimit -c 0\n", warning_s=90)
    assert sbatch_arguments(replace(PLAIN, resources=wishes), site) == [
        "--parsable",
        f"--job-name={NAME}",
        "--chdir=/home/a b/job",
        "--output=/home/a b/job/batch.log",
        "--open-mode=append",
        "--export-file=/home/a b/job/environment",
        "--requeue",
        "--input=/dev/null",
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=4",
        "--time=1:31:00",
        "--signal=B:USR1@90",
        "--mem=2000M",
        "--gres=gpu:h100:2",
        "--tmp=500M",
        "--partition=batch,long",
        "--account=physics",
        "--qos=high",
        "--constraint=ib&nvme",
        "--clusters=north",
        str(SCRIPT),
        "/home/a b/job/prologue.sh",
        "cuda/12.4",
        "--",
        *PLAIN.argv,
    ]


def test_a_container_surrounds_the_program_only() -> None:
    site = SlurmSite(container=Container("/images/f.sif", binds=("/data",)))
    arguments = sbatch_arguments(order(gpus=1), site)
    inside = arguments[arguments.index("--") + 1 :]
    binds = ["--bind=/home/a b/job", "--bind=/data"]
    assert inside == ["apptainer", "exec", "--no-home", "--nv", *binds, "/images/f.sif", *PLAIN.argv]
    site = SlurmSite(container=Container("/images/f", "charliecloud"))
    arguments = sbatch_arguments(order(), site)
    inside = arguments[arguments.index("--") + 1 :]
    assert inside == ["ch-run", "--bind=/home/a b/job:/home/a b/job", "/images/f", "--", *PLAIN.argv]


def test_a_percent_sign_in_a_path_is_no_pattern_of_slurms() -> None:
    arguments = sbatch_arguments(replace(PLAIN, folder="/home/%j/job"), SlurmSite())
    assert "--output=/home/%%j/job/batch.log" in arguments
    assert "--chdir=/home/%j/job" in arguments


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:20]))
@pytest.mark.parametrize("field", ["queue", "account", "qos", "constraint", "gpu_type"])
def test_hostile_texts_are_refused(field: str, text: str) -> None:
    if field == "constraint" and text == "a|b":
        return  # that is how Slurm writes "or"
    with pytest.raises(InvalidSpec, match=field) as caught:
        SlurmScheduler(SlurmSite()).check(order(**{field: text, "gpus": 1}))
    assert len(str(caught.value)) < 300
    assert caught.value.hint


@pytest.mark.parametrize(
    "resources",
    [
        {"cpus": 0},
        {"cpus": True},
        {"cpus": 1.5},
        {"cpus": "4"},
        {"memory_mb": 0},
        {"memory_mb": 1 << 40},
        {"gpus": -1},
        {"gpu_type": "h100"},
        {"scratch_mb": -1},
        {"walltime_s": 0.0},
        {"walltime_s": float("inf")},
        {"walltime_s": float("nan")},
    ],
)
def test_impossible_numbers_are_refused(resources: dict[str, object]) -> None:
    with pytest.raises(InvalidSpec):
        SlurmScheduler(SlurmSite()).check(order(**resources))


@pytest.mark.parametrize("folder", ["relative", "/a\nb", "/a\\b", "/a\x1bb", "/" + "x" * 2000, ""])
def test_unfit_job_folders_are_refused(folder: str) -> None:
    with pytest.raises(InvalidSpec, match="job folder"):
        SlurmScheduler(SlurmSite()).check(replace(PLAIN, folder=folder))


@pytest.mark.parametrize(
    "site",
    [
        SlurmSite(cluster="a b"),
        SlurmSite(modules=("a b",)),
        SlurmSite(modules=("--help",)),
        SlurmSite(prologue="x" * 20_000),
        SlurmSite(container=Container("relative.sif")),
        SlurmSite(container=Container("/a:b")),
        SlurmSite(warning_s=0),
        SlurmSite(timeout_s=0.0),
        SlurmSite(timeout_s=15.0),
        SlurmSite(timeout_s=float("nan")),
    ],
)
def test_unfit_settings_are_refused(site: SlurmSite) -> None:
    with pytest.raises(InvalidSpec):
        SlurmScheduler(site)


@given(st.text(max_size=40))
def test_no_text_becomes_an_option_or_a_second_argument(text: str) -> None:
    try:
        SlurmScheduler(SlurmSite()).check(order(queue=text))
    except InvalidSpec:
        return
    arguments = sbatch_arguments(order(queue=text), SlurmSite())
    assert len(arguments) == len(sbatch_arguments(order(), SlurmSite())) + (text != "")
    assert all(part.startswith("--") for part in arguments[: arguments.index(str(SCRIPT))])


# --- the fixed script ---


def run_script(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", str(SCRIPT), *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_the_script_hands_its_arguments_on_unread(tmp_path: Path) -> None:
    values = ["$(id)", "a b", "'", '"', "`id`", "", "*", "\n", "--"]
    done = run_script("", "--", "/usr/bin/env", "printf", "<%s>", *values, cwd=tmp_path)
    assert done.stdout == "".join(f"<{value}>" for value in values)


def test_the_script_runs_the_prologue_and_loads_modules_in_order(tmp_path: Path) -> None:
    (tmp_path / "prologue.sh").write_text("module() { echo never; }; export SEEN=yes\n")
    done = run_script(str(tmp_path / "prologue.sh"), "--", "/usr/bin/env", cwd=tmp_path)
    assert "SEEN=yes" in done.stdout.splitlines()
    done = run_script("", "cuda/12", "--", "/bin/true", cwd=tmp_path)
    assert done.returncode == 127
    assert "no environment modules" in done.stderr


@pytest.mark.parametrize(("text", "code"), [("false; true", 0), ("true; false", 1), ("module load foo", 127)])
def test_a_prologue_whose_last_command_fails_ends_the_batch_job_in_words(
    tmp_path: Path, text: str, code: int
) -> None:
    (tmp_path / "prologue.sh").write_text(f"{text}\n")
    done = run_script(str(tmp_path / "prologue.sh"), "--", "/bin/echo", "ran", cwd=tmp_path)
    assert done.returncode == (127 if code else 0)
    assert done.stdout == ("" if code else "ran\n")
    assert (f"foedus: the prologue ended with code {code}" in done.stderr) == bool(code)


# --- what Slurm prints ---


def test_only_our_well_formed_lines_of_squeue_count() -> None:
    text = f"12|PENDING|Resources|{NAME}\n13|RUNNING|None|other\n14|RUNNING|{NAME}\nx|RUNNING|None|{NAME}\n\n"
    assert [job.scheduler_id for job in squeue_jobs(text)] == ["12"]


@given(st.text())
def test_any_output_can_be_read(text: str) -> None:
    assert all(job.name.startswith("foedus-") for job in (*squeue_jobs(text), *sacct_jobs(text)))
    scontrol_job(text)


def test_a_later_key_of_scontrol_does_not_count() -> None:
    text = f"JobId=7 JobName={NAME} JobState=FAILED Reason=NonZeroExitCode Restarts=2 ExitCode=42:0"
    job = scontrol_job(f"{text} WorkDir=/x ExitCode=0:0 JobState=COMPLETED")
    assert job == NativeJob("7", NAME, "FAILED", "NonZeroExitCode", 42, 0)


def test_sacct_tells_who_cancelled() -> None:
    (job,) = sacct_jobs(f"7|CANCELLED by 1000|0:15|{NAME}\n8|CANCELLED by 0|0:0|other\n")
    assert seen(job).cause == "cancelled by user 1000"


# --- words ---


@pytest.mark.parametrize(
    ("job", "state", "words"),
    [
        (("PENDING", "Resources"), JobState.QUEUED, "waiting for resources"),
        (("PENDING", "QOSMaxJobsPerUserLimit"), JobState.QUEUED, "a limit of its QOS"),
        (("PENDING", "AssocGrpCpuLimit"), JobState.QUEUED, "a limit of its account"),
        (("PENDING", "ReqNodeNotAvail, UnavailableNodes:n1"), JobState.QUEUED, "down, drained or reserved"),
        (("PENDING", "launch failed requeued held"), JobState.FAILED, "Slurm holds it"),
        (("PENDING", "SomethingNew"), JobState.QUEUED, "waiting: SomethingNew"),
        (("RUNNING", "None"), JobState.RUNNING, ""),
        (("SUSPENDED", "None"), JobState.RUNNING, "suspended"),
        (("COMPLETED", "None"), JobState.COMPLETED, ""),
        (("TIMEOUT", "TimeLimit"), JobState.FAILED, "time limit"),
        (("OUT_OF_MEMORY", "OutOfMemory"), JobState.FAILED, "out of memory"),
        (("FAILED", "JobLaunchFailure", 0, 9), JobState.FAILED, "out of memory"),
        (("FAILED", "JobLaunchFailure", 0, 53), JobState.FAILED, "output cannot be written"),
        (("FAILED", "RaisedSignal:53(Real-time_signal_19)"), JobState.FAILED, "output cannot be written"),
        (("NODE_FAIL", "NodeDown"), JobState.FAILED, "its node failed"),
        (("CANCELLED", "None"), JobState.CANCELLED, "somebody else"),
        (("REVOKED", "None"), JobState.UNKNOWN, "another cluster of the federation"),
        (("NEWSTATE", ""), JobState.UNKNOWN, "'NEWSTATE'"),
    ],
)
def test_states_are_put_into_words(job: tuple[object, ...], state: JobState, words: str) -> None:
    sight = seen(NativeJob("1", NAME, *job))  # type: ignore[arg-type]
    assert (sight.state, words in sight.cause) == (state, True)


@pytest.mark.parametrize(
    ("code", "number", "words"),
    [(42, 0, "code 42"), (0, 11, "signal 11"), (139, 0, "signal 11"), (0, 9, "out of memory?")],
)
def test_exit_codes_and_signals_are_told(code: int, number: int, words: str) -> None:
    sight = seen(NativeJob("1", NAME, "FAILED", "NonZeroExitCode", code, number))
    assert words in sight.ended
    assert sight.state is JobState.FAILED
