"""`byzantine`: what hostile clients do to FedAvg and to robust rules, on MNIST.

Ten clients with label-skewed data (Dirichlet 0.5), two of them hostile; then the three clients of Kwon, Lee
and Park's Non-IID(1), one of them hostile, where no rule can help: the digits of the hostile client are with
nobody else, and two honest clients with different digits are no more alike than an honest and a hostile one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.result import Line, Options, at_least
from benchmarks.results.data import Digits, digits, spread
from benchmarks.results.report import Result, Row
from benchmarks.results.simulation import Attack, Clients, Federation, Setting
from foedus.core.ids import ClientId
from foedus.learn import attacks
from foedus.learn.algorithms import get_strategy
from foedus.learn.models import build_model
from foedus.learn.robust import MEAN, RobustRule
from foedus.learn.training import TrainSettings
from foedus.learn.weights import Weights

SEEDS = (1, 2, 3)
IMAGES, ROUNDS, WITHIN = 12_000, 20, 0.06
UNDEFENDED, RECOMMENDED, NO_ATTACK = "FedAvg", "clip, mix, trimmed mean", "none"


@dataclass(frozen=True, slots=True)
class Scene:
    """Which clients there are, and how many of them are hostile."""

    title: str
    partition: str
    arguments: Mapping[str, float]
    clients: int
    hostile: int
    attacks: Sequence[str]

    def rules(self) -> dict[str, RobustRule]:
        """Return what is compared, by title."""
        count = self.hostile
        return {
            UNDEFENDED: MEAN,
            "median": RobustRule("median", count),
            "clip, mix, geometric median": RobustRule("geometric-median", count, clip=1.0, mix=True),
            RECOMMENDED: RobustRule("trimmed-mean", count, clip=1.0, mix=True),
        }


def attack_by_name(name: str, hostile: int) -> Attack | None:
    """Return an attack on updates; None for those that are none: no attack, and false labels."""
    known: dict[str, Callable[[Weights, Sequence[Weights], Weights], Weights]] = {
        "sign flip": lambda own, honest, server: attacks.sign_flip(own, server),
        "sign flip × 10": lambda own, honest, server: attacks.sign_flip(own, server, 10),
        "ALIE, z = 1.5": lambda own, honest, server: attacks.alie(honest, hostile, 1.5),
        "IPM, ε = 0.1": lambda own, honest, server: attacks.ipm(honest, server, 0.1),
        "IPM, ε = 10": lambda own, honest, server: attacks.ipm(honest, server, 10),
        "boost × 100": lambda own, honest, server: attacks.boost(own, server, 100),
        "NaN": lambda own, honest, server: attacks.nan(own),
    }
    return known.get(name)


LABEL_FLIP = "false labels"
TEN = Scene(
    "10 clients, 2 hostile",
    "dirichlet",
    {"alpha": 0.5},
    10,
    2,
    (
        NO_ATTACK,
        LABEL_FLIP,
        "sign flip",
        "sign flip × 10",
        "ALIE, z = 1.5",
        "IPM, ε = 0.1",
        "IPM, ε = 10",
        "boost × 100",
        "NaN",
    ),
)
THREE = Scene(
    "3 clients, 1 hostile",
    "noniid-1",
    {},
    3,
    1,
    (NO_ATTACK, "sign flip", "IPM, ε = 10", "boost × 100", "NaN"),
)


def run(options: Options) -> Result:
    """Run every attack against every rule in both scenes."""
    rounds, seeds = (2, SEEDS[:1]) if options.quick else (ROUNDS, SEEDS)
    data = digits(options, "mlp", IMAGES)
    rows: list[Row] = []
    for scene in (TEN, THREE):
        for attack in scene.attacks:
            found = {
                title: _accuracies(scene, attack, rule, data, seeds, rounds)
                for title, rule in scene.rules().items()
            }
            means = {title: float(np.mean(values)) for title, values in found.items()}
            rows.append({"clients": scene.title, "attack": attack, **means})
            options.say(", ".join(f"{key} {value}" for key, value in rows[-1].items()))
    return Result(
        "byzantine",
        "Hostile clients against FedAvg and robust rules, MNIST: final test accuracy",
        data.source,
        {
            "model": "MLP 784-32-10",
            "partition": "10 clients: Dirichlet 0.5; 3 clients: Non-IID(1)",
            "training": "1 epoch, batches of 32, rate 0.1",
            "rounds": str(rounds),
            "seeds": f"mean over {len(seeds)} seeds of initial weights, partition and orders",
            "recommended": f"{RECOMMENDED}: RobustRule('trimmed-mean', byzantine=2, clip=1, mix=True)",
        },
        rows,
        _targets(rows),
    )


def _accuracies(
    scene: Scene, attack: str, rule: RobustRule, data: Digits, seeds: Sequence[int], rounds: int
) -> list[float]:
    return [_accuracy(scene, attack, rule, data, seed, rounds) for seed in seeds]


def _accuracy(scene: Scene, attack: str, rule: RobustRule, data: Digits, seed: int, rounds: int) -> float:
    clients: Clients = spread(data.train, scene.partition, scene.clients, seed, **scene.arguments)
    bad: list[ClientId] = sorted(clients)[: scene.hostile]
    if attack == LABEL_FLIP:
        clients = {c: attacks.label_flip(own, 10) if c in bad else own for c, own in clients.items()}
    hands_over = attack_by_name(attack, scene.hostile)
    hostile = dict.fromkeys(bad, hands_over) if hands_over else {}
    setting = Setting(seed, TrainSettings(1, 32, 0.1), robust=rule, hostile=hostile)
    federation = Federation(build_model("mlp", seed=seed), get_strategy("fedavg"), clients, setting)
    for _ in federation.rounds(rounds):
        pass
    return federation.evaluate(data.test, 10).accuracy


def _targets(rows: Sequence[Row]) -> list[Line]:
    ten = [row for row in rows if row["clients"] == TEN.title]
    (clean,) = (float(row[UNDEFENDED]) for row in ten if row["attack"] == NO_ATTACK)
    return [
        Line(f"{RECOMMENDED}, attack {row['attack']}", float(row[RECOMMENDED]), "", at_least(clean - WITHIN))
        for row in ten
    ]
