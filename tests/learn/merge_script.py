"""Merges made-up updates and prints the hash of the result. Run by a test under several environments."""

import hashlib

import numpy as np

from foedus.learn.aggregation import client_weights, weighted_mean
from foedus.learn.weights import MemorySource, Parts


def main() -> None:
    random = np.random.default_rng(7)
    shapes = {"a": (700, 501), "b": (33,), "bn.running_mean": (9,), "bn.running_var": (9,)}
    clients = [
        {name: random.normal(size=shape).astype(np.float32) ** 2 for name, shape in shapes.items()}
        for _ in range(5)
    ]
    weights = client_weights([13, 700, 64, 1, 350], [10**17 * k for k in range(5)])
    parts = Parts(("a", "b"), float_buffers=("bn.running_mean", "bn.running_var"))
    merged = weighted_mean([MemorySource(c) for c in clients], weights, clients[0], parts, "pooled")
    print(hashlib.sha256(b"".join(merged[name].tobytes() for name in sorted(merged))).hexdigest())


if __name__ == "__main__":
    main()
