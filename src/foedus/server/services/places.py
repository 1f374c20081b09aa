"""Where members' data may lie: folders below the site's roots, opened one by one without following links."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from foedus.server.errors import NotFound

MOST_SHOWN: Final = 500
_LONGEST: Final = 1000  # characters of a relative path
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a folder. `place` is its path below the root."""

    name: str
    place: str
    is_folder: bool
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Folder:
    """What the folder browser shows. `is_cut`: there is more than is shown."""

    root: int
    place: str
    is_folder: bool
    entries: tuple[Entry, ...]
    is_cut: bool

    @property
    def above(self) -> str:
        """The place of the folder that this one lies in."""
        return self.place.rpartition("/")[0]


def roots_of(data_roots: tuple[Path, ...], user: str) -> tuple[Path, ...]:
    """Return the folders below which a person's data may lie; a root's number is its id in addresses."""
    return tuple(Path(str(root).replace("{user}", user)) for root in data_roots)


def browse(roots: tuple[Path, ...], root: int, place: str) -> Folder:
    """List a folder; links and hidden names are left out. Raises `NotFound`, whatever the reason."""
    with _opened(roots, root, place) as descriptor:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            return Folder(root, place, False, (), False)
        found: list[Entry] = []
        with os.scandir(descriptor) as entries:
            for one in entries:
                if one.name.startswith(".") or one.is_symlink() or not _is_shown(one.name):
                    continue
                is_folder = one.is_dir(follow_symlinks=False)
                if is_folder or one.is_file(follow_symlinks=False):
                    size = 0 if is_folder else one.stat(follow_symlinks=False).st_size
                    found.append(Entry(one.name, f"{place}/{one.name}".lstrip("/"), is_folder, size))
                if len(found) > MOST_SHOWN:
                    break
    found.sort(key=lambda one: (not one.is_folder, one.name))
    return Folder(root, place, True, tuple(found[:MOST_SHOWN]), len(found) > MOST_SHOWN)


def path_of(roots: tuple[Path, ...], root: int, place: str) -> Path:
    """Return the path of a place that can be opened now without following links. Raises `NotFound`."""
    with _opened(roots, root, place):
        return roots[root] / place


def open_file(roots: tuple[Path, ...], root: int, place: str) -> BinaryIO:
    """Open a file for reading, without following links. Raises `NotFound`."""
    with _opened(roots, root, place) as descriptor:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotFound("such file")
        return os.fdopen(os.dup(descriptor), "rb")


def check_again(roots: tuple[Path, ...], path: Path) -> None:
    """Raise `NotFound` unless a path that was chosen earlier is still such a place below one of the roots."""
    for number, root in enumerate(roots):
        if path.is_relative_to(root):
            relative = path.relative_to(root).as_posix()
            path_of(roots, number, "" if relative == "." else relative)
            return
    raise NotFound("such folder")


@contextmanager
def _opened(roots: tuple[Path, ...], root: int, place: str) -> Iterator[int]:
    """Open root, then name after name: exchanging a folder for a link meanwhile gains nothing."""
    if not 0 <= root < len(roots) or len(place) > _LONGEST:
        raise NotFound("such folder")
    names = place.split("/") if place else []
    if not all(_is_shown(name) and not name.startswith(".") for name in names):
        raise NotFound("such folder")
    descriptor = -1
    try:
        # the root is the administrator's own choice and may be a link
        descriptor = os.open(roots[root], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for name in names:
            above, descriptor = descriptor, os.open(name, _FLAGS, dir_fd=descriptor)
            os.close(above)
        mode = os.fstat(descriptor).st_mode
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            raise NotFound("such folder")
        yield descriptor
    except (OSError, ValueError) as error:
        raise NotFound("such folder") from error
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _is_shown(name: str) -> bool:
    return bool(name) and name.isprintable() and "/" not in name
