"""`endurance`: many nano rounds: memory must not grow, and speed must stay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.homes import nano_spec, new_run, temporary_home
from benchmarks.memory import MIB, Memory, memory_of_tree
from benchmarks.programs import Program, started
from benchmarks.result import Line, Options, at_most, median
from foedus.rounds.home import Home

QUICK_ROUNDS = 30
_SAYS = 20  # how often it tells how far it is


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory at the end of a round."""

    round: int
    memory: Memory


def run(options: Options) -> list[Line]:
    """Measure memory and speed over many rounds."""
    rounds = min(options.rounds, QUICK_ROUNDS) if options.quick else options.rounds
    with temporary_home(options) as home:
        name = new_run(home, nano_spec(rounds))
        program = Program("benchmarks.drive", str(home.root), name)
        with started([("foedus", program)]):
            lines, samples = _follow(program, rounds, options)
        sizes = _sizes(home, name)
    return [*_speed_lines(lines), *_memory_lines(samples, rounds), *_size_lines(sizes, rounds)]


def _follow(program: Program, rounds: int, options: Options) -> tuple[list[dict[str, Any]], list[Sample]]:
    """Read what the program says, sampling memory every hundredth of the way."""
    lines: list[dict[str, Any]] = []
    samples: list[Sample] = []
    for number in range(1, rounds + 1):
        lines.append(program.next_line())
        if number < rounds and number % max(1, rounds // 100) == 0:
            samples.append(Sample(number, memory_of_tree(program.process_id)))
        if samples and number % max(1, rounds // _SAYS) == 0:
            pss = samples[-1].memory.pss / MIB
            options.say(f"round {number}: {lines[-1]['seconds']:.3f} s, {pss:.0f} MiB")
    return lines, samples


def window(rounds: int, first: float, last: float) -> range:
    """Return the rounds between two shares of all of them; at least one."""
    start = min(round(rounds * first), rounds - 1)
    return range(start + 1, max(start + 1, round(rounds * last)) + 1)


def _speed_lines(lines: Sequence[Mapping[str, Any]]) -> list[Line]:
    rounds = len(lines)
    early, late = window(rounds, 0.05, 0.15), window(rounds, 0.90, 1.0)
    before, after = _median_of(lines, early, "seconds"), _median_of(lines, late, "seconds")
    outcomes = sorted({str(line["outcome"]) for line in lines})
    said = f"rounds {late[0]}–{late[-1]} ÷ {early[0]}–{early[-1]}; all {'/'.join(outcomes)}"
    found = [
        Line("endurance: round time, late ÷ early", after / before, "×", at_most(1.2), said),
        Line("endurance: round, early", before, "s"),
        Line("endurance: round, late", after, "s"),
    ]
    for part in ("chain", "chain_cpu", "store", "submit", "wait"):
        ratio = _median_of(lines, late, part) / max(_median_of(lines, early, part), 1e-9)
        found.append(Line(f"endurance: {part}, late ÷ early", ratio, "×"))
    return found


def _median_of(lines: Sequence[Mapping[str, Any]], rounds: range, part: str) -> float:
    return median([float(lines[number - 1].get(part, 0.0)) for number in rounds])


def _memory_lines(samples: Sequence[Sample], rounds: int) -> list[Line]:
    """Compare the last twentieth with what it was around a tenth (of 1,000 rounds: round 100)."""
    early = _within(samples, window(rounds, 0.08, 0.12)) or samples[:1]
    late = _within(samples, window(rounds, 0.95, 1.0)) or samples[-1:]
    before, after = median([s.memory.pss for s in early]), median([s.memory.pss for s in late])
    rss = median([s.memory.rss for s in late]) / median([s.memory.rss for s in early])
    said = f"{before / MIB:.0f} → {after / MIB:.0f} MiB"
    found = [
        Line("endurance: memory (PSS), late ÷ early", after / before, "×", at_most(1.05), said),
        Line("endurance: memory (RSS), late ÷ early", rss, "×"),
    ]
    first, last = dict(early[0].memory.processes), dict(late[-1].memory.processes)
    for number, process in enumerate(sorted(first.keys() & last.keys())):
        what = ("driver", "nursery")[number] if number < 2 else f"worker {number - 1}"
        note = f"{first[process] / MIB:.1f} → {last[process] / MIB:.1f} MiB"
        found.append(Line(f"endurance: {what}, late ÷ early", last[process] / first[process], "×", note=note))
    return found


def _within(samples: Sequence[Sample], rounds: range) -> list[Sample]:
    return [sample for sample in samples if sample.round in rounds]


def _sizes(home: Home, name: str) -> dict[str, int]:
    """Return the bytes on disk of what a home folder holds."""
    folder = home.run_folder(name)
    parts = {
        "chain": home.root.glob("chain.sqlite*"),
        "store": home.store.rglob("*"),
        "job folders": (folder / "jobs").rglob("*"),
        "outbox": folder.glob("outbox.sqlite*"),
    }
    return {part: sum(_blocks(path) for path in paths) for part, paths in parts.items()}


def _blocks(path: Path) -> int:
    return path.stat().st_blocks * 512


def _size_lines(sizes: Mapping[str, int], rounds: int) -> list[Line]:
    return [
        Line(f"endurance: {part} on disk", size / rounds / 1e3, "kB/round") for part, size in sizes.items()
    ]
