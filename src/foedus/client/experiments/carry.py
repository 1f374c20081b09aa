"""Carry an experiment out: its data, its runs, and what its report shows. Nothing is done twice."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from foedus.client.compare import Comparison, run_comparison
from foedus.client.compare.collecting import collect
from foedus.client.compare.plan import written_plan
from foedus.client.compare.spec import CompareSpec, compare_for_this_machine
from foedus.client.experiments.facts import facts
from foedus.client.experiments.figures import (
    draw_confusion,
    draw_fields,
    draw_losses,
    draw_masks,
    draw_sharing,
)
from foedus.client.experiments.records import Findings, RunScores
from foedus.client.experiments.scoring import FinalModel, score_run
from foedus.client.experiments.simulations import simulate, simulations_folder
from foedus.client.experiments.spec import Experiment, in_folder
from foedus.core.errors import InvalidData
from foedus.learn.choices import score_words
from foedus.learn.score_words import LABELS
from foedus.rounds.home import Home
from foedus.rounds.progress import Observer
from foedus.site.settings import Settings

_SHOWN_ENTRIES: Final = 5  # panels that are still readable
_FEWEST_SHARES: Final = 3  # that make a curve


def carry_out(
    experiment: Experiment,
    home: Home,
    settings: Settings,
    observer: Observer,
    *,
    fresh: bool = False,
    only: Collection[str] = (),
) -> Comparison:
    """Run everything of an experiment that has not been run, or what belongs to the labels in `only`.

    Raises as `compare`, and `InvalidData`.
    """
    only = experiment.comparison.chosen(only)
    spec = on_this_machine(experiment, home, settings, observer)
    return run_comparison(home, spec, observer, fresh=fresh, only=only)


def look_at(experiment: Experiment, home: Home, command: str) -> Findings:
    """Score and draw the runs that are complete, also while others go on.

    `command` is what carries it out, for the report. Raises `InvalidData` when nothing has been run.
    """
    plan = written_plan(home, experiment.comparison)
    if plan is None or not any(plan.names):
        what = f"{experiment.name} of {experiment.comparison.rounds} rounds"
        raise InvalidData(
            f"experiment {what} has not been run in {home.root}",
            f"Run it first: {command}",
        )
    comparison = collect(plan, {})
    scores = [
        score_run(home, run.label, run.seed, run.run, experiment.about.groups)
        for run in comparison.runs
        if run.run is not None and run.state == "completed"
    ]
    told = {"command": command, **facts(experiment, plan.spec, comparison, scores)}
    pictures = _pictures(experiment, home, comparison, scores)
    reached = by_share(plan.spec, scores)
    if len(reached) >= _FEWEST_SHARES:
        words = comparison.words
        pictures["sharing.png"] = draw_sharing(reached, "accuracy" if words == LABELS else words.name)
    return Findings(comparison, scores, pictures, told)


def by_share(spec: CompareSpec, scores: Sequence[RunScores]) -> Mapping[float, Sequence[float]]:
    """Return what federations reached, by the share of data that all clients have.

    Of classifiers the accuracy, else the score. Empty where entries have equal shares and differ in others.
    """
    shares = {
        run.label: run.spec.partition.shared_fraction for run in spec.runs if run.spec.partition.clients > 1
    }
    if len(set(shares.values())) < len(shares):
        return {}
    is_accuracy = score_words(spec.runs[0].spec.model.name) == LABELS
    reached: dict[float, list[float]] = {}
    for one in scores:
        if one.label in shares:
            reached.setdefault(shares[one.label], []).append(one.accuracy if is_accuracy else one.score)
    return reached


def data_folder(experiment: Experiment, home: Home) -> Path | None:
    """Return the folder of data that was named when the experiment began, if one was."""
    plan = None if experiment.about.simulations else written_plan(home, experiment.comparison)
    folders = [run.spec.data.folder for run in plan.spec.runs] if plan else []
    return next((Path(folder) for folder in folders if folder), None)


def on_this_machine(
    experiment: Experiment, home: Home, settings: Settings, observer: Observer
) -> CompareSpec:
    """Return the comparison with the data that this machine has, after making those that are simulated."""
    about = experiment.about
    if about.simulations is not None:
        simulate(experiment.name, about.simulations, home, settings, observer)
    elif about.data != "mnist" and settings.data is None:
        other = f" Where it cannot be had: foedus experiment run {about.instead}." if about.instead else ""
        raise InvalidData(
            f"experiment {experiment.name} needs the folder with its data",
            f"Name it: foedus experiment run {experiment.name} --data FOLDER.{other}",
        )
    return _adapted(experiment, home, settings)


def _adapted(experiment: Experiment, home: Home, settings: Settings) -> CompareSpec:
    if experiment.about.simulations is None:
        return compare_for_this_machine(experiment.comparison, settings)
    folder = simulations_folder(experiment.name, experiment.about.simulations, home)
    return compare_for_this_machine(in_folder(experiment.comparison, folder), replace(settings, data=None))


def _pictures(
    experiment: Experiment, home: Home, comparison: Comparison, scores: Sequence[RunScores]
) -> dict[str, bytes]:
    """Draw the runs with the first seed."""
    first = [one for one in scores if one.seed == comparison.seeds[0]]
    finals = [(one.label, FinalModel(home, one.run)) for one in first]
    federated = [(label, final) for label, final in finals if len(final.summary.clients) > 1]
    pictures = {}
    if federated:
        pictures["losses.png"] = draw_losses(
            [(label, final.summary) for label, final in federated[:_SHOWN_ENTRIES]]
        )
    if any(one.confusion for one in first):
        pictures["confusion.png"] = draw_confusion(first[:_SHOWN_ENTRIES])
    draw = {"masks": draw_masks, "fields": draw_fields}.get(experiment.about.pictures)
    for number, (label, final) in enumerate(federated if draw else (), start=1):
        assert draw is not None
        shown = final.shown(experiment.about.images, experiment.name)
        pictures[f"{experiment.about.pictures}-{number}.png"] = draw(
            final, shown, experiment.about.groups, label
        )
    return pictures


def results_folder(experiment: Experiment, home: Home) -> Path:
    """Return where the report goes unless somewhere else is wanted."""
    return home.root / "experiments" / experiment.comparison.name
