"""The library `byzfl`, without running its package's start, which wants torchvision."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

from shared import missing

_PARTS = ("", ".aggregators", ".utils")


def byzfl() -> SimpleNamespace:
    """Return a namespace of its aggregators and preaggregators; skip the tests where it is not installed."""
    spec = importlib.util.find_spec("byzfl")
    if spec is None or spec.origin is None:
        missing("byzfl")
    folder = Path(spec.origin).parent
    for part in _PARTS:
        bare = ModuleType(f"byzfl{part}")
        bare.__path__ = [str(folder / part.removeprefix("."))]
        sys.modules[bare.__name__] = bare
    try:
        found: dict[str, object] = {}
        for name in ("preaggregators", "aggregators"):
            found.update(vars(importlib.import_module(f"byzfl.aggregators.{name}")))
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "byzfl"]:
            del sys.modules[name]  # so that nobody takes the bare package for the real one
    return SimpleNamespace(**found)
