"""The commands about applications and private datasets, with real workers."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client_tools import call, start
from slurm_commands import VERSION, commands, slurm_home

from foedus.launch import JobFolder
from foedus.launch.cluster.journal import Journal

SMALL = ("-p", "size=16", "-p", "steps=40", "-p", "frames=3", "-p", "checkpoint_s=0.05")
SIMULATION = "SIM_REACTION_DIFFUSION"


def digits_file(path: Path, count: int = 60) -> Path:
    """Write images that look like no others, with labels 0 to 9."""
    random = np.random.default_rng(99)
    images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(count) % 10)
    return path


def json_of(*args: str | Path) -> Any:  # noqa: ANN401 - whatever the command prints
    process = start(*args, "--format", "json")  # with the runner, standard error would be in between
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out)


def test_all_applications_are_listed_with_what_they_ask_for(tmp_path: Path) -> None:
    result = call("app", "list", "--home", tmp_path, "--format", "json")

    found = {one["name"]: one for one in json.loads(result.output)}

    tasks, others = {"FL_TRAIN", "FL_AGGREGATE", "FL_VERIFY"}, {"FL_PREDICT", SIMULATION, "SIM_RENDER"}
    assert found.keys() == tasks | others
    assert all(found[name]["is_submitted_by_rounds"] == (name in tasks) for name in found)
    assert all(one["resources"]["walltime_s"] > 0 for one in found.values())
    assert json.dumps(found).find("Infinity") < 0


def test_an_application_is_shown_with_ranges_and_units(tmp_path: Path) -> None:
    output = call("app", "show", SIMULATION, "--home", tmp_path).output
    for words in ("cells²/time", "0 to 0.3", "spots or centre or noise", "metadata.json", "private dataset"):
        assert words in output


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["SIM_REACTION"], "there is no application 'SIM_REACTION'", f"Did you mean '{SIMULATION}'?"),
        (["FL_TRAIN"], "rounds submit it", "foedus run"),
        ([SIMULATION, "-p", "stepz=1"], "has no parameter 'stepz'", "Did you mean 'steps'?"),
        ([SIMULATION, "-p", "F"], "a parameter is NAME=VALUE, got 'F'", "-p F=0.035"),
        ([SIMULATION, "-p", "F=1"], "F must be in its range: 0 to 0.3", "rate"),
        ([SIMULATION, "-p", "F=0.1", "-p", "F=0.2"], "F is given twice", ""),
        ([SIMULATION, "-p", "dt=9"], "dt = 9 is unstable", "Lower dt"),
        ([SIMULATION, "-p", "F=0.1", "--each", "F=0.2"], "F is given twice", "by -p or by --each"),
        ([SIMULATION, "--each", "F=0.1,,0.2"], "needs values that differ", ""),
        ([SIMULATION, "--each", "F=0.1,0.1"], "needs values that differ", ""),
        ([SIMULATION, "--each", "F=0.1,1"], "F must be in its range: 0 to 0.3", "rate"),
        ([SIMULATION, "--walltime-s", "0"], "--walltime-s must be above 0", ""),
        (["SIM_RENDER", "-p", "frames=none"], "there is no dataset 'none'", "foedus dataset register"),
        (["SIM_RENDER"], "SIM_RENDER needs frames", "-p frames="),
        (["FL_PREDICT", "--dataset", "x", "-p", "model=x", "-p", "dataset=y"], "must be a content id", ""),
    ],
)
def test_what_cannot_be_submitted_is_told_with_a_way_out(
    tmp_path: Path, arguments: list[str], message: str, hint: str
) -> None:
    result = call("app", "submit", *arguments, "--home", tmp_path)
    assert result.exit_code == 2
    assert message in result.output
    assert hint in result.output
    assert not (tmp_path / "jobs").exists()


def test_here_a_batch_job_cannot_be_left_alone(tmp_path: Path) -> None:
    result = call("app", "submit", SIMULATION, *SMALL, "--no-wait", "--home", tmp_path)
    assert result.exit_code == 2
    assert "ends with the command that submitted it" in result.output
    assert not (tmp_path / "jobs").exists()


@pytest.mark.slow
def test_a_simulation_becomes_a_private_dataset_where_it_lies(tmp_path: Path) -> None:
    done = json_of("app", "submit", SIMULATION, *SMALL, "--dataset", "spots", "--home", tmp_path)

    output = Path(done["output"])
    assert done["job"] == "sim_reaction_diffusion-1"
    assert done["result"]["shape"] == [3, 16, 16]
    found = json_of("dataset", "show", "spots", "--check", "--home", tmp_path)
    assert found["path"] == str(output)
    assert found["examples"] == 3
    assert sum(found["histogram"]) == 3
    assert len(list(tmp_path.rglob("v.npy"))) == 1
    again = call("dataset", "register", "sim_reaction_diffusion-1", "--name", "same", "--home", tmp_path)
    assert again.exit_code == 0
    assert json_of("dataset", "show", "same", "--home", tmp_path)["id"] == found["id"]


@pytest.mark.slow
def test_a_sweep_makes_a_dataset_of_each_combination(tmp_path: Path) -> None:
    sweep = ("--each", "F=0.03,0.04", "--each", "seed=1,2")
    done = json_of("app", "submit", SIMULATION, *SMALL, *sweep, "--dataset", "spots", "--home", tmp_path)

    names = [f"sim_reaction_diffusion-{number}" for number in (1, 2, 3, 4)]
    assert [one["job"] for one in done] == names
    orders = [json.loads((tmp_path / "jobs" / name / "spec.json").read_text()) for name in names]
    assert [(o["parameters"]["F"], o["parameters"]["seed"], o["dataset"]) for o in orders] == [
        (0.03, 1, "spots-1"),
        (0.03, 2, "spots-2"),
        (0.04, 1, "spots-3"),
        (0.04, 2, "spots-4"),
    ]
    found = json_of("dataset", "list", "--home", tmp_path)
    assert sorted(one["name"] for one in found) == ["spots-1", "spots-2", "spots-3", "spots-4"]
    again = json_of("app", "resume", *names[:2], "--home", tmp_path)
    assert [one["result"] for one in again] == [one["result"] for one in done[:2]]


@pytest.mark.slow
def test_of_a_sweep_the_others_go_on_when_one_fails(tmp_path: Path) -> None:
    folder = tmp_path / "applications"
    folder.mkdir()
    (folder / "sim.toml").write_text(
        'name = "SIM_EXIT"\ntitle = "Ends"\ncommand = ["/bin/sh", "-c", "exit $0", "{code}"]\n'
        '[[parameters]]\nname = "code"\nkind = "integer"\nhelp = "exit code"\n'
    )
    result = call("app", "submit", "SIM_EXIT", "--each", "code=0,7,0x0,00", "--home", tmp_path)
    assert result.exit_code == 2  # one of them is no integer: nothing was submitted
    assert not (tmp_path / "jobs").exists()
    result = call("app", "submit", "SIM_EXIT", "--each", "code=7,0,8", "--home", tmp_path)
    assert result.exit_code == 1
    for words in ("sim_exit-1: code = 7", "exit code 7", "sim_exit-2: code = 0", "exit code 8", "2 of 3"):
        assert words in result.output


@pytest.mark.slow
def test_a_failure_is_told_in_words_and_in_the_exit_code(tmp_path: Path) -> None:
    folder = tmp_path / "applications"
    folder.mkdir()
    (folder / "sim.toml").write_text(
        'name = "SIM_BROKEN"\ntitle = "Breaks"\ncommand = ["/bin/sh", "-c", "echo no licence; exit 7"]\n'
    )
    result = call("app", "submit", "SIM_BROKEN", "--home", tmp_path)
    assert result.exit_code == 1
    assert "sim_broken-1 failed: the program ended with exit code 7; its last lines:" in result.output
    assert "no licence" in result.output


LONG = ("-p", "size=48", "-p", "steps=6000", "-p", "frames=4", "-p", "checkpoint_s=0.01")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_batch_job_goes_on_to_the_same_bytes(tmp_path: Path, number: signal.Signals) -> None:
    process = start("app", "submit", SIMULATION, *LONG, "--home", tmp_path / "cut")
    _wait_for(tmp_path / "cut" / "jobs" / "sim_reaction_diffusion-1" / "checkpoint.safetensors", process)
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=60)

    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "sim_reaction_diffusion-1 was cancelled\ngo on with\n" in said
        assert "app resume sim_reaction_diffusion-1 --home" in said
    assert not (tmp_path / "cut" / "jobs" / "sim_reaction_diffusion-1" / "result.json").exists()
    json_of("app", "resume", "sim_reaction_diffusion-1", "--home", tmp_path / "cut")
    json_of("app", "submit", SIMULATION, *LONG, "--home", tmp_path / "whole")

    one, other = (tmp_path / place / "jobs" / "sim_reaction_diffusion-1" for place in ("cut", "whole"))
    for name in ("u.npy", "v.npy", "metadata.json"):
        assert (one / "output" / name).read_bytes() == (other / "output" / name).read_bytes()
    first = JobFolder(one).read_events()[0][0]
    assert int(str(first["done"])) > 0  # the second attempt did not begin anew


def _wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- what has ended is done again ---


def program(home: Path, script: str, more: str = "") -> None:
    """Make SIM_SH, which runs a shell script, an application of the home folder."""
    (home / "applications").mkdir(parents=True)
    text = f'name = "SIM_SH"\ntitle = "A script"\ncommand = ["/bin/sh", "-c", {json.dumps(script)}]\n{more}'
    parameter = '[[parameters]]\nname = "n"\nkind = "integer"\nhelp = "any"\ndefault = 1\n'
    (home / "applications" / "sh.toml").write_text(text + parameter)


@pytest.mark.slow
def test_an_application_is_told_how_to_ask_for_more_and_gets_it(tmp_path: Path) -> None:
    program(tmp_path, "test $FOEDUS_CPUS = 2 || exec sleep 60")
    refused = call("app", "submit", "SIM_SH", "--memory-mb", "1", "--home", tmp_path)
    assert refused.exit_code == 1
    assert "out of memory: it used" in refused.output
    assert "app resume sim_sh-1 --memory-mb MB --home" in refused.output
    options = ("--memory-mb", "4000", "--cpus", "2")
    assert call("app", "resume", "sim_sh-1", *options, "--home", tmp_path).exit_code == 0
    spec = JobFolder(tmp_path / "jobs" / "sim_sh-1").read_spec()
    assert spec["resources"]["memory_mb"] == 4000  # type: ignore[index, call-overload]
    again = call("app", "resume", "sim_sh-1", "--memory-mb", "1", "--home", tmp_path)
    assert (again.exit_code, "has ended well" in again.output) == (2, True)
    assert call("app", "resume", "sim_sh-1", "--queue", "a b", "--home", tmp_path).exit_code == 2


SAVING = """
test -e saved && exit 0
trap 'echo 1 > saved; exit 75' USR1
touch started
while :; do sleep 0.05; done
"""


@pytest.mark.slow
def test_a_program_that_keeps_checkpoints_is_warned_before_ctrl_c_ends_it(tmp_path: Path) -> None:
    program(tmp_path, SAVING, "checkpoints = true\n")
    (tmp_path / "config.toml").write_text("workers = 2\n")
    process = start("app", "submit", "SIM_SH", "--each", "n=1,2", "--home", tmp_path)
    names = ["sim_sh-1", "sim_sh-2"]
    for name in names:
        _wait_for(tmp_path / "jobs" / name / "output" / "started", process)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "sim_sh-1 was cancelled\nsim_sh-2 was cancelled\ngo on with\n" in said
    assert said.count("app resume sim_sh-1 sim_sh-2") == 1
    assert call("app", "resume", *names, "--home", tmp_path).exit_code == 0


def slurm(folder: Path) -> Path:
    """Make a home folder for a Slurm that keeps batch jobs waiting, and takes none for the queue `none`."""
    queue = folder / "queue"
    line = f'echo "$number|PENDING|None|${{a#*=}}" >> {queue}'
    lines = [
        VERSION,
        'case "$*" in *--partition=none*) echo "error: invalid partition specified: none" >&2; exit 1;; esac',
        f"number=$(($(wc -l < {queue}) + 1))",
        f'for a in "$@"; do case $a in --job-name=*) {line};; esac; done',
        "echo $number",
    ]
    programs = commands(
        folder / "bin",
        sbatch="\n".join(lines),
        squeue=f"{VERSION}\ncat {queue}",
        scancel=f"{VERSION}\nsed -i s/PENDING/CANCELLED/ {queue}",
    )
    queue.touch()
    home = slurm_home(folder / "home", programs)
    with (home / "config.toml").open("a") as file:
        file.write("poll_s = 0.1\n")
    program(home, "true")
    return home


@pytest.mark.slow
@pytest.mark.parametrize("is_list", [False, True])
def test_what_slurm_refuses_is_not_submitted(tmp_path: Path, is_list: bool) -> None:
    home = slurm(tmp_path)
    refused = call("app", "submit", "SIM_SH", "--no-wait", "--queue", "none", "--home", home)
    assert refused.exit_code == 1
    assert "the scheduler refuses it: invalid partition specified: none" in refused.output
    assert "app resume sim_sh-1 --queue NAME" in refused.output
    names = ["sim_sh-1"]
    if is_list:
        assert call("app", "submit", "SIM_SH", "--no-wait", "--home", home).exit_code == 0
        names.append("sim_sh-2")
        again = call("app", "resume", *names, "--no-wait", "--home", home)
        assert again.exit_code == 1
        assert "sim_sh-1 is failed: the scheduler refuses it" in again.output
        assert "sim_sh-2 is queued as 1" in again.output
        assert "app resume sim_sh-2 --home" in again.output
    repaired = call("app", "resume", "sim_sh-1", "--no-wait", "--queue", "short", "--home", home)
    assert repaired.exit_code == 0
    assert f"sim_sh-1 is queued as {len(names)}\n" in repaired.output


@pytest.mark.slow
def test_what_was_cancelled_is_submitted_again_at_once(tmp_path: Path) -> None:
    home = slurm(tmp_path)
    first = call("app", "submit", "SIM_SH", "--no-wait", "--home", home)
    assert first.output.startswith("sim_sh-1 is queued as 1\n")
    busy = call("app", "resume", "sim_sh-1", "--memory-mb", "9", "--home", home)
    assert (busy.exit_code, "is not known to have ended" in busy.output) == (2, True)
    assert call("job", "cancel", "sim_sh-1", "--home", home).exit_code == 0
    again = call("app", "resume", "sim_sh-1", "--no-wait", "--home", home)
    assert again.exit_code == 0
    assert again.output.startswith("sim_sh-1 is queued as 2")
    journal = Journal.read(JobFolder(home / "jobs" / "sim_sh-1"))
    assert journal is not None
    assert (journal.number, journal.scheduler_id) == (1, "2")
    same = call("app", "resume", "sim_sh-1", "--no-wait", "--home", home, "--format", "json")
    assert (json.loads(same.stdout)["state"], json.loads(same.stdout)["scheduler_id"]) == ("queued", "2")


@pytest.mark.slow
def test_what_a_cluster_had_is_done_here_once_it_has_ended_there(tmp_path: Path) -> None:
    home = slurm(tmp_path)
    assert call("app", "submit", "SIM_SH", "--no-wait", "--home", home).exit_code == 0
    here = ("app", "resume", "sim_sh-1", "--launcher", "local", "--home", home)
    refused = call(*here)
    assert refused.exit_code == 1
    assert "is not known to have ended" in refused.output
    assert "foedus job cancel sim_sh-1\n" in refused.output
    subprocess.run([tmp_path / "bin" / "scancel"], check=True)  # nobody follows it
    assert call(*here).exit_code == 0
    assert call("app", "resume", "sim_sh-1", "--home", home).exit_code == 0


@pytest.mark.slow
def test_while_slurm_does_not_answer_nothing_is_called_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = slurm(tmp_path)
    monkeypatch.setattr("foedus.client.app_jobs._ANSWER_S", 0.5)
    for name in ("sbatch", "squeue"):
        (tmp_path / "bin" / name).write_text(
            "#!/bin/sh\necho Unable to contact slurm controller >&2; exit 1\n"
        )
    result = call("app", "submit", "SIM_SH", "--no-wait", "--home", home)
    assert result.exit_code == 1
    assert "sim_sh-1 is unknown: " in result.output
    assert "Unable to contact" in result.output


# --- private datasets ---


def test_data_are_registered_listed_checked_and_forgotten(tmp_path: Path) -> None:
    source, home = digits_file(tmp_path / "digits.npz"), tmp_path / "home"
    steps = ("--step", "deduplicate", "--step", "resize height=14 width=14", "--step", "normalise")
    arguments = ("--kind", "arrays", "--name", "digits", *steps, "--test", "0.2", "--home", home)

    assert "digits is registered" in call("dataset", "register", source, *arguments).output
    assert "14 × 14" in call("dataset", "list", "--home", home).output
    shown = call("dataset", "show", "digits", "--check", "--home", home)
    assert shown.exit_code == 0
    assert "resize height=14 width=14; normalise mean=" in shown.output
    digits_file(source, count=61)
    changed = call("dataset", "show", "digits", "--check", "--home", home)
    assert changed.exit_code == 3
    assert "the data have changed" in changed.output
    assert call("dataset", "remove", "digits", "--home", home).exit_code == 0
    assert call("dataset", "show", "digits", "--home", home).exit_code == 2
    assert source.exists()


def test_a_path_needs_kind_and_name(tmp_path: Path) -> None:
    result = call("dataset", "register", tmp_path, "--home", tmp_path)
    assert result.exit_code == 2
    assert "a path needs --kind and --name" in result.output


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = call(
        "dataset", "register", tmp_path / "no", "--kind", "idx", "--name", "x", "--home", tmp_path / "home"
    )
    assert result.exit_code == 2
    assert "No such file" in result.output


def test_what_others_may_see_is_shown_on_request(tmp_path: Path) -> None:
    source, home = digits_file(tmp_path / "digits.npz"), tmp_path / "home"
    call("dataset", "register", source, "--kind", "arrays", "--name", "mine", "--home", home)
    result = call("dataset", "show", "mine", "--public", "--format", "json", "--home", home)
    assert json.loads(result.output)["examples"] == 60
    assert "digits.npz" not in result.output
    assert "digits.npz" in call("dataset", "show", "mine", "--home", home).output


@pytest.mark.slow
def test_a_prediction_tells_what_it_lacks(tmp_path: Path) -> None:
    home = tmp_path / "home"
    result = call("model", "predict", "tiny-1", "--dataset", "mine", "--home", home)
    assert result.exit_code == 2
    assert "there is no run 'tiny-1'" in result.output
