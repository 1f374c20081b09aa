"""The yardstick: the same federation as a plain PyTorch program that knows nothing of Foedus.

`python -m benchmarks.plain CONFIG` (JSON, see `Config`) keeps one process per client; they exchange weights
over pipes, and the mean is taken in float64. In each round a client does what Foedus has it do: score the
base on the shared set; train with the proximal term; score the result on its validation and the shared set;
score the others' results on the shared set and the mean on its validation set; one client scores the mean
on the test set. There is no gate, no chain, no store and no vote. `tuned` sets the same allocator thresholds
and memory order as Foedus does.

One JSON line per round; each round after the first begins when a line arrives on standard input.
"""

import ctypes
import gzip
import json
import multiprocessing
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from torch import nn

LABELS = 10
MALLOPT = ((-1, 1 << 30), (-2, 1 << 26), (-3, 1 << 25))  # trim threshold, top pad, mmap threshold
Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Config:
    """How much of everything. Without a folder of MNIST files the images are noise, which costs the same."""

    rounds: int
    clients: int
    train: int  # examples per client
    val: int  # likewise
    shared: int
    test: int
    folder: str | None = None
    batch_size: int = 64
    learning_rate: float = 0.01
    mu: float = 0.1
    tuned: bool = True


@dataclass
class Examples:
    """Normalised images and labels."""

    inputs: torch.Tensor  # (N, 1, 28, 28)
    targets: torch.Tensor  # (N,)


