"""`prox_synthetic`: FedProx and stragglers on synthetic(1, 1), as in Li et al. (2020), figure 1.

30 devices, 10 per round, logistic regression from zeros, E = 20. In each round 90 % of the drawn devices are
stragglers: they make 1 to 19 epochs. FedAvg drops them, FedProx keeps what they did. Compared by training
loss, as the paper does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from benchmarks.result import Line, Options, at_most
from benchmarks.results.report import Result, Row
from benchmarks.results.simulation import EpochsOf, Federation, Setting
from foedus.core.canonical import derive_seed
from foedus.core.ids import ClientId
from foedus.learn.algorithms import get_strategy
from foedus.learn.evaluation import evaluate
from foedus.learn.examples import Examples
from foedus.learn.synthetic import FEATURES, LABELS, Device, synthetic
from foedus.learn.training import TrainSettings

DATA_SEED, SEEDS = 7, (1, 2, 3)
ROUNDS, EPOCHS, STRAGGLERS = 80, 20, 0.9


@dataclass(frozen=True, slots=True)
class Rival:
    """One way to train: FedProx's µ, the share of stragglers, and whether they are dropped."""

    name: str
    mu: float
    stragglers: float = STRAGGLERS
    drops: bool = False


FEDAVG = Rival("FedAvg, stragglers dropped", 0.0, drops=True)
PARTIAL, PROXIMAL = Rival("FedProx µ = 0", 0.0), Rival("FedProx µ = 1", 1.0)
RIVALS = (FEDAVG, PARTIAL, PROXIMAL)
REFERENCES = (  # with the first seed only
    Rival("FedAvg, no stragglers", 0.0, 0.0),
    Rival("FedProx µ = 1, no stragglers", 1.0, 0.0),
)


def run(options: Options) -> Result:
    """Run all rivals with the same devices, draws and stragglers."""
    rounds, epochs, seeds = (2, 2, SEEDS[:1]) if options.quick else (ROUNDS, EPOCHS, SEEDS)
    devices = synthetic(1, 1, 30, DATA_SEED)
    rows: list[Row] = []
    curves: dict[str, list[float]] = {}
    losses: dict[str, list[float]] = {rival.name: [] for rival in (*RIVALS, *REFERENCES)}
    for seed in seeds:
        for rival in RIVALS if seed != seeds[0] else (*RIVALS, *REFERENCES):
            setting = Setting(
                seed,
                TrainSettings(epochs, 10, 0.01),
                fraction=0.334,
                cap_ratio=1e9,
                epochs_of=_straggling(seed, epochs, rival.stragglers),
                drops_stragglers=rival.drops,
            )
            row, curve = _one(devices, rival.mu, setting, rounds)
            rows.append({"algorithm": rival.name, "seed": seed, **row})
            curves[f"{rival.name}, seed {seed}"] = curve
            losses[rival.name].append(curve[-1])
            options.say(f"{rival.name}, seed {seed}: {curve[-1]:.3f}")
    return Result(
        "prox_synthetic",
        "FedProx with 90 % stragglers on synthetic(1, 1): training loss",
        f"30 devices drawn from RandomState({DATA_SEED}), {sum(len(d.train) for d in devices):,} examples",
        {"training": "20 epochs, batches of 10, rate 0.01", "rounds": f"{rounds}, 10 devices each"},
        rows,
        _targets(losses),
        curves,
        "training loss",
    )


def _one(devices: Sequence[Device], mu: float, setting: Setting, rounds: int) -> tuple[Row, list[float]]:
    model = nn.Sequential(nn.Flatten(), nn.Linear(FEATURES, LABELS))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    clients = {ClientId(f"d{number:02}"): device.train for number, device in enumerate(devices)}
    federation = Federation(model, get_strategy("fedprox", {"mu": mu}), clients, setting)
    train = _union([device.train for device in devices])
    curve = [federation.evaluate(train, LABELS).loss for _ in federation.rounds(rounds)]
    test = evaluate(federation.model, _union([device.test for device in devices]), LABELS)
    row = {"final loss": curve[-1], "highest loss": max(curve), "test accuracy": test.accuracy}
    return row, curve


def _straggling(seed: int, epochs: int, share: float) -> EpochsOf:
    """Let a share of the drawn devices, at random, make only 1 to E − 1 epochs."""

    def epochs_of(number: int, drawn: Sequence[ClientId]) -> Mapping[ClientId, int]:
        random = np.random.default_rng(derive_seed(seed, "stragglers", number))
        fast = set(random.permutation(len(drawn))[: round(len(drawn) * (1 - share))].tolist())
        partial = random.integers(1, epochs, len(drawn))
        return {
            client: epochs if index in fast else int(partial[index]) for index, client in enumerate(drawn)
        }

    return epochs_of


def _targets(losses: Mapping[str, Sequence[float]]) -> list[Line]:
    means = {name: float(np.mean(found)) for name, found in losses.items()}
    return [
        Line(
            f"mean final loss of {rival.name}, not above that of {other.name}",
            means[rival.name],
            "",
            at_most(means[other.name]),
        )
        for rival, other in ((PROXIMAL, PARTIAL), (PARTIAL, FEDAVG))
    ]


def _union(parts: Sequence[Examples]) -> Examples:
    return Examples(torch.cat([part.inputs for part in parts]), torch.cat([part.targets for part in parts]))
