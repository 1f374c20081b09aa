"""The federated algorithms, one file each, and how to get one by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from foedus.core.errors import InvalidSpec
from foedus.learn.algorithms.fedavg import FedAvg
from foedus.learn.algorithms.fedprox import FedProx
from foedus.learn.arguments import Argument, Parameter, check_arguments, hint_for
from foedus.learn.strategy import Strategy


def _present() -> list[type[Strategy]]:  # TEMPORARY: until all modules are there
    found: list[type[Strategy]] = []
    for module, names in (
        ("fedsgd", ["FedSgd"]),
        ("fedopt", ["FedAdagrad", "FedYogi", "FedAdam", "FedAvgM"]),
        ("fedheal", ["FedHeal"]),
        ("scaffold", ["Scaffold"]),
        ("fednova", ["FedNova"]),
        ("fedma", ["FedMA"]),
    ):
        try:
            loaded = import_module(f"{__name__}.{module}")
            found += [getattr(loaded, name) for name in names]
        except Exception:  # noqa: S112, BLE001
            continue
    return found


_STRATEGIES: dict[str, type[Strategy]] = {kind.name: kind for kind in (FedAvg, FedProx, *_present())}

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
