"""`fedma_oneshot`: one merge of models trained from different initial weights, FedMA against FedAvg.

Five clients with label-skewed MNIST train an MLP 784-100-100-10 each, from weights of their own. Averaged
place by place their models are useless; matched, they are not. With training between layers FedMA's clients
train longer than the others, so the fair comparison is the one without.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from benchmarks.result import Line, Options, at_least
from benchmarks.results.data import Digits, digits, spread
from benchmarks.results.report import Result, Row
from benchmarks.results.simulation import Clients, Federation, Setting
from foedus.learn.algorithms import get_strategy
from foedus.learn.arguments import Argument
from foedus.learn.evaluation import evaluate
from foedus.learn.examples import Examples
from foedus.learn.models import build_model
from foedus.learn.state import load_weights, parts_of
from foedus.learn.strategy import MergeRules, ServerState, Turn, Update
from foedus.learn.training import TrainSettings
from foedus.learn.weights import MemorySource, Weights

SEEDS = (1, 2, 3)
IMAGES, CLIENTS, EPOCHS = 20_000, 5, 10
TRAINING = TrainSettings(EPOCHS, 64, 0.01, 0.9)
GAMMAS = (7.0, 1e-3)
ENSEMBLE, FEDAVG = "ensemble of the five", "FedAvg"


def run(options: Options) -> Result:
    """Train the clients once per seed, and merge their models in every way."""
    seeds, epochs = (SEEDS[:1], 1) if options.quick else (SEEDS, EPOCHS)
    data = digits(options, "mlp", IMAGES)
    rows: list[Row] = []
    for seed in seeds:
        clients = spread(data.train, "dirichlet", CLIENTS, seed, alpha=0.5)
        rows += [
            {"merge": name, "seed": seed, **found}
            for name, found in _one(data, clients, seed, epochs).items()
        ]
        options.say(f"seed {seed} done")
    return Result(
        "fedma_oneshot",
        "One merge of five models with different initial weights: test accuracy",
        data.source,
        {
            "clients": "5, Dirichlet 0.5",
            "model": "MLP 784-100-100-10, other initial weights for each client",
            "training": f"{epochs} epochs, batches of 64, rate 0.01, momentum 0.9",
            "FedMA": 'growth = "bbp", label_weights = true',
            "with training between": f"{epochs} epochs after each layer, {3 * epochs} for the last",
        },
        rows,
        _targets(rows),
    )


def _one(data: Digits, clients: Clients, seed: int, epochs: int) -> dict[str, Row]:
    model, settings = build_mlp(seed), TrainSettings(epochs, 64, 0.01, 0.9)
    start = ServerState({name: tensor.numpy().copy() for name, tensor in model.state_dict().items()})
    local = get_strategy("fedma", {"exchange": "model", "label_weights": True})
    results = {
        c: local.train(model, start, own, settings, Turn(c, seed)) for c, own in sorted(clients.items())
    }
    models = [result.weights for result in results.values()]
    found: dict[str, Row] = {
        "best single client": _row(max(_accuracy(weights, data.test) for weights in models)),
        ENSEMBLE: _row(_ensemble(models, data.test)),
    }
    plain = [Update(client, MemorySource(one.weights), one.num_examples) for client, one in results.items()]
    rules = MergeRules(parts_of(build_mlp(seed)), model=build_mlp(seed))
    merged = get_strategy("fedavg").aggregate(start, plain, rules).weights
    found[FEDAVG] = _row(_accuracy(merged, data.test))
    updates = [
        Update(client, MemorySource(one.handed_over), one.num_examples) for client, one in results.items()
    ]
    for gamma in GAMMAS:
        params: dict[str, Argument] = {"growth": "bbp", "gamma": gamma, "label_weights": True}
        matched = (
            get_strategy("fedma", {**params, "exchange": "model"}).aggregate(start, updates, rules).weights
        )
        found[_title(gamma)] = _row(_accuracy(matched, data.test), matched)
        strategy = get_strategy("fedma", {**params, "retrain_epochs": epochs})
        federation = Federation(build_mlp(seed), strategy, clients, Setting(seed, settings, cap_ratio=1e9))
        federation.round()
        between = federation.state.weights
        found[_title(gamma, True)] = _row(_accuracy(between, data.test), between)
    return found


def build_mlp(seed: int) -> nn.Module:
    """Build the clients' model."""
    return build_model("mlp", {"hidden": [100, 100]}, seed)


def _title(gamma: float, trains_between: bool = False) -> str:
    return f"FedMA γ = {gamma:g}" + (", training between" if trains_between else "")


def _row(accuracy: float, weights: Weights | None = None) -> Row:
    widths = (
        [] if weights is None else [len(weights[name]) for name in sorted(weights) if name.endswith("bias")]
    )
    return {"test accuracy": accuracy, "widths": "/".join(map(str, widths[:-1])) or "100/100"}


def _accuracy(weights: Weights, test: Examples) -> float:
    model = build_model("mlp", {"hidden": _widths(weights)})
    load_weights(model, weights)
    return evaluate(model, test, 10, 1000).accuracy


def _widths(weights: Weights) -> list[int]:
    return [len(weights[name]) for name in sorted(weights) if name.endswith("bias")][:-1]


@torch.inference_mode()
def _ensemble(models: Sequence[Weights], test: Examples) -> float:
    """Return the accuracy of the mean of all models' probabilities."""
    total = torch.zeros(len(test), 10)
    for weights in models:
        model = build_model("mlp", {"hidden": _widths(weights)})
        load_weights(model, weights)
        total += model(test.inputs).softmax(1)
    return float((total.argmax(1) == test.targets).float().mean())


def _targets(rows: Sequence[Row]) -> list[Line]:
    def mean(name: str) -> float:
        return float(np.mean([float(row["test accuracy"]) for row in rows if row["merge"] == name]))

    one_shot, between = _title(GAMMAS[0]), _title(GAMMAS[0], True)
    return [
        Line(f"mean of {one_shot}", mean(one_shot), "", at_least(0.746)),
        Line(f"mean of {one_shot}, above FedAvg's", mean(one_shot), "", at_least(mean(FEDAVG))),
        Line(f"mean of {between}", mean(between), "", at_least(0.9)),
    ]
