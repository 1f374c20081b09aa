"""Combines made-up updates by every rule and prints the hashes. Run by a test under several environments."""

import hashlib

import numpy as np
from robust_tools import ALL

from foedus.learn.robust import combine
from foedus.learn.vectors import Difference
from foedus.learn.weights import MemorySource


def main() -> None:
    random = np.random.default_rng(7)
    shapes = {"a": (150, 101), "b": (33,), "bn.running_mean": (9,)}
    server = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    clients = [
        {name: value + random.normal(size=value.shape).astype(np.float32) for name, value in server.items()}
        for _ in range(7)
    ]
    clients[3] = {name: 50 * value for name, value in clients[3].items()}
    for client in clients[::2]:
        client["b"][:9] = server["b"][:9] * np.float32(-0.0)  # zeros of both signs
    vectors = [Difference(MemorySource(client), server) for client in clients]
    sizes = {name: value.size for name, value in server.items()}
    for rule in ALL:
        found = combine(vectors, [13.0, 700.0, 64.0, 1.0, 350.0, 2.0, 9.0], sizes, ["a", "b"], rule)
        print(hashlib.sha256(b"".join(found[name].tobytes() for name in sorted(found))).hexdigest())


if __name__ == "__main__":
    main()
