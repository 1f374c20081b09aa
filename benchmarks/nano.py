"""`nano`: the fixed cost of a round: 3 clients × 64 training examples leave almost nothing to train."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.homes import nano_spec, new_run, plain_config, task_seconds, temporary_home
from benchmarks.programs import ONE_THREAD, Program, started, take_turns
from benchmarks.result import Line, Options, at_most, median
from foedus.rounds.home import Home

ROUNDS = 31  # the first is dropped
Rounds = Sequence[Mapping[str, Any]]


def run(options: Options) -> list[Line]:
    """Measure the nano federation, and where its time goes."""
    spec = nano_spec(4 if options.quick else ROUNDS)
    with temporary_home(options) as home:
        name = new_run(home, spec)
        ours = Program("benchmarks.drive", str(home.root), name, "--paced")
        with started([("foedus", ours)]):
            ours.next_line()
            plain = Program("benchmarks.plain", plain_config(home, name, spec), environ=ONE_THREAD)
            with started([("plain", plain)]):
                plain.next_line()
                found = take_turns({"foedus": ours, "plain": plain}, spec.rounds - 1, lambda text: None)
        return [*_lines(found), *_breakdown(home, name, found["foedus"])]


def _lines(found: Mapping[str, Rounds]) -> list[Line]:
    total = _median(found["foedus"], "seconds")
    plain = _median(found["plain"], "seconds")
    chain, computing = _median(found["foedus"], "chain"), _median(found["foedus"], "chain_cpu")
    outcomes = "/".join(sorted({str(line["outcome"]) for line in found["foedus"]}))
    return [
        Line("nano: fixed cost, round − plain program", total - plain, "s", at_most(0.3), f"all {outcomes}"),
        Line("nano: round with everything on", total, "s"),
        Line("nano: of which chain", chain, "s", at_most(0.15), f"{computing:.3f} s of it computing"),
        Line("nano: plain program", plain, "s", note="what training and scoring alone take"),
    ]


def _breakdown(home: Home, name: str, rounds: Rounds) -> list[Line]:
    tasks: dict[str, list[float]] = defaultdict(list)
    for line in rounds:
        for kind, seconds in task_seconds(home, name, int(line["round"])).items():
            tasks[kind].append(max(seconds))
    known = sum(_median(rounds, part) for part in ("chain", "store", "submit", "wait"))
    lines = [Line(f"nano: slowest {kind} task", median(seconds), "s") for kind, seconds in tasks.items()]
    return [
        *sorted(lines, key=lambda line: line.what),
        Line("nano: driver waits for tasks", _median(rounds, "wait"), "s"),
        Line("nano: driver hands tasks out", _median(rounds, "submit"), "s"),
        Line("nano: driver puts into the store", _median(rounds, "store"), "s"),
        Line("nano: driver, everything else", _median(rounds, "seconds") - known, "s"),
    ]


def _median(rounds: Rounds, part: str) -> float:
    return median([float(line.get(part, 0.0)) for line in rounds])
