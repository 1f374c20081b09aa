"""Experiments: every file of the package is checked; a small one is carried out for real, and reported."""

import csv
import io
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experiment_tools import tiny_experiment
from matplotlib.figure import Figure
from report_tools import made_up
from typer.testing import CliRunner

from foedus.client.cli import app
from foedus.client.compare import Comparison, RunResult
from foedus.client.compare.plan import open_plan, written_plan
from foedus.client.experiments import figures
from foedus.client.experiments.carry import by_share, carry_out, data_folder, look_at
from foedus.client.experiments.figures import draw_losses, draw_sharing
from foedus.client.experiments.page import CAPTIONS, render, write_report
from foedus.client.experiments.records import Findings, GroupScore, RunScores
from foedus.client.experiments.simulations import simulations_folder
from foedus.client.experiments.spec import Experiment, experiment_names, in_folder, load_experiment
from foedus.core.errors import InvalidData, InvalidSpec
from foedus.learn.score_words import LABELS
from foedus.rounds.home import Home
from foedus.rounds.progress import ignore
from foedus.rounds.summary import summarise_run
from foedus.site.settings import Settings, read_settings

GRID = {"size": 16, "steps": 60, "frames": 31}
COMMAND = "foedus experiment run tiny"
PAPER = {"mnist-noniid", "covid-unet"}


@pytest.mark.parametrize("name", experiment_names())
def test_experiments_of_the_package_are_whole(name: str) -> None:
    experiment = load_experiment(name)
    assert experiment.comparison.name == name
    assert experiment.about.about.strip().endswith(".")
    assert bool(experiment.about.paper) == bool(experiment.about.source)
    assert name not in PAPER or len(experiment.about.paper) == 3
    labels = len(experiment.about.groups)
    assert labels in (0, 4)
    short = experiment.with_rounds(experiment.about.fast_rounds)
    assert short.comparison.name != name
    assert {run.spec.rounds for run in short.comparison.runs} == {experiment.about.fast_rounds}
    assert len(short.comparison.runs) == len(experiment.comparison.runs), "--fast leaves nothing out"


def test_the_paper_s_figures_are_those_of_its_tables() -> None:
    tables = {
        "mnist-noniid": [("accuracy", 0.662443), ("accuracy", 0.928702), ("accuracy", 0.923741)],
        "covid-unet": [("loss", 0.414864), ("loss", 0.314726), ("loss", 0.318874)],
    }
    for name, wanted in tables.items():
        assert [(one.metric, one.value) for one in load_experiment(name).about.paper] == wanted


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The CID of each entry's final version when nothing interrupts the experiment."""
    home = Home(tmp_path_factory.mktemp("undisturbed"))
    return versions(home, carry_out(tiny_experiment(), home, read_settings(home.root), ignore))


