"""`federation`: what a round costs beyond its training, against a plain program that trains the same.

3 clients × 20,000 examples of MNIST. The contestants are alive together and take turns, round by round.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.homes import big_spec, new_run, plain_config, temporary_home
from benchmarks.programs import ONE_THREAD, Program, started, take_turns
from benchmarks.result import CannotRun, Line, Options, at_most, median

ROUNDS = 4  # the first is dropped
Rounds = Mapping[str, list[dict[str, Any]]]


def run(options: Options) -> list[Line]:
    """Measure the big federation."""
    if options.mnist is None:
        raise CannotRun("there is no folder of MNIST idx files (set FOEDUS_SHARED: its data/mnist is used)")
    spec = big_spec(2 if options.quick else ROUNDS, options.mnist, options.quick)
    with temporary_home(options) as home:
        name = new_run(home, spec)
        ours = Program("benchmarks.drive", str(home.root), name, "--paced")
        with started([("foedus", ours)]):
            first = ours.next_line()  # now the data are dealt out
            options.say(
                f"round 1 took {first['seconds']:.1f} s with setup; {spec.rounds - 1} rounds by turns follow"
            )
            yardsticks = []
            for label in ("plain",) if options.quick else ("plain", "untuned"):
                config = plain_config(home, name, spec, tuned=label == "plain")
                yardsticks.append((label, Program("benchmarks.plain", config, environ=ONE_THREAD)))
            with started(yardsticks) as others:
                for other in others.values():
                    other.next_line()
                found = take_turns({"foedus": ours, **others}, spec.rounds - 1, options.say)
    return _lines(found)


def _lines(found: Rounds) -> list[Line]:
    seconds = {name: [float(line["seconds"]) for line in lines] for name, lines in found.items()}
    ratios = [ours / plain for ours, plain in zip(seconds["foedus"], seconds["plain"], strict=True)]
    outcomes = sorted({str(line["outcome"]) for line in found["foedus"]})
    spread = f"rounds {min(ratios):.3f} to {max(ratios):.3f}; all {'/'.join(outcomes)}"
    chain = median([float(line["chain"]) for line in found["foedus"]])
    store = median([float(line["store"]) for line in found["foedus"]])
    lines = [
        Line("big: round with everything on ÷ plain program", median(ratios), "×", at_most(1.10), spread),
        Line("big: round with everything on", median(seconds["foedus"]), "s"),
        Line("big: of which chain", chain, "s"),
        Line("big: of which store, in the driver", store, "s"),
        Line("big: plain program", median(seconds["plain"]), "s"),
    ]
    if "untuned" in seconds:
        untuned = [slow / plain for slow, plain in zip(seconds["untuned"], seconds["plain"], strict=True)]
        lines.append(Line("big: plain program untuned ÷ tuned", median(untuned), "×"))
    return lines
