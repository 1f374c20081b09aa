"""`crowd`: a round of 1,000 simulated clients with everything on, and what share of it the chain takes."""

from pathlib import Path

from benchmarks.homes import new_run, task_seconds, temporary_home
from benchmarks.programs import Program, started
from benchmarks.result import CannotRun, Line, Options, at_most, median
from foedus.rounds.spec import RunSpec, parse_spec

ROUNDS = 12  # the first is dropped
PER_CLIENT = 25  # examples, of which 20 are to train on


def run(options: Options) -> list[Line]:
    """Drive the federation and divide the time of its rounds."""
    if options.mnist is None and not options.quick:
        raise CannotRun("needs the four idx files of MNIST: set FOEDUS_SHARED")
    clients = 60 if options.quick else 1000
    spec = crowd_spec(clients, 3 if options.quick else ROUNDS, options.mnist)
    with temporary_home(options) as home:
        name = new_run(home, spec)
        program = Program("benchmarks.drive", str(home.root), name)
        with started([("foedus", program)]):
            rounds = [program.next_line() for _ in range(spec.rounds)][1:]
        tasks = [task_seconds(home, name, int(str(line["round"]))) for line in rounds]
    seconds = median([float(line["seconds"]) for line in rounds])
    share = median([100 * float(line["chain"]) / float(line["seconds"]) for line in rounds])
    return [
        Line(f"crowd: round of {clients} clients, everything on", seconds, "s"),
        Line("crowd: share of the chain", share, "%", at_most(20)),
        Line("crowd: train task", median([one["train"][0] for one in tasks]), "s", note="with its scores"),
        Line("crowd: aggregate task", median([one["aggregate"][0] for one in tasks]), "s"),
        Line("crowd: putting into the store", median([float(line["store"]) for line in rounds]), "s"),
    ]


def crowd_spec(clients: int, rounds: int, folder: Path | None) -> RunSpec:
    """One host, an MLP 784-32-10, one step a client."""
    source = {"source": "folder", "folder": str(folder)} if folder else {"source": "small"}
    return parse_spec(
        {
            "name": "crowd",
            "rounds": rounds,
            "model": {"name": "mlp"},
            "data": {**source, "images": clients * PER_CLIENT + 750, "test": 500, "shared": 250},
            "partition": {"kind": "iid", "clients": clients},
            "algorithm": {"name": "fedavg"},
            "training": {"batch_size": PER_CLIENT, "learning_rate": 0.1},
            "policy": {"beta": -1.0, "epsilon": 1.0},
            "jobs": {"launcher": "batched"},
        }
    )
