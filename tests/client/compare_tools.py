"""Comparisons made up for tests: any labels, any seeds, figures that can be checked by hand."""

import math
from pathlib import Path

from foedus.client.compare import Comparison, RoundResult, RunResult
from foedus.client.compare.collecting import differences
from foedus.client.compare.summing import curves_of, entry_result
from foedus.learn.score_words import LABELS

HOSTILE = """</script><img src=x onerror=alert(1)>"'&{{7*7}}$x^{"""
COMPARE = """
name = "tiny"
rounds = 2
seeds = [1, 2]
target = 0.4
[model]
name = "2nn"
[data]
source = "small"
images = 300
test = 60
shared = 60
[partition]
kind = "iid"
clients = 2
[training]
learning_rate = 0.1
batch_size = 16
[policy]
beta = -0.5
epsilon = 0.5
[[compare]]
label = "FedAvg"
algorithm = { name = "fedavg" }
[[compare]]
label = "FedProx µ=0.1"
algorithm = { name = "fedprox", params = { mu = 0.1 } }
training = { epochs = 2 }
"""


def write_compare(folder: Path, text: str = COMPARE) -> Path:
    """Write the spec of a comparison and return its path."""
    path = folder / "compare.toml"
    path.write_text(text, encoding="utf-8")
    return path


def a_round(
    number: int, accuracy: float | None, outcome: str = "accepted", sent: int | None = 600
) -> RoundResult:
    """A round whose F1 is half the accuracy, and whose loss is 1 − accuracy."""
    f1, loss = (None, None) if accuracy is None else (accuracy / 2, 1 - accuracy)
    return RoundResult(number, outcome, accuracy, f1, loss, 2, 1.5, sent)


def a_run(label: str, seed: int, accuracies: list[float | None], **changes: object) -> RunResult:
    """A completed run of three clients."""
    rounds = tuple(a_round(number, value) for number, value in enumerate(accuracies, start=1))
    values: dict[str, object] = {
        "run": f"demo-{seed}",
        "state": "completed",
        "rounds": rounds,
        "turns": 3 * len(rounds),
        "seconds": 10 * seed,
        "data": "d",
        "weights": "w",
    }
    return RunResult(label, seed, **(values | changes))  # type: ignore[arg-type]


def made_up(
    labels: tuple[str, ...] = ("FedAvg", "FedProx µ=0.1"),
    seeds: tuple[int, ...] = (1, 2, 3),
    rounds: int = 12,
    target: float | None = 0.5,
    text: str = "",
) -> Comparison:
    """A comparison in which each entry is better than the one before, and seeds differ a little."""
    runs = [
        a_run(label, seed, [_accuracy(place, seed, number) for number in range(1, rounds + 1)])
        for seed in seeds
        for place, label in enumerate(labels)
    ]
    return summed(runs, labels, seeds, rounds, target, text)


def summed(
    runs: list[RunResult],
    labels: tuple[str, ...],
    seeds: tuple[int, ...],
    rounds: int,
    target: float | None = None,
    text: str = "",
) -> Comparison:
    """Sum runs up as the collector does."""
    by_label = {label: [run for run in runs if run.label == label] for label in labels}
    return Comparison(
        name="demo",
        folder=Path("home/comparisons/demo"),
        rounds=rounds,
        seeds=seeds,
        target=target,
        runs=tuple(runs),
        entries=tuple(entry_result(label, found, target) for label, found in by_label.items()),
        accuracy=curves_of(by_label, lambda one: one.accuracy),
        f1=curves_of(by_label, lambda one: one.f1),
        loss=curves_of(by_label, lambda one: one.loss),
        differences=tuple(differences(runs)),
        common={"rounds": str(rounds), "data.folder": text or "–"},
        own={"algorithm.name": tuple(text or label for label in labels)},
        words=LABELS,
    )


def _accuracy(place: int, seed: int, number: int) -> float:
    rate = 0.05 * (place + 1)
    return (1 - math.exp(-rate * number)) * 0.95 + 0.02 * math.sin(seed * number)