def build_model() -> nn.Module:
    """Build the CNN of 421,642 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 128),
        nn.ReLU(),
        nn.Linear(128, LABELS),
    )


def load(config: Config, part: str, start: int, count: int) -> Examples:
    """Take some examples of `train` or `t10k`."""
    if config.folder is None:
        random = np.random.default_rng(start)
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = random.integers(0, LABELS, count)
    else:
        images = _idx(Path(config.folder), f"{part}-images-idx3-ubyte", 16).reshape(-1, 28, 28)
        images = images[start : start + count]
        labels = _idx(Path(config.folder), f"{part}-labels-idx1-ubyte", 8)[start : start + count]
    inputs = torch.tensor(images, dtype=torch.float32).div_(255).sub_(0.1307).div_(0.3081)
    return Examples(inputs[:, None], torch.tensor(labels, dtype=torch.int64))


def _idx(folder: Path, name: str, header: int) -> np.ndarray:
    plain = folder / name
    data = plain.read_bytes() if plain.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
    return np.frombuffer(data, np.uint8, offset=header)


class Client:
    """One client: its data, its model, its training."""

    def __init__(self, config: Config, number: int) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        if config.tuned:
            for parameter, value in MALLOPT:
                ctypes.CDLL(None).mallopt(parameter, value)
        self.config, self.model = config, build_model()
        if config.tuned:
            self.model.to(memory_format=torch.channels_last)
        start = config.shared + number * (config.train + config.val)
        self.train_set = load(config, "train", start, config.train)
        self.val = load(config, "train", start + config.train, config.val)
        self.shared = load(config, "train", 0, config.shared)
        self.test = load(config, "t10k", 0, config.test)
        self.generator = torch.Generator().manual_seed(number)

    def train(self) -> None:
        """Train one epoch, pulled towards where it began."""
        parameters = list(self.model.parameters())
        base = [parameter.detach().clone() for parameter in parameters]
        rows = self._rows(self.train_set)
        self.model.train()
        total = torch.zeros((), dtype=torch.float64)
        for picked in torch.randperm(len(rows), generator=self.generator).split(self.config.batch_size):
            self.model.zero_grad(set_to_none=True)
            targets = self.train_set.targets.index_select(0, picked)
            loss = nn.functional.cross_entropy(self.model(self._batch(rows, picked)), targets)
            loss.backward()
            total += loss.detach() * len(picked)
            with torch.no_grad():
                gradients = [parameter.grad for parameter in parameters]
                torch._foreach_add_(gradients, torch._foreach_sub(parameters, base), alpha=self.config.mu)
                torch._foreach_add_(parameters, gradients, alpha=-self.config.learning_rate)

    @torch.inference_mode()
    def score(self, data: Examples) -> tuple[float, float]:
        """Return macro F1 and accuracy."""
        self.model.eval()
        rows, losses, predicted = self._rows(data), [], []
        for picked in torch.arange(len(rows)).split(256):
            outputs = self.model(self._batch(rows, picked))
            losses.append(nn.functional.cross_entropy(outputs, data.targets[picked], reduction="none"))
            predicted.append(outputs.argmax(1))
        pairs = data.targets * LABELS + torch.cat(predicted)
        counts = torch.bincount(pairs, minlength=LABELS**2).reshape(LABELS, LABELS).double()
        f1 = 2 * counts.diag() / (counts.sum(0) + counts.sum(1)).clamp(min=1)
        return float(f1.mean()), float(counts.trace() / counts.sum())

    def get(self) -> Arrays:
        """Copy the weights out."""
        return [tensor.detach().contiguous().numpy().copy() for tensor in self.model.state_dict().values()]

    def put(self, weights: Arrays) -> None:
        """Copy weights in."""
        with torch.no_grad():
            for tensor, array in zip(self.model.state_dict().values(), weights, strict=True):
                tensor.copy_(torch.tensor(array))

    def _rows(self, data: Examples) -> torch.Tensor:
        return data.inputs.permute(0, 2, 3, 1).contiguous() if self.config.tuned else data.inputs

    def _batch(self, rows: torch.Tensor, picked: torch.Tensor) -> torch.Tensor:
        batch = rows.index_select(0, picked)
        return batch.permute(0, 3, 1, 2) if self.config.tuned else batch


def serve(config: Config, number: int, pipe: Connection) -> None:
    """Be a client until the server closes the pipe."""
    client = Client(config, number)
    pipe.send(client.get())
    while (base := pipe.recv()) is not None:
        client.put(base)
        client.score(client.shared)
        client.train()
        scores = [client.score(client.val), client.score(client.shared)]
        pipe.send(client.get())
        others, mean, is_tester = pipe.recv()
        for weights in others:
            client.put(weights)
            scores.append(client.score(client.shared))
        client.put(mean)
        scores.append(client.score(client.val))
        pipe.send((scores, client.score(client.test) if is_tester else None))


def one_round(config: Config, pipes: list[Connection], base: Arrays, tester: int) -> tuple[Arrays, float]:
    """Play the server for one round; return the mean and its accuracy on the test set."""
    for pipe in pipes:
        pipe.send(base)
    updates = [pipe.recv() for pipe in pipes]
    sums = [np.zeros(array.shape) for array in base]
    for update in updates:
        for total, array in zip(sums, update, strict=True):
            total += array.astype(np.float64) * config.train
    mean = [(total / (config.train * len(pipes))).astype(np.float32) for total in sums]
    for number, pipe in enumerate(pipes):
        others = [update for owner, update in enumerate(updates) if owner != number]
        pipe.send((others, mean, number == tester))
    tests = [pipe.recv()[1] for pipe in pipes]
    return mean, tests[tester][1]


def main(argument: str) -> None:
    """Start the clients and play the server."""
    config = Config(**json.loads(argument))
    context = multiprocessing.get_context("fork")
    pipes: list[Connection] = []
    for number in range(config.clients):
        ours, theirs = context.Pipe()
        context.Process(target=serve, args=(config, number, theirs), daemon=True).start()
        theirs.close()
        pipes.append(ours)
    base, *_ = [pipe.recv() for pipe in pipes]  # all are the same: same seed
    for number in range(1, config.rounds + 1):
        began = time.perf_counter()
        base, accuracy = one_round(config, pipes, base, number % config.clients)
        seconds = time.perf_counter() - began
        print(json.dumps({"round": number, "seconds": seconds, "accuracy": accuracy}), flush=True)
        if number < config.rounds and not sys.stdin.readline():
            break  # nobody waits for the next round any more
    for pipe in pipes:
        pipe.send(None)


if __name__ == "__main__":
    main(sys.argv[1])