def versions(home: Home, comparison: Comparison) -> dict[str, str]:
    assert not comparison.unfinished
    return {one.label: str(summarise_run(home, str(one.run)).current) for one in comparison.runs}


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment", ["simulation", "compare-begins", "task-done 1", "round-ended 1", "task-done 2"]
)
def test_a_killed_experiment_goes_on_to_the_same_versions(
    moment: str, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    tool = Path(__file__).with_name("experiment_tools.py")
    command = [sys.executable, str(tool), str(tmp_path)]
    seen: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            seen.append(line.strip())
            if line.startswith(moment):
                os.killpg(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL, seen
    home = Home(tmp_path)
    assert versions(home, carry_out(tiny_experiment(), home, read_settings(tmp_path), ignore)) == undisturbed


@pytest.mark.slow
def test_one_entry_alone(tmp_path: Path) -> None:
    home, settings = Home(tmp_path), read_settings(tmp_path)
    with pytest.raises(InvalidSpec, match="no entry 'only hole'") as refused:
        carry_out(tiny_experiment(), home, settings, ignore, only=["only hole"])
    assert "only holes" in refused.value.hint
    assert not home.run_names()
    comparison = carry_out(tiny_experiment(), home, settings, ignore, only=["only holes"])
    assert [one.state for one in comparison.runs] == ["missing", "completed"]
    assert [one.label for one in look_at(tiny_experiment(), home, COMMAND).scores] == ["only holes"]


@pytest.mark.slow
def test_an_experiment_is_carried_out_once_and_reported(tmp_path: Path) -> None:
    home, settings = Home(tmp_path / "home"), read_settings(tmp_path / "home")
    with pytest.raises(InvalidData, match="has not been run"):
        look_at(tiny_experiment(), home, COMMAND)
    comparison = carry_out(tiny_experiment(), home, settings, ignore)
    assert not comparison.unfinished
    jobs = sorted(path.name.split("-", 2)[2] for path in (home.root / "jobs").iterdir())
    assert jobs == [f"{regime}-{part}-1" for regime in ("holes", "spots") for part in ("test", "train")]
    again = carry_out(tiny_experiment(), home, settings, ignore)
    assert [run.run for run in again.runs] == [run.run for run in comparison.runs], "nothing is done twice"

    findings = look_at(tiny_experiment(), home, COMMAND)
    together, alone = findings.scores
    assert [group.group for group in together.groups] == ["holes", "spots"]
    assert findings.comparison.words.name == "R²"
    assert len(together.clients) == 2
    assert sum(group.examples for group in alone.groups) == 10
    assert set(findings.pictures) == {"losses.png", "fields-1.png"}
    assert all(data.startswith(b"\x89PNG") for data in findings.pictures.values())

    written = write_report(tiny_experiment(), findings, tmp_path / "report")
    page = written[0].read_text()
    assert "Best final R²" in (tmp_path / "report" / "comparison.html").read_text()
    assert written[0].name == "experiment.html"
    assert "only holes" in page
    assert CAPTIONS["fields"] in page
    assert not re.findall(r"(?:src|href)=\"(?!data:|#|[a-z]+\.(?:html|csv))", page), (
        "it asks the network for nothing"
    )
    lines = list(csv.DictReader(io.StringIO((tmp_path / "report" / "groups.csv").read_text())))
    assert {(line["of"], line["name"]) for line in lines if line["entry"] == "together"} == {
        ("group", "holes"),
        ("group", "spots"),
        ("client", "client-1"),
        ("client", "client-2"),
    }


def test_other_simulations_have_another_folder(tmp_path: Path) -> None:
    wanted = tiny_experiment().about.simulations
    assert wanted is not None
    other = wanted.model_copy(update={"steps": 90})
    folders = {simulations_folder("tiny", one, Home(tmp_path)) for one in (wanted, other, wanted)}
    assert len(folders) == 2


def scores(label: str, test: str = "cid") -> RunScores:
    groups = [GroupScore("holes", 0.5, 1.0, 3), GroupScore("spots", 0.9, 1.0, 3)]
    return RunScores(label, 1, f"{label}-1", test, 6, 1, 2, 0.7, 0.7, 1.0, groups, (), ())


def page_of(experiment: Experiment, *found: RunScores) -> str:
    nothing = [RunResult(label, 1, None, "missing", "not run yet") for label in ("together", "only holes")]
    rounds = experiment.comparison.rounds
    comparison = Comparison(
        "tiny", Path("x"), rounds, (1,), None, tuple(nothing), (), (), (), (), (), {}, {}, LABELS
    )
    return render(experiment, Findings(comparison, found, {}, {"command": "foedus <run>"}))


def test_a_report_says_what_its_figures_are_not() -> None:
    experiment = tiny_experiment()
    whole = page_of(experiment, scores("together"), scores("only holes"))
    assert "figures" not in whole
    assert "foedus &lt;run&gt;" in whole
    assert "With 1 rounds, not with the 2" in page_of(experiment.with_rounds(1), scores("together"))
    assert "2 different test sets" in page_of(experiment, scores("together"), scores("only holes", "other"))


def test_afresh_forgets_the_chosen_entries_alone(tmp_path: Path) -> None:
    spec = tiny_experiment().comparison
    with open_plan(Home(tmp_path), spec) as plan:
        plan.names[:] = ["tiny-1", "tiny-2"]
        plan.write()
    with open_plan(Home(tmp_path), spec, only=["only holes"], fresh=True) as plan:
        plan.write()
        found = written_plan(Home(tmp_path), spec)  # somebody who works there is no hindrance
    assert found is not None
    assert found.names == ["tiny-1", None]
    assert [run.spec for run in found.spec.runs] == [run.spec for run in spec.runs]


def test_groups_are_summed_up_as_by_hand() -> None:
    groups = [GroupScore("a", 0.5, 1.0, 3), GroupScore("b", 0.9, 1.0, 3)]
    one = RunScores("x", 1, "x-1", "cid", 6, 1, 2, 0.7, 0.7, 1.0, groups, (), ())
    assert one.mean == pytest.approx(0.7)
    assert one.worst == 0.5
    assert one.spread == pytest.approx(np.std([0.5, 0.9]))


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"paper": [{"label": "apart", "metric": "loss", "value": 1.0}]}, "no entry 'apart'"),
        ({"paper": [{"label": "together", "metric": "luck", "value": 1.0}]}, "experiment.paper"),
        ({"simulations": None}, "belong together"),
        ({"groups": ["spots", "holes"]}, "by the alphabet"),
        ({"simulations": {**GRID, "regimes": {}}}, "experiment.simulations.regimes"),
        ({"simulations": {**GRID, "regimes": {"../holes": {"F": 0.039}}}}, "experiment.simulations.regimes"),
        ({"colour": "red"}, "experiment.colour"),
        ({"fast_rounds": 0}, "experiment.fast_rounds"),
    ],
)
def test_unusable_experiments_are_refused(about: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        tiny_experiment(**about)


def test_sharing_is_one_curve_where_entries_differ_in_nothing_else() -> None:
    sharing = load_experiment("mnist-sharing").comparison
    found = [
        replace(scores(label), seed=seed, accuracy=0.2 * number + 0.1 * seed)
        for number, label in enumerate(sharing.labels)
        for seed in (1, 2)
    ]
    reached = by_share(sharing, found)
    assert sorted(reached) == [0, 0.05, 0.1, 0.2]
    assert reached[0.05] == pytest.approx([0.3, 0.4])
    assert draw_sharing(reached, "accuracy").startswith(b"\x89PNG")
    lungs = load_experiment("lungs-unet").comparison
    assert sorted(by_share(lungs, [scores(label) for label in lungs.labels])) == [0, 0.1, 0.2]
    assert not by_share(load_experiment("mnist-noniid").comparison, [])


def test_losses_of_the_global_model_are_those_of_the_version_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(figures, "_png", lambda figure: drawn.append(figure) or b"")
    run = made_up(5)  # its last round was rejected
    draw_losses([("together", run)])
    lines = {str(line.get_label()): line.get_ydata() for line in drawn[0].axes[0].lines}
    accepted, rejected = run.rounds[3].test, run.rounds[4].test
    assert accepted is not None
    assert rejected is not None
    assert lines["global, test set"][-2:] == pytest.approx([accepted.loss] * 2)
    assert lines["rejected, test set"][-1] == pytest.approx(rejected.loss)
    assert set(run.clients) < lines.keys()


def test_a_report_names_the_data_that_were_named(tmp_path: Path) -> None:
    lungs, home = load_experiment("lungs-unet"), Home(tmp_path / "home")
    assert data_folder(lungs, home) is None
    with open_plan(home, in_folder(lungs.comparison, tmp_path / "X rays")) as plan:
        plan.write()
    assert data_folder(lungs, home) == tmp_path / "X rays"
    asked = CliRunner().invoke(app, ["experiment", "report", "lungs-unet", "--home", str(home.root)])
    assert f"run lungs-unet --data '{tmp_path / 'X rays'}'" in " ".join(asked.output.split())


def test_data_that_must_be_named(tmp_path: Path) -> None:
    settings: Settings = read_settings(tmp_path)
    with pytest.raises(InvalidData, match="needs the folder with its data"):
        carry_out(load_experiment("lungs-unet"), Home(tmp_path), settings, ignore)
    with pytest.raises(InvalidData) as refused:
        carry_out(load_experiment("covid-unet"), Home(tmp_path), settings, ignore)
    assert "foedus experiment run lungs-unet" in refused.value.hint


def test_what_is_recommended_instead_is_there() -> None:
    instead = [load_experiment(name).about.instead for name in experiment_names()]
    assert set(filter(None, instead)) == {"lungs-unet"} <= set(experiment_names())


def test_commands_name_what_is_wrong(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["experiment", "list"])
    assert found.exit_code == 0
    assert all(name in found.output for name in experiment_names())
    wrong = CliRunner().invoke(app, ["experiment", "run", "lungs-unit", "--home", str(tmp_path)])
    assert wrong.exit_code == 2
    assert "Did you mean 'lungs-unet'?" in wrong.output
    label = CliRunner().invoke(
        app, ["experiment", "run", "mnist-noniid", "--only", "II", "--home", str(tmp_path)]
    )
    assert label.exit_code == 2
    assert "Did you mean 'IID'?" in label.output
    nothing = CliRunner().invoke(
        app, ["experiment", "report", "lungs-unet", "--fast", "--home", str(tmp_path)]
    )
    assert nothing.exit_code == 2
    assert "experiment run lungs-unet --fast" in " ".join(nothing.output.split())
    assert not list(tmp_path.iterdir())


def test_an_interrupted_experiment_names_the_command_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_args: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("foedus.client.experiments.carry.carry_out", interrupted)
    options = ["--data", str(tmp_path), "--rounds", "3", "-o", "out", "--only", "Non-IID(1)", "--only", "IID"]
    found = CliRunner().invoke(app, ["experiment", "run", "mnist-noniid", *options, "--home", str(tmp_path)])
    assert found.exit_code == 130
    words = " ".join(found.output.split())
    expected = f"run mnist-noniid --data {tmp_path} --rounds 3 -o out --only 'Non-IID(1)' --only IID --home"
    assert expected in words
