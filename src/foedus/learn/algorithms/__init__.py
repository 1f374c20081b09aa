"""The federated algorithms, one file each, and how to get one by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from foedus.core.errors import InvalidSpec
from foedus.learn.algorithms.fedavg import FedAvg
from foedus.learn.algorithms.fedprox import FedProx
from foedus.learn.arguments import Argument, Parameter, check_arguments, hint_for
from foedus.learn.strategy import Strategy

_STRATEGIES = {kind.name: kind for kind in (FedAvg, FedProx)}

__all__ = ["StrategyInfo", "describe", "get_strategy"]


@dataclass(frozen=True, slots=True)
class StrategyInfo:
    """An algorithm as the reference lists it."""

    name: str
    title: str
    source: str
    parameters: tuple[Parameter, ...]


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
    kinds = (_STRATEGIES[name] for name in sorted(_STRATEGIES))
    return [StrategyInfo(kind.name, kind.title, kind.source, kind.parameters) for kind in kinds]
