"""What a client keeps for itself between its turns: a file in its own job folder, which nobody else reads."""

from foedus.core.errors import TaskFailed, UpdateRefused
from foedus.launch import JobFolder
from foedus.learn.weights import Weights
from foedus.store import TensorFile

_HINT = "Restore the run's folder, or start the run anew."


def read_memory(folder: str | None, is_needed: bool = False) -> Weights:
    """Return what the train task of that job folder kept; nothing when it kept nothing.

    Raises `TaskFailed` when the file is damaged, or is not there although `is_needed`.
    """
    if folder is None:
        return {}
    file = JobFolder(folder).open_memory()
    if file is None:
        if is_needed:
            raise TaskFailed(f"what the client kept in {folder} is gone", _HINT)
        return {}
    try:
        with file:
            return TensorFile(file).read_all()
    except UpdateRefused as error:
        raise TaskFailed(f"what the client kept in {folder} is damaged: {error.message}", _HINT) from error
