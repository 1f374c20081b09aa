"""What batch jobs of applications ask for on the command line, and get: processors are threads."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest
from tests.client.client_tools import call
from tests.client.slurm_commands import VERSION, commands, slurm_home

from foedus.apps.builtin import FL_PREDICT
from foedus.apps.registry import find_application
from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobState, JobStatus, Resources
from foedus.rounds.home import Home
from foedus.site.by_processors import ByProcessors
from foedus.site.launchers import resources_of
from foedus.site.settings import read_settings

THREADS = 'echo "$OMP_NUM_THREADS threads of $FOEDUS_CPUS"'


def application(home: Path, script: str) -> None:
    """Make SIM_SH, which runs a shell script, an application of the home folder."""
    folder = home / "applications"
    folder.mkdir(parents=True)
    (folder / "sh.toml").write_text(
        f'name = "SIM_SH"\ntitle = "A script"\ncommand = ["/bin/sh", "-c", {script!r}]\n'
    )


def log_of(home: Path, job: str) -> str:
    return (home / "jobs" / job / "out.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "settings", "threads"),
    [((), "", 1), (("--cpus", "3"), "", 3), ((), "[resources]\ncpus = 2\n", 2), ((), "threads = 7\n", 1)],
)
def test_a_program_gets_as_many_threads_as_it_asks_for_processors(
    tmp_path: Path, options: tuple[str, ...], settings: str, threads: int
) -> None:
    application(tmp_path, THREADS)
    (tmp_path / "config.toml").write_text(settings)
    assert call("app", "submit", "SIM_SH", *options, "--home", tmp_path).exit_code == 0
    assert log_of(tmp_path, "sim_sh-1") == f"{threads} threads of {threads}\n"


@pytest.mark.slow
def test_each_of_several_gets_its_own_number_of_threads_again(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    application(tmp_path, f"{THREADS}; test -e {flag}")
    for cpus in ("1", "2"):
        assert call("app", "submit", "SIM_SH", "--cpus", cpus, "--home", tmp_path).exit_code == 1
    flag.touch()
    assert call("app", "resume", "sim_sh-1", "sim_sh-2", "--home", tmp_path).exit_code == 0
    last = [log_of(tmp_path, job).splitlines()[-1] for job in ("sim_sh-1", "sim_sh-2")]
    assert last == ["1 threads of 1", "2 threads of 2"]


@pytest.mark.slow
def test_on_a_cluster_the_supervisor_is_told_the_number_of_threads(tmp_path: Path) -> None:
    said = tmp_path / "said"
    programs = commands(
        tmp_path / "bin", sbatch=f'{VERSION}\necho "$@" > {said}; echo 7', squeue="exit 0", scancel="exit 0"
    )
    home = slurm_home(tmp_path / "home", programs)
    application(home, THREADS)
    assert call("app", "submit", "SIM_SH", "--cpus", "3", "--no-wait", "--home", home).exit_code == 0
    assert "--threads=3" in said.read_text().split()
    assert "--cpus-per-task=3" in said.read_text().split()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--walltime-s", "inf"), "--walltime-s: "),
        (("--walltime-s", "nan"), "--walltime-s must be above 0"),
        (("--walltime-s", "1e300"), "--walltime-s: "),
        (("--cpus", "1" + "0" * 30), "--cpus: "),
        (("--gpu-type", "h100 $(x)"), "--gpu-type: "),
        (("--queue", "a b;c"), "--queue: "),
    ],
)
def test_resources_that_cannot_be_had_are_refused_before_anything_is_written(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    result = call("app", "submit", "SIM_REACTION_DIFFUSION", *options, "--home", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "jobs").exists()


def test_nobody_knows_what_a_damaged_application_asks_for(tmp_path: Path) -> None:
    application(tmp_path, "true")
    (tmp_path / "applications" / "torn.toml").write_text("name = ")
    lines = call("app", "list", "--home", tmp_path).stdout.splitlines()
    assert "1 CPU" in next(line for line in lines if line.startswith("SIM_SH"))
    torn = next(line for line in lines if "damaged" in line)
    assert "CPU" not in torn


# --- what is said in several places ---

NEEDY = """
name = "SIM_NEEDY"
title = "Needs much"
command = ["/bin/true"]
[resources]
memory_mb = 8000
walltime_s = 7200
"""


@pytest.fixture
def needy(tmp_path: Path) -> Path:
    """A home folder with an application that names what it needs, and settings for all and for it."""
    (tmp_path / "applications").mkdir()
    (tmp_path / "applications" / "needy.toml").write_text(NEEDY)
    (tmp_path / "config.toml").write_text(
        '[resources]\nmemory_mb = 1000\nwalltime_s = 100\nqueue = "batch"\n'
        "[resources.SIM_NEEDY]\nwalltime_s = 3600\n"
    )
    return tmp_path


def test_what_an_applications_file_names_is_changed_by_its_own_section_only(needy: Path) -> None:
    found = find_application(Home(needy), "SIM_NEEDY")
    asked = resources_of(read_settings(needy, environ={}), found)
    assert asked == Resources(memory_mb=8000, walltime_s=3600.0, queue="batch")
    built_in = resources_of(read_settings(needy, environ={}), FL_PREDICT)
    assert built_in == Resources(memory_mb=1000, walltime_s=100.0, queue="batch")


def test_each_resource_is_shown_with_where_it_is_said(needy: Path) -> None:
    lines = call("app", "show", "SIM_NEEDY", "--home", needy).stdout.splitlines()
    shown = [line.split(maxsplit=2) for line in lines]
    for row in (
        ["cpus", "1", "default"],
        ["memory_mb", "8000", "its file"],
        ["walltime_s", "3600.0", "config.toml [resources.SIM_NEEDY]"],
        ["queue", "batch", "config.toml [resources]"],
    ):
        assert row in [[part.strip() for part in line] for line in shown]
    told = json.loads(call("app", "show", "SIM_NEEDY", "--home", needy, "--format", "json").stdout)
    assert told["resources"]["memory_mb"] == 8000
    assert told["resources_from"]["queue"] == "config.toml [resources]"


def test_the_list_shows_what_is_in_force(needy: Path) -> None:
    lines = call("app", "list", "--home", needy).stdout.splitlines()
    assert "8,000 MB, 1 h 0 min (config.toml)" in next(line for line in lines if "SIM_NEEDY" in line)
    assert "1,000 MB, 1 min 40 s (config.toml)" in next(line for line in lines if "SIM_RENDER" in line)
    (needy / "config.toml").unlink()
    assert "config.toml" not in call("app", "list", "--home", needy).stdout


# --- one launcher for each number of processors ---


class Named:
    """A launcher that remembers what it was asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.waited: list[float] = []
        self.cancelled: list[str] = []

    def submit(self, spec: JobSpec, key: str) -> NativeId:
        return NativeId(f"{self.name}/{key}")

    def find(self, key: str) -> NativeId | None:
        return NativeId(f"{self.name}/{key}") if key == self.name else None

    def states(self, ids: Collection[NativeId], wait_s: float = 0.0) -> Mapping[NativeId, JobStatus]:
        self.waited.append(wait_s)
        return {native_id: JobStatus(native_id, JobState.RUNNING) for native_id in ids}

    def cancel(self, native_id: NativeId) -> None:
        self.cancelled.append(native_id)

    def logs(self, native_id: NativeId) -> str:
        return f"log of {native_id}"


def test_a_job_is_with_the_launcher_for_its_processors() -> None:
    one, four = Named("one"), Named("four")
    both = ByProcessors({1: one, 4: four})
    ids = [both.submit(JobSpec("A", "/f", Resources(cpus=cpus)), "key") for cpus in (1, 4)]
    assert ids == ["one/key", "four/key"]
    assert both.find("four") == "four/four"
    assert both.find("five") is None
    assert set(both.states(ids, 1.0)) == set(ids)
    assert (one.waited, four.waited) == ([0.5], [0.5])
    assert set(both.states(ids[1:], 1.0)) == {ids[1]}
    assert (one.waited, four.waited) == ([0.5], [0.5, 1.0])
    both.cancel(ids[1])
    both.cancel(NativeId("another"))
    assert (one.cancelled, four.cancelled) == ([], ["four/key"])
    assert both.logs(ids[0]) == "log of one/key"
    assert both.logs(NativeId("another")) == ""
