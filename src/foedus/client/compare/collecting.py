"""Gather what became of the runs of a comparison: from chain, store and job folders, like a report."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from foedus.client.compare.plan import Plan, flat
from foedus.client.compare.records import Comparison, RoundResult, RunResult
from foedus.client.compare.running import failure_of
from foedus.client.compare.spec import CompareSpec
from foedus.client.compare.summing import curves_of, entry_result
from foedus.client.compare.traffic import Traffic
from foedus.client.report.charts import global_figures
from foedus.client.report.tables import setting
from foedus.client.status import chain_events, run_status
from foedus.core.canonical import canonical_json
from foedus.core.errors import FoedusError
from foedus.core.records import Event
from foedus.launch import JobFolder
from foedus.learn.choices import score_words
from foedus.rounds.documents import PrepareResult
from foedus.rounds.home import Home
from foedus.rounds.summary import RunSummary, summarise_run

_STEP: Final = re.compile(r"r(\d{5,})\.\d+")


def collect(plan: Plan, faults: Mapping[int, str]) -> Comparison:
    """Return the comparison as far as it has come. `faults` says why runs could not be driven, by number."""
    events, traffic = chain_events(plan.home), Traffic.of(plan.home)
    runs = []
    for index, planned in enumerate(plan.spec.runs):
        name = plan.known_name(index)
        if name is None:
            state = "failed" if index in faults else "missing"
            reason = faults.get(index, "it has not started")
            runs.append(RunResult(planned.label, planned.seed, None, state, reason))
        else:
            reason = faults.get(index) or failure_of(run_status(plan.home, name))
            runs.append(_run(plan.home, planned.label, planned.seed, name, reason, events, traffic))
    return _comparison(plan, runs)


def _comparison(plan: Plan, runs: Sequence[RunResult]) -> Comparison:
    spec = plan.spec
    by_label = {label: [run for run in runs if run.label == label] for label in spec.labels}
    common, own = _settings(spec)
    return Comparison(
        name=spec.name,
        folder=plan.folder,
        rounds=spec.rounds,
        seeds=spec.seeds,
        target=spec.target,
        runs=tuple(runs),
        entries=tuple(entry_result(label, found, spec.target) for label, found in by_label.items()),
        accuracy=curves_of(by_label, lambda one: one.accuracy),
        f1=curves_of(by_label, lambda one: one.f1),
        loss=curves_of(by_label, lambda one: one.loss),
        differences=tuple(differences(runs)),
        common=common,
        own=own,
        words=score_words(spec.runs[0].spec.model.name),
    )


def _run(
    home: Home, label: str, seed: int, name: str, reason: str, events: Sequence[Event], traffic: Traffic
) -> RunResult:
    summary = summarise_run(home, name)
    ended = [one for one in summary.rounds if one.is_final]
    sent = traffic.by_round(events, summary.run) if summary.run is not None else {}
    training = training_seconds(home.runs / name / "jobs")
    data, weights = _start(home, name)
    rounds = [
        RoundResult(
            round=one.number,
            outcome=one.phase,
            accuracy=figures.accuracy if figures else None,
            f1=figures.f1 if figures else None,
            loss=figures.loss if figures else None,
            seconds=(one.ended_at or one.opened_at) - one.opened_at,
            training_seconds=training.get(one.number, 0.0),
            bytes_sent=sent.get(one.number, 0),
        )
        for one, figures in zip(ended, global_figures(ended), strict=True)
    ]
    return RunResult(
        label=label,
        seed=seed,
        run=name,
        state="failed" if reason else "completed",
        reason=reason,
        rounds=tuple(rounds),
        turns=sum(one.electorate for one in ended),
        seconds=_seconds(summary),
        data=data,
        weights=weights,
    )


def _seconds(summary: RunSummary) -> int:
    return (summary.changed_at or 0) - (summary.started_at or 0)


def training_seconds(jobs: Path) -> dict[int, float]:
    """Return how long the train tasks of each round took, all clients and exchanges together."""
    found: defaultdict[int, float] = defaultdict(float)
    for path in sorted(jobs.glob("r*.*/*.train")):
        step = _STEP.fullmatch(path.parent.name)
        with suppress(FoedusError, OSError, ValueError):
            result = JobFolder(path).read_result()
            seconds = result.get("seconds") if isinstance(result, dict) else None
            if step and isinstance(seconds, int | float):
                found[int(step[1])] += seconds
    return found


def _start(home: Home, name: str) -> tuple[str | None, str | None]:
    """Return a digest of the CIDs of all data of a run, and the CID of the weights that it began with."""
    with suppress(FoedusError, OSError, ValueError):
        found = JobFolder(home.runs / name / "jobs" / "prepare").read_result()
        result = PrepareResult.from_json(found, "the result of the prepare task")
        files = dict(result.files)
        weights = files.pop("initial", None)
        return hashlib.sha256(canonical_json([result.datasets, files])).hexdigest(), weights
    return None, None


def differences(runs: Sequence[RunResult]) -> list[str]:
    """Say where runs of one seed did not begin with the same data, or not with the same weights.

    What counts are CIDs: of all datasets, of the shared and the test set, and of version 0's weights.
    """
    first: dict[int, RunResult] = {}
    found: dict[str, None] = {}  # in order, each once
    for run in runs:
        if run.data is None:
            if run.rounds:
                found[f"Which data {run.label} had is not known: the job folders of {run.run} are gone."] = (
                    None
                )
            continue
        before = first.setdefault(run.seed, run)
        if run.data != before.data:
            found[f"{run.label} had other data than {before.label}."] = None
        if run.weights != before.weights:
            found[f"{run.label} began with other weights than {before.label}."] = None
    return list(found)


def _settings(spec: CompareSpec) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Return the settings that all entries share, and those in which they differ, as texts."""
    entries = [flat(run.spec) for run in spec.runs[: len(spec.labels)]]
    common: dict[str, str] = {}
    own: dict[str, tuple[str, ...]] = {}
    for key in entries[0]:
        section, _, name = key.rpartition(".")
        texts = tuple(setting(section, name, entry[key]) for entry in entries)
        if len(set(texts)) == 1:
            common[key] = texts[0]
        else:
            own[key] = texts
    return common, own
