"""Applications of third parties: what their files may say, and how faults are told."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from apps_tools import APPLICATION, write_application

from foedus.apps.application import NAME
from foedus.apps.files import filled, read_application
from foedus.apps.parameters import Kind
from foedus.apps.registry import applications, find_application
from foedus.core.errors import InvalidSpec
from foedus.core.records import Resources
from foedus.rounds.home import Home


def test_a_file_becomes_an_application(tmp_path: Path) -> None:
    write_application(tmp_path, "")

    found = find_application(Home(tmp_path), "SIM_COUNT")

    assert found.title == "Counts"
    assert found.command[2:] == ("--up-to", "{upto}", "{output}")
    assert found.resources == Resources(cpus=2, walltime_s=60)
    assert [(p.name, p.kind, p.default, p.maximum) for p in found.parameters] == [
        ("upto", Kind.INTEGER, 3, 1000)
    ]
    assert found.keeps_checkpoints
    assert found.origin == str(tmp_path / "applications" / "count.toml")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('title = "Counts"', 'tilte = "Counts"', "unknown key 'tilte'. Did you mean 'title'?"),
        ("cpus = 2", "cpu = 2", "unknown key 'resources.cpu'. Did you mean 'cpus'?"),
        ("minimum = 1", "minimun = 1", "unknown key 'parameters.0.minimun'. Did you mean 'minimum'?"),
        ('name = "SIM_COUNT"', 'name = "sim count"', "name must be up to 32 capital letters"),
        ("{upto}", "{uptoo}", "command: {uptoo} is no parameter. Did you mean 'upto'?"),
        ("maximum = 1000", "maximum = 0.5", "minimum 1 lies above maximum 0.5"),
        ("default = 3", "default = 0", "default: upto must be in its range: 1 to 1,000"),
        ('kind = "integer"', 'kind = "whole"', "parameters.0.kind"),
        ('kind = "integer"', 'kind = "choice"', "choices belong to"),
        ('name = "upto"', 'name = "output"', "{output} stands for the output folder"),
        ("cpus = 2", "cpus = 0", "resources.cpus"),
        ("cpus = 2", 'queue = "a b; rm"', "resources.queue"),
        ("walltime_s = 60", "walltime_s = nan", "resources.walltime_s"),
        ('title = "Counts"', "", "title is missing"),
        ('title = "Counts"', 'title = "a\\nb"', "title must be one line of text"),
        ('title = "Counts"', 'title = ""', "title must not be empty"),
        ('title = "Counts"', f'title = "{"x" * 201}"', "title must have at most 200 characters"),
        ("command = [", "command = [3, ", 'command.0 must be a text in quotes: "…" (got 3)'),
        (
            'command = ["PYTHON", "PROGRAM", "--up-to", "{upto}", "{output}"]',
            "command = []",
            "must not be empty",
        ),
        (
            'command = ["PYTHON", "PROGRAM", "--up-to", "{upto}", "{output}"]',
            'command = "x"',
            "must be a list",
        ),
        ("cpus = 2", "cpus = 1.5", "resources.cpus must be a whole number (got 1.5)"),
        ("cpus = 2", "cpus = 5000", "resources.cpus must be at most 4,096 (got 5000)"),
        ("cpus = 2", "memory_mb = 0", "resources.memory_mb must be at least 1 (got 0)"),
        ("walltime_s = 60", "walltime_s = 0", "resources.walltime_s must be above 0 (got 0)"),
        ("walltime_s = 60", 'walltime_s = "1 h"', "resources.walltime_s must be a number (got '1 h')"),
        ("walltime_s = 60", "walltime_s = inf", "resources.walltime_s must be a finite number"),
        ("cpus = 2", 'qos = "a b"', "resources.qos must have letters, digits and _"),
        ("checkpoints = true", "checkpoints = 3", "checkpoints must be true or false"),
        ("checkpoints = true", 'dataset = "picture"', "dataset must be '', 'idx', 'images', "),
        ('name = "upto"', 'name = "1a"', "parameters.0.name must be up to 32 letters, digits and _"),
        (
            "default = 3",
            "default = []",
            "parameters.0.default must be a text, a number, true or false (got [])",
        ),
        ("\n[resources]\ncpus = 2\nwalltime_s = 60\n", "resources = 3\n", "resources must be a section"),
    ],
)
def test_faults_are_told_with_file_key_and_what_is_valid(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert old in APPLICATION
    path = write_application(tmp_path, "", APPLICATION.replace(old, new, 1))

    with pytest.raises(InvalidSpec) as caught:
        read_application(path)

    assert caught.value.message.startswith("count.toml: ")
    assert words in caught.value.message
    assert "own-application.md" in caught.value.hint
    lines = caught.value.message.splitlines()
    assert len(set(lines)) == len(lines)
    assert "should" not in caught.value.message  # as Pydantic says it


def test_two_parameters_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = APPLICATION + '\n[[parameters]]\nname = "upto"\nkind = "text"\nhelp = "x"\n'
    with pytest.raises(InvalidSpec, match="two parameters have the name 'upto'"):
        read_application(write_application(tmp_path, "", twice))


def test_two_applications_of_one_name_are_refused(tmp_path: Path) -> None:
    path = write_application(tmp_path, "")
    (path.parent / "other.toml").write_text(path.read_text())
    with pytest.raises(InvalidSpec, match=r"other\.toml: there is an application SIM_COUNT already"):
        find_application(Home(tmp_path), "SIM_COUNT")
    assert applications(Home(tmp_path))["SIM_COUNT"].title.startswith("damaged: ")


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("name = 3", "bad.toml", "name must be a text in quotes"),
        ("name = ", "bad.toml", "is not TOML"),
        ("\udcff", "bad.toml", "is not TOML"),
        ('name = "SIM_BAD"', "SIM_BAD", "title is missing"),
    ],
)
def test_a_faulty_file_is_listed_and_hinders_no_other_application(
    tmp_path: Path, text: str, name: str, words: str
) -> None:
    path = write_application(tmp_path, "").with_name("bad.toml")
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    home = Home(tmp_path)
    assert find_application(home, "FL_TRAIN").is_submitted_by_rounds
    assert find_application(home, "SIM_COUNT").title == "Counts"
    found = applications(home)[name]
    assert found.title.startswith("damaged: ")
    assert not found.is_submitted_by_rounds
    with pytest.raises(InvalidSpec, match=words):
        find_application(home, name)


def test_an_unknown_name_is_told_without_the_faults_of_others(tmp_path: Path) -> None:
    path = write_application(tmp_path, "")
    path.with_name("bad.toml").write_text("name = ")
    path.with_name("worse.toml").write_text('name = "SIM_COUNTER"\ntitle = 3')
    with pytest.raises(InvalidSpec) as caught:
        find_application(Home(tmp_path), "SIM_COUNTERS")
    assert caught.value.message == "there is no application 'SIM_COUNTERS'"
    assert "Did you mean 'SIM_COUNT'?" in caught.value.hint
    assert "Damaged files without a name: bad.toml; `foedus app show` tells of each." in caught.value.hint


def test_a_folder_that_is_called_like_an_application_is_listed_as_damaged(tmp_path: Path) -> None:
    (tmp_path / "applications" / "x.toml").mkdir(parents=True)
    assert "no regular file" in applications(Home(tmp_path))["x.toml"].fault


def test_a_built_in_application_cannot_be_replaced(tmp_path: Path) -> None:
    write_application(tmp_path, "", APPLICATION.replace("SIM_COUNT", "FL_TRAIN"))
    found = applications(Home(tmp_path))
    assert found["FL_TRAIN"].origin == "built in"
    assert "there is an application FL_TRAIN already (built in)" in found["count.toml"].fault


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("{a}", "1"),
        ("--a={a},{b}", "--a=1,x y"),
        ("{{a}}", "{a}"),
        ('{"key": 1}', '{"key": 1}'),
        ("$(touch /tmp/x)", "$(touch /tmp/x)"),
        ("{}", "{}"),
    ],
)
def test_places_in_arguments_are_filled_once(argument: str, expected: str) -> None:
    assert filled(argument, {"a": "1", "b": "x y"}) == expected


def test_a_value_that_looks_like_a_place_is_left_alone() -> None:
    assert filled("{a}", {"a": "{b}", "b": "secret"}) == "{b}"


def test_names_of_built_in_applications_and_their_parameters_are_proper(tmp_path: Path) -> None:
    for name, one in applications(Home(tmp_path)).items():
        assert NAME.fullmatch(name)
        assert one.title
        assert one.description
        assert one.results
        assert all(p.help for p in one.parameters)
        for parameter in one.parameters:
            if not parameter.is_required:
                assert parameter.check(parameter.default) == parameter.default


def test_the_documented_application_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "own-application.md").read_text()
    (block,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    path = tmp_path / "waves.toml"
    path.write_text(block)
    assert [p.name for p in read_application(path).parameters] == ["depth", "cells"]


@pytest.mark.slow
def test_the_documented_program_goes_on_where_it_was_warned(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "own-application.md").read_text()
    (program,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "step").write_text("990")
    environment = {"FOEDUS_OUTPUT": str(tmp_path), "FOEDUS_OUTPUT_BEFORE": str(tmp_path)}
    warned = program.replace("step += 1 ", "step += 1; os.kill(os.getpid(), signal.SIGUSR1) ")

    first = subprocess.run([sys.executable, "-c", warned], env=environment, check=False)
    second = subprocess.run([sys.executable, "-c", program], env=environment, check=False)

    assert (first.returncode, second.returncode) == (75, 0)
    assert (tmp_path / "done.txt").read_text() == "1000 steps"
