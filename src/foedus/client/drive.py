"""Drive a run; what to do when a run cannot even be prepared."""

import shutil
from typing import Final

from foedus.client.status import chain_events
from foedus.core.errors import FoedusError, InvalidData, InvalidSpec, TaskFailed, UnsupportedModel
from foedus.launch import JobFolder
from foedus.rounds.home import Home
from foedus.rounds.progress import Observer
from foedus.rounds.runs import drive_run
from foedus.rounds.view import find_run

_INPUT_ERRORS: Final[dict[str, type[FoedusError]]] = {
    kind.__name__: kind for kind in (InvalidData, InvalidSpec, UnsupportedModel)
}


def drive_new(home: Home, name: str, observer: Observer) -> None:
    """Drive a run that was just created. If its input turns out to be unusable, the run is removed again."""
    try:
        drive(home, name, observer)
    except (InvalidData, InvalidSpec, UnsupportedModel):
        with home.locked():
            if not _is_on_chain(home, name):
                shutil.rmtree(home.runs / name)
        raise


def drive(home: Home, name: str, observer: Observer) -> None:
    """Drive a run to its end. Unusable input is told as just that and not as a failed task."""
    try:
        drive_run(home, name, observer)
    except TaskFailed as error:
        failure = JobFolder(home.runs / name / "jobs" / "prepare").read_failure()
        if failure is None or failure.kind not in _INPUT_ERRORS or _is_on_chain(home, name):
            raise
        raise _INPUT_ERRORS[failure.kind](error.message, error.hint) from error


def _is_on_chain(home: Home, name: str) -> bool:
    return find_run(chain_events(home), name) is not None
