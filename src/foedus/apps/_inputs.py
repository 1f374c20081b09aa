"""What a third party's program is given to read: a folder outside of the job folder, for one attempt only."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from foedus.launch import JobFolder
from foedus.rounds.home import Home, full_disk_told

NOTE: Final = "inputs"
"""The link in an attempt's folder that says where its inputs are."""

_PREFIX: Final = "foedus-inputs-"


@contextmanager
def folder_for_inputs(folder: JobFolder) -> Iterator[Path]:
    """Make a folder below TMPDIR for our eyes alone; it is gone after the block.

    Rows of private data lie in it, hence not in the job folder, which people keep and pass on. Whoever is
    killed removes nothing: so a link in the job folder notes the place, and the next attempt removes it.
    """
    for outputs in folder.earlier():
        _remove_noted(outputs / NOTE)
    place = Path(tempfile.mkdtemp(prefix=_PREFIX))  # mode 700
    note = folder.outputs / NOTE
    try:
        note.symlink_to(place)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        note.unlink(missing_ok=True)


def _remove_noted(note: Path) -> None:
    try:
        place = Path(os.readlink(note))
    except OSError:  # there is none
        return
    if place.name.startswith(_PREFIX):
        shutil.rmtree(place, ignore_errors=True)
    note.unlink(missing_ok=True)


def export(place: Path, home: Home, dataset: str, name: str) -> str:
    """Write a dataset after its recipe for a program that knows nothing of ours; return the file's path.

    Raises `InvalidData` when the data are not what was registered, and `StorageFull`.
    """
    import numpy as np

    from foedus.apps.datasets.loading import load

    found = load(home, dataset)
    arrays: dict[str, Any] = {"values": found.values, "parts": found.parts}
    if found.labels is not None:
        arrays["labels"] = found.labels
    path = place / f"{name}.npz"
    with full_disk_told(place), open(path, "xb", opener=_private) as file:
        np.savez(file, **arrays)
    return str(path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
