"""`mcmahan`: how many rounds FedAvg takes to 97 % on MNIST with the 2NN, IID, as in McMahan et al. (2017).

Their Table 1: K = 100 clients of 600 images, E = 1, B = 10, C = 0.1: 87 rounds. The learning rate is one of
those of a small grid, as theirs was; a round counts as reached when the test accuracy first is 0.97. One run
with pixels from 0 to 1 shows how much comes from standardised ones, which are about three times as large.
"""

import dataclasses

from benchmarks.result import Line, Options, at_most
from benchmarks.results.data import digits, pixels, spread
from benchmarks.results.report import Result, Row
from benchmarks.results.simulation import Federation, Setting
from foedus.learn.algorithms import get_strategy
from foedus.learn.models import build_model
from foedus.learn.training import TrainSettings

RATES = (0.05, 0.1, 0.215)
SEEDS = (1, 2, 3)
CLIENTS, MOST_ROUNDS, GOAL = 100, 150, 0.97


def run(options: Options) -> Result:
    """Run every learning rate with the first seed, and 0.1 with all."""
    rounds, clients = (2, 10) if options.quick else (MOST_ROUNDS, CLIENTS)
    data = digits(options)
    setting = Setting(SEEDS[0], TrainSettings(1, 10, 0.1), fraction=0.1)
    rows: list[Row] = []
    curves: dict[str, list[float]] = {}
    runs = [*((rate, SEEDS[0], True) for rate in RATES), *((0.1, seed, True) for seed in SEEDS[1:])]
    for rate, seed, is_standardised in [*runs, (0.1, SEEDS[0], False)]:
        train, test = (data.train, data.test) if is_standardised else (pixels(data.train), pixels(data.test))
        private = spread(train, "iid", clients, seed)
        training = dataclasses.replace(setting.training, learning_rate=rate)
        one = dataclasses.replace(setting, seed=seed, training=training)
        federation = Federation(build_model("2nn", seed=seed), get_strategy("fedavg"), private, one)
        curve: list[float] = []
        for _ in federation.rounds(rounds):
            curve.append(federation.evaluate(test, 10).accuracy)
            if curve[-1] >= GOAL:
                break
        inputs = "standardised" if is_standardised else "0 to 1"
        rows.append(
            {
                "learning rate": f"{rate:g}",
                "inputs": inputs,
                "seed": seed,
                "rounds": len(curve),
                "test accuracy": curve[-1],
            }
        )
        curves[f"rate {rate:g}, {inputs}, seed {seed}"] = curve
        options.say(f"rate {rate:g}, {inputs}, seed {seed}: {curve[-1]:.4f} in round {len(curve)}")
    slowest = max(
        len(curve) if curve[-1] >= GOAL else MOST_ROUNDS + 1
        for name, curve in curves.items()
        if name.startswith("rate 0.1, st")
    )
    return Result(
        "mcmahan",
        "FedAvg on MNIST, 2NN, IID: rounds to 97 % test accuracy",
        data.source,
        {
            "clients": f"{clients}, a tenth of them per round",
            "training": "1 epoch, batches of 10, plain SGD",
            "seeds": "of initial weights, partition, drawing and orders alike",
        },
        rows,
        [Line("rounds to 97 %, learning rate 0.1, slowest of three seeds", slowest, "", at_most(110))],
        curves,
    )
