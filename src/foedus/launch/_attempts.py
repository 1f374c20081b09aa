"""Attempts of a job: sub-folders of its folder, in the order in which they began, of which one is taken over.

Other folders that happen to have such a name, links and files count for nothing.
"""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from foedus.launch import _files

_NAME = re.compile(r"attempt-([0-9]{2,6})\.([0-9]{2,6})", re.ASCII)
LAST_NUMBER = 999_999
_REMOVALS = 5  # of folders into which somebody writes


def attempt_name(number: int, restart: int) -> str:
    """Return the name of an attempt: of which submission, and which start of that one by the scheduler."""
    return f"attempt-{number:02}.{restart:02}"


def attempt_order(name: str) -> tuple[int, int] | None:
    """Return submission and start of an attempt of this name; None when no attempt is called so."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    order = int(found[1]), int(found[2])
    return order if attempt_name(*order) == name else None


def attempts_in(folder: Path) -> list[str]:
    """Return the attempts that have begun, oldest first; none where the folder cannot be read."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                order = attempt_order(entry.name)
                if order is not None and entry.is_dir(follow_symlinks=False):
                    found.append((order, entry.name))
    except OSError:
        return []
    return [name for _, name in sorted(found)]


def attempts_until(folder: Path, name: str) -> list[str]:
    """Return the attempt of this name, if it has begun, and those before it, oldest first."""
    own = attempt_order(name)
    return [one for one in attempts_in(folder) if own is not None and (attempt_order(one) or own) <= own]


def take_over(folder: Path, attempt: str, directory: str, files: Iterable[str], result: str) -> None:
    """Move up what an attempt with a result wrote, the result last, and remove all attempts.

    May be repeated after a crash: where the result was moved, all was, and no later attempt of that name
    changes it. Without any result nothing is done. Raises OSError.
    """
    source = folder / attempt
    if os.path.lexists(folder / result):
        pass
    elif attempt in attempts_in(folder) and os.path.lexists(source / result):
        if (source / directory).is_dir() and not (source / directory).is_symlink():
            remove_tree(folder / directory)  # an earlier attempt left it, to go on from
            os.rename(source / directory, folder / directory)
        for name in (*files, result):
            if os.path.lexists(source / name):
                os.rename(source / name, folder / name)
    else:
        return
    _files.sync(folder)
    remove_attempts(folder)


def remove_attempts(folder: Path) -> None:
    """Remove all attempts, as far as they can be removed.

    One that is still under way may write a file in the very moment its folder is removed, which then stays;
    so what is left is removed again.
    """
    for _ in range(_REMOVALS):
        left = attempts_in(folder)
        if not left:
            return
        for name in left:
            shutil.rmtree(folder / name, ignore_errors=True)  # follows no links


def remove_tree(path: Path) -> None:
    """Remove whatever is there, as far as it can be removed; a link itself, not what it points to."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
