"""Small models and data whose training can be computed by hand."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from foedus.core.errors import UpdateRefused
from foedus.learn.algorithms import get_strategy
from foedus.learn.examples import Examples
from foedus.learn.strategy import MergeRules, ServerState, Update
from foedus.learn.updates import check_update
from foedus.learn.weights import MemorySource, Parts, Specs, Weights, specs_of
from shared import SHARED, case_file, missing

VECTOR = Parts(trainable=("w",))


class Point(nn.Module):
    """One number w; its 'prediction' for every example is w."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([w], dtype=torch.float64))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.w.expand(len(inputs))


def quadratic(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """a/2 (w - c)², targets holding (a, c)."""
    return (targets[:, 0] / 2 * (outputs - targets[:, 1]) ** 2).mean()


def quadratic_data(a: float, c: float) -> Examples:
    return Examples(torch.zeros(1, 1), torch.tensor([[a, c]], dtype=torch.float64))


@cache
def cases(name: str) -> dict[str, dict[str, Any]]:
    """The published cases of one file by id."""
    return {case["id"]: case for case in json.loads(case_file(f"{name}.json").read_text())["cases"]}


def mnist_folder() -> Path:
    """The folder of the four original idx files; without it the test is skipped, or fails when required."""
    folder = SHARED / "data" / "mnist"
    if not folder.is_dir():
        missing(str(folder))
    return folder


def batch_norm_model() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


def blobs(count: int, seed: int = 0) -> Examples:
    """Three separable classes in four dimensions."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    inputs = random.normal(size=(count, 4)) + 2.0 * np.eye(3, 4)[labels]
    return Examples(torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels))


def floats(values: Sequence[object]) -> np.ndarray:
    """An array from nested lists in which 'nan' and 'inf' are spelt out."""
    return np.array([float(v) for v in np.ravel(np.array(values, dtype=object))]).reshape(np.shape(values))


def usable(weights: Sequence[Weights], counts: Sequence[int], server: Weights, parts: Parts) -> list[Update]:
    """The updates that pass the contribution filter, weighted by their examples."""
    updates = []
    for number, (one, count) in enumerate(zip(weights, counts, strict=True)):
        source = MemorySource(one)
        if count == 0 or refusal(source, server, parts):
            continue
        updates.append(Update(f"c{number:03}", source, count))
    return updates


def expected_of(server: Weights, parts: Parts) -> Specs:
    """What an update of a whole model must look like."""
    return {name: spec for name, spec in specs_of(server).items() if name not in parts.local}


def refusal(source: MemorySource, server: Weights, parts: Parts) -> str:
    try:
        check_update(source, expected_of(server, parts), server, parts)
    except UpdateRefused as error:
        return error.code
    return ""


def average(
    values: Sequence[Any],
    counts: Sequence[int],
    parts: Parts = VECTOR,
    server: Mapping[str, Any] | None = None,
) -> Weights:
    """FedAvg's server over models that have one tensor `w` each."""
    arrays = [{"w": np.asarray(value)} for value in values]
    base = dict(server or {"w": np.zeros_like(arrays[-1]["w"])})
    updates = usable(arrays, counts, base, parts)
    return get_strategy("fedavg").aggregate(ServerState(base), updates, MergeRules(parts)).weights


def outputs_everywhere(script: Path) -> set[str]:
    """What a script prints, under several numbers of threads and instruction sets of the processor."""
    found = set()
    for threads, capability in (("1", "default"), ("2", "avx2"), ("4", "avx512")):
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "ATEN_CPU_CAPABILITY": capability,
            "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL" if capability == "default" else "",
        }
        done = subprocess.run(
            [sys.executable, str(script)], env=environment, check=True, capture_output=True, text=True
        )
        found.add(done.stdout.strip())
    return found
