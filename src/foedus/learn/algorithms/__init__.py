"""The federated algorithms, one file each, and how to get one by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from foedus.core.errors import InvalidSpec
from foedus.learn.algorithms.fedavg import FedAvg
from foedus.learn.algorithms.fedheal import FedHeal
from foedus.learn.algorithms.fedma import FedMA
from foedus.learn.algorithms.fednova import FedNova
from foedus.learn.algorithms.fedopt import FedAdagrad, FedAdam, FedAvgM, FedYogi
from foedus.learn.algorithms.fedprox import FedProx
from foedus.learn.algorithms.fedsgd import FedSgd
from foedus.learn.algorithms.scaffold import Scaffold
from foedus.learn.arguments import Argument, Parameter, check_arguments, hint_for
from foedus.learn.strategy import Strategy

_STRATEGIES: dict[str, type[Strategy]] = {
    kind.name: kind
    for kind in (
        FedAdagrad,
        FedAdam,
        FedAvg,
        FedAvgM,
        FedHeal,
        FedMA,
        FedNova,
        FedProx,
        FedSgd,
        FedYogi,
        Scaffold,
    )
}

__all__ = ["StrategyInfo", "describe", "get_strategy"]


@dataclass(frozen=True, slots=True)
class StrategyInfo:
    """An algorithm as the reference lists it."""

    name: str
    title: str
    source: str
    accepts: str  # which architectures, in words
    summary: str  # one line
    parameters: tuple[Parameter, ...]
    notes: str  # the module's docstring: citation, equations, when to use it, what it costs


def get_strategy(name: str, params: Mapping[str, Argument] | None = None) -> Strategy:
    """Create an algorithm. Raises `InvalidSpec` naming the nearest valid name, or the limits it broke."""
    if name not in _STRATEGIES:
        raise InvalidSpec(f"there is no algorithm {name!r}", hint_for(name, _STRATEGIES))
    kind = _STRATEGIES[name]
    checked = check_arguments(f"algorithm {name!r}", kind.parameters, params or {})
    create: Callable[..., Strategy] = kind  # the table above says which arguments it takes
    return create(**checked)


def describe() -> list[StrategyInfo]:
    """List all algorithms with their parameters, by name."""
    return [_info(_STRATEGIES[name]) for name in sorted(_STRATEGIES)]


def _info(kind: type[Strategy]) -> StrategyInfo:
    summary = (kind.__doc__ or "").partition("\n")[0]
    notes = (import_module(kind.__module__).__doc__ or "").strip()
    return StrategyInfo(kind.name, kind.title, kind.source, kind.accepts, summary, kind.parameters, notes)
