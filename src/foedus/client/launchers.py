"""The launcher that this machine's settings ask for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from foedus.client.settings import Settings

if TYPE_CHECKING:
    from foedus.core.protocols import Launcher

ENTRY = "foedus.apps.entry:run_job"


@contextmanager
def open_launcher(settings: Settings) -> Iterator["Launcher"]:
    """Open the launcher for single batch jobs; on a local one they end with it."""
    from foedus.launch import LocalLauncher

    with LocalLauncher(ENTRY, workers=1, threads=settings.threads or 1) as launcher:
        yield launcher


def outlives_us(settings: Settings) -> bool:
    """Whether batch jobs go on when this process ends, as they do on clusters."""
    return False
