"""What a prediction writes: files that come to be all at once, and one table with a line for each example."""

import csv
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from foedus.apps.datasets.loading import Loaded

PREDICTIONS, EXAMPLES, CONFUSION = "predictions.csv", "examples.png", "confusion.png"

_UNFINISHED: Final = ".unfinished"


@contextmanager
def whole(output: Path) -> Iterator[Path]:
    """Make a folder whose content is moved to `output` after the block, or removed when that raises."""
    place = output / _UNFINISHED
    shutil.rmtree(place, ignore_errors=True)  # of an attempt that was killed
    place.mkdir(mode=0o700)
    try:
        yield place
        for made in sorted(place.iterdir()):
            target = output / made.name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            os.replace(made, target)
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def table(
    folder: Path, loaded: Loaded, columns: Sequence[str]
) -> Iterator[Callable[[int, Sequence[object]], None]]:
    """Open the table of predictions; yields what to call with an example's row and what its columns hold.

    A line tells the row in the dataset after the recipe, the file, the columns, and the label. Where classes
    have names, the class stands in place of the label: its number means nothing to the model.
    """
    told = [] if loaded.labels is None else ["class" if loaded.names else "label"]
    with (folder / PREDICTIONS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", *(["file"] if loaded.files else []), *columns, *told])
        yield lambda row, figures: writer.writerow(
            [row, *([loaded.files[row]] if loaded.files else []), *figures, *_label(loaded, row)]
        )


def _label(loaded: Loaded, row: int) -> list[str | int]:
    if loaded.labels is None:
        return []
    label = int(loaded.labels[row])
    return [loaded.names[label] if loaded.names else label]
