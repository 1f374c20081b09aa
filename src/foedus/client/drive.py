"""Drive a run; what to do when a run cannot even be prepared."""

import shutil
from typing import Final

from foedus.client.status import chain_events
from foedus.core.errors import FoedusError, InvalidData, InvalidSpec, TaskFailed, UnsupportedModel
from foedus.launch import JobFolder
from foedus.rounds.backend import LOCAL, Backend
from foedus.rounds.home import Home
from foedus.rounds.locate import locate
from foedus.rounds.progress import Observer
from foedus.rounds.runs import drive_run

_INPUT_ERRORS: Final = (InvalidData, InvalidSpec, UnsupportedModel)


def drive_new(home: Home, name: str, observer: Observer, backend: Backend = LOCAL) -> None:
    """Drive a run that was just created. If its input turns out to be unusable, the run is removed again."""
    try:
        drive(home, name, observer, backend)
    except _INPUT_ERRORS:
        with home.locked():
            if not _is_on_chain(home, name):
                shutil.rmtree(home.runs / name)
        raise


def drive(home: Home, name: str, observer: Observer, backend: Backend = LOCAL) -> None:
    """Drive a run to its end. Unusable input is told as just that and not as a failed task."""
    try:
        drive_run(home, name, observer, backend)
    except TaskFailed as error:
        failure = JobFolder(home.runs / name / "jobs" / "prepare").read_failure()
        kind = _input_error(failure.kind) if failure else None
        if kind is None or _is_on_chain(home, name):
            raise
        raise kind(error.message, error.hint) from error


def _input_error(name: str) -> type[FoedusError] | None:
    """Return which of the input errors a class of this name is or derives from."""
    return next((kind for kind in _INPUT_ERRORS if name in _names(kind)), None)


def _names(kind: type[FoedusError]) -> set[str]:
    """Return the names of a class and of all that derive from it."""
    return {kind.__name__}.union(*(_names(derived) for derived in kind.__subclasses__()))


def _is_on_chain(home: Home, name: str) -> bool:
    return locate(home, name, chain_events(home)) is not None
