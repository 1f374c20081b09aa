"""What a client keeps for itself between its turns: a file in its own job folder, which nobody else reads."""

from foedus.core.errors import TaskFailed, UpdateRefused
from foedus.launch import JobFolder
from foedus.learn.weights import Weights
from foedus.store import TensorFile


def read_memory(folder: str | None) -> Weights:
    """Return what the train task of that job folder kept; nothing when there is none. Raises `TaskFailed`."""
    file = JobFolder(folder).open_memory() if folder else None
    if file is None:
        return {}
    try:
        with file:
            return TensorFile(file).read_all()
    except UpdateRefused as error:
        raise TaskFailed(
            f"what the client kept in {folder} is damaged: {error.message}",
            "Restore the run's folder, or start the run anew.",
        ) from error
