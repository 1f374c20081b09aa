"""The files behind a dataset: which they are, and their fingerprint. Links below the place are refused."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from foedus.core.canonical import Json, canonical_json
from foedus.core.errors import InvalidData

OnBytes: TypeAlias = Callable[[int, int], None]
"""Called while files are read with: bytes done, bytes in all."""

_CHUNK_BYTES: Final = 1 << 20
_MOST_FILES: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class Listing:
    """Files of a place: their names relative to it, sorted, and their sizes in bytes."""

    root: Path
    names: tuple[str, ...]
    sizes: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(self.sizes)

    def keep(self, names: Sequence[str]) -> "Listing":
        """Return the listing of some of the files."""
        sizes = dict(zip(self.names, self.sizes, strict=True))
        return Listing(self.root, tuple(sorted(names)), tuple(sizes[name] for name in sorted(names)))

    def path(self, name: str) -> Path:
        """Return a file's path."""
        return self.root / name

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading. Raises `InvalidData` when it is gone, or no plain file any more."""
        try:
            descriptor = os.open(self.root / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise InvalidData(f"cannot read {name}: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise InvalidData(f"{name} is no plain file")
        return os.fdopen(descriptor, "rb")


def list_files(path: Path) -> Listing:
    """List a file, or all files below a folder. Raises `InvalidData` for links and for what is no file."""
    try:
        root = path.expanduser().resolve(strict=True)  # the place itself may be a link: it is followed now
        _require_text(root)
        walked = _walk(root) if root.is_dir() else iter([(root.name, root.stat())])
        found = dict(islice(walked, _MOST_FILES + 1))
    except OSError as error:
        raise InvalidData(f"cannot read {path}: {error.strerror}") from error
    except RuntimeError as error:  # links in a circle, the home folder of nobody
        raise InvalidData(f"cannot read {path}: {error}") from error
    if len(found) > _MOST_FILES:
        raise InvalidData(f"{path} holds more than {_MOST_FILES:,} files", "Pack them into one .npz file.")
    names = tuple(sorted(found))
    return Listing(
        root if root.is_dir() else root.parent, names, tuple(found[name].st_size for name in names)
    )


def _require_text(root: Path) -> None:
    """Raise `InvalidData` for a path whose bytes are no text: metadata could not hold it."""
    try:
        str(root).encode()
    except UnicodeEncodeError as error:
        raise InvalidData(f"{root} has a name that is no text", "Rename it.") from error


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield names and facts of all files, however deep the folders are."""
    left = [""]
    while left:
        prefix = left.pop()
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                if not entry.name.isprintable():
                    raise InvalidData(f"a file has an unusual name: {name!r}", "Rename it.")
                if entry.name.startswith("."):  # of file managers and the like
                    continue
                if entry.is_symlink():
                    raise InvalidData(
                        f"{name} is a link, and links are not followed", "Put the file itself there."
                    )
                if entry.is_dir(follow_symlinks=False):
                    left.append(f"{name}/")
                elif entry.is_file(follow_symlinks=False):
                    yield name, entry.stat(follow_symlinks=False)
                else:
                    raise InvalidData(f"{name} is neither a file nor a folder")


def fingerprint(listing: Listing, observer: OnBytes = lambda done, total: None) -> str:
    """Return the sha256 (hex) of the canonical listing: each file's name, size and sha256, sorted by name."""
    entries: list[Json] = []
    done = 0
    for name, size in zip(listing.names, listing.sizes, strict=True):
        digest = hashlib.sha256()
        with listing.open(name) as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                done += len(chunk)
                observer(done, listing.size_bytes)
        entries.append([name, size, digest.hexdigest()])
    return hashlib.sha256(canonical_json(entries)).hexdigest()
