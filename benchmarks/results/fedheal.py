"""`fedheal`: FedHEAL against FedAvg on two domains, MNIST and USPS: is the worse served domain served better?

After the set-up of Chen, Huang and Ye (2024) for digits, made small: five clients per domain with 1 % of its
training images each, a small CNN instead of a ResNet, fewer epochs and rounds.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from benchmarks.programs import ROOT
from benchmarks.result import CannotRun, Line, Options, at_least, at_most
from benchmarks.results.data import digits, pick
from benchmarks.results.report import Result, Row
from benchmarks.results.simulation import Clients, Federation, Setting
from foedus.core.canonical import derive_seed
from foedus.core.ids import ClientId
from foedus.learn.algorithms import get_strategy
from foedus.learn.examples import MNIST_MEAN, MNIST_STD, Examples
from foedus.learn.training import TrainSettings

SEEDS = (1, 2, 3)
ROUNDS, EPOCHS, PER_DOMAIN, SHARE = 30, 5, 5, 0.01
RIVALS = ("fedavg", "fedheal")

Domains: TypeAlias = Mapping[str, tuple[Examples, Examples]]
"""Training and test examples by domain."""


def run(options: Options) -> Result:
    """Run both algorithms with three seeds."""
    rounds, epochs, seeds = (2, 1, SEEDS[:1]) if options.quick else (ROUNDS, EPOCHS, SEEDS)
    mnist = digits(options)
    domains = {"MNIST": (mnist.train, mnist.test), "USPS": usps(options)}
    setting = {seed: Setting(seed, TrainSettings(epochs, 64, 0.01, 0.9, 1e-5)) for seed in seeds}
    rows: list[Row] = []
    for seed in seeds:
        clients = _spread(domains, seed)
        for name in RIVALS:
            federation = Federation(small_cnn(seed), get_strategy(name), clients, setting[seed])
            for _ in federation.rounds(rounds):
                pass
            scores = {domain: federation.evaluate(test, 10).accuracy for domain, (_, test) in domains.items()}
            values = list(scores.values())
            rows.append(
                {
                    "algorithm": name,
                    "seed": seed,
                    **scores,
                    "worst": min(values),
                    "std": float(np.std(values)),
                }
            )
            options.say(f"{name}, seed {seed}: {scores}")
    return Result(
        "fedheal",
        "FedHEAL against FedAvg on two domains: test accuracy per domain",
        f"{mnist.source}; USPS, 7,291 and 2,007, enlarged from 16 × 16",
        {
            "clients": f"{PER_DOMAIN} per domain, {SHARE:.0%} of its images each, all in every round",
            "model": "conv 8 - pool - conv 16 - pool - linear 10, kernels of 5 × 5",
            "training": f"{epochs} epochs, batches of 64, rate 0.01, momentum 0.9, weight decay 1e-5",
            "rounds": str(rounds),
            "std": "over the two domains",
        },
        rows,
        _targets(rows),
    )


def usps(options: Options) -> tuple[Examples, Examples]:
    """Return USPS, enlarged from 16 × 16 to 28 × 28. Raises `CannotRun` without h5py or the file."""
    try:
        import h5py  # type: ignore[import-untyped]  # noqa: PLC0415 - needed here only
    except ImportError as error:
        raise CannotRun("USPS is read with h5py: pip install h5py") from error
    path = Path(os.environ.get("FOEDUS_SHARED") or ROOT.parent / "shared") / "data" / "usps" / "usps.h5"
    if not path.is_file():
        raise CannotRun("no data/usps/usps.h5 in the folder FOEDUS_SHARED")
    with h5py.File(path, "r") as file:
        parts = [(file[part]["data"][:], file[part]["target"][:]) for part in ("train", "test")]
    train, test = (_enlarged(*part) for part in parts)
    return (train.part(0, 1000), test.part(0, 100)) if options.quick else (train, test)


def _enlarged(pixels: np.ndarray, labels: np.ndarray) -> Examples:
    images = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 16, 16)
    images = nn.functional.interpolate(images, size=(28, 28), mode="bilinear", align_corners=False)
    return Examples((images - MNIST_MEAN) / MNIST_STD, torch.tensor(labels, dtype=torch.int64))


def small_cnn(seed: int) -> nn.Module:
    """Build two small convolutions and a linear layer, with weights drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 8, 5, padding=2),  # (B, 8, 28, 28)
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(8, 16, 5, padding=2),  # (B, 16, 14, 14)
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),  # (B, 16 * 7 * 7)
            nn.Linear(16 * 7 * 7, 10),
        )


def _spread(domains: Domains, seed: int) -> Clients:
    clients: dict[ClientId, Examples] = {}
    for domain, (train, _) in domains.items():
        order = np.random.default_rng(derive_seed(seed, domain)).permutation(len(train))
        size = max(8, round(SHARE * len(train)))
        for number in range(PER_DOMAIN):
            own = order[number * size : (number + 1) * size]
            clients[ClientId(f"{domain.lower()}-{number}")] = pick(train, own)
    return clients


def _targets(rows: Sequence[Row]) -> list[Line]:
    def mean(name: str, column: str) -> float:
        return float(np.mean([float(row[column]) for row in rows if row["algorithm"] == name]))

    old, new = RIVALS
    return [
        Line("worst domain's accuracy, above FedAvg's", mean(new, "worst"), "", at_least(mean(old, "worst"))),
        Line("std over domains, below FedAvg's", mean(new, "std"), "", at_most(mean(old, "std"))),
    ]
