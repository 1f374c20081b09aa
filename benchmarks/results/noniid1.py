"""`noniid1`: three clients with digits {0,6,8,9}, {1,4,7}, {2,3,5}, all of MNIST, model `cnn`, 100 rounds.

Kwon, Lee and Park (2025) report 0.6624 for FedProx after 100 rounds of this split, Non-IID(1).

Why FedAvgM with few local steps does better: whoever trains on three digits forgets the others, the more so
the more steps it makes between two exchanges, and the mean of three forgetful models is good at little. One
epoch of large batches is twenty steps instead of hundreds, so the models stay near each other, and their
mean is close to a step along the gradient of everybody's data. Momentum at the server makes up for the
small number of steps, and averages out what is left of the clients' pulling to and fro.
"""

from benchmarks.result import Line, Options, at_least
from benchmarks.results.data import digits, spread
from benchmarks.results.report import Result, Row
from benchmarks.results.simulation import Federation, Setting
from foedus.learn.algorithms import get_strategy
from foedus.learn.models import build_model
from foedus.learn.training import TrainSettings

SEED, ROUNDS, GOAL, IN_A_ROW = 1, 100, 0.97, 5
RIVALS = (
    ("fedavgm", {"server_lr": 1.0, "server_momentum": 0.9}, TrainSettings(1, 1000, 0.05)),
    ("fedsgd", {"server_lr": 0.1, "server_momentum": 0.9, "batch": 600}, TrainSettings(1, 600)),
)


def run(options: Options) -> Result:
    """Run each algorithm until it stays at the goal for five rounds, at most 100."""
    data = digits(options, "cnn")
    rows: list[Row] = []
    curves: dict[str, list[float]] = {}
    for name, params, training in RIVALS:
        clients = spread(data.train, "noniid-1", 3, SEED)
        federation = Federation(
            build_model("cnn", seed=SEED), get_strategy(name, params), clients, Setting(SEED, training)
        )
        curve: list[float] = []
        for _ in federation.rounds(1 if options.quick else ROUNDS):
            curve.append(federation.evaluate(data.test, 10).accuracy)
            options.say(f"{name}, round {len(curve)}: {curve[-1]:.4f}")
            if len(curve) >= IN_A_ROW and min(curve[-IN_A_ROW:]) >= GOAL:
                break
        curves[name] = curve
        rows.append(
            {
                "algorithm": name,
                "settings": ", ".join(f"{key} {value:g}" for key, value in params.items()),
                "local steps": 1 if name == "fedsgd" else f"{len(data.train) // 3 // training.batch_size}",
                "rounds": len(curve),
                "first at 0.97": next((n for n, value in enumerate(curve, 1) if value >= GOAL), "never"),
                "final accuracy": curve[-1],
            }
        )
    return Result(
        "noniid1",
        "Non-IID(1) of Kwon, Lee and Park: test accuracy (their FedProx: 0.6624)",
        data.source,
        {
            "clients": "3 with digits {0,6,8,9}, {1,4,7}, {2,3,5}, all in every round",
            "model": "cnn (421,642 parameters), PyTorch's default initial weights",
            "fedavgm": "1 epoch, batches of 1,000, rate 0.05",
            "rounds": f"until {GOAL} was kept for {IN_A_ROW} rounds, at most {ROUNDS}",
            "seed": str(SEED),
        },
        rows,
        [Line("FedAvgM: final test accuracy within 100 rounds", curves["fedavgm"][-1], "", at_least(GOAL))],
        curves,
    )
