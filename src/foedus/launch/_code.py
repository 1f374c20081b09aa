"""What every worker of a launcher runs, and how it is looked up by name."""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from foedus.core.errors import InvalidSpec

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True, slots=True)
class WorkerCode:
    """The functions ("package.module:function") and settings of a launcher's workers.

    `preload` names modules that are imported once, before workers are forked. `setup` runs once per worker.
    """

    entry: str
    setup: str = ""
    preload: tuple[str, ...] = ()
    threads: int = 1

    def __post_init__(self) -> None:
        for name in (self.entry, *([self.setup] if self.setup else [])):
            if not _NAME.fullmatch(name):
                raise InvalidSpec(f"{name!r} does not name a function", 'Write "package.module:function".')
        if self.threads < 1:
            raise InvalidSpec(f"a worker needs at least one thread, got {self.threads}")

    @property
    def modules(self) -> tuple[str, ...]:
        """All modules worth importing before the first fork."""
        own = [name.partition(":")[0] for name in (self.entry, self.setup) if name]
        return (*self.preload, *own)


def load(name: str) -> Callable[..., object]:
    """Import the named function. Raises ImportError or AttributeError, or whatever the module raises."""
    module, _, function = name.partition(":")
    found: Callable[..., object] = getattr(importlib.import_module(module), function)
    return found
