"""Files from a platform: written beside, checked, and renamed into place."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from foedus.client.remote.connection import Connection, Unreachable
from foedus.core.errors import FoedusError, ObjectDamaged
from foedus.core.ids import Cid
from foedus.store.unixfs import cid_of

Watch = Callable[[int, int | None], None]
"""Told how many bytes there are, and how many there will be where that is known."""


def download(
    connection: Connection,
    path: tuple[str | int, ...],
    query: Mapping[str, object],
    target: Path,
    observer: Watch | None = None,
    wanted: Cid | None = None,
) -> Path:
    """Write a file, whole or not at all; returns its path.

    Raises `ObjectDamaged` when it does not have the CID that is `wanted`, `FoedusError` when it cannot be
    written, and as `Connection` does.
    """
    parts = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with connection.download(*path, **query) as (chunks, size):
            with parts.open("xb") as file:
                for count, chunk in _counted(chunks):
                    file.write(chunk)
                    if observer is not None:
                        observer(count, size)
                file.flush()
                os.fsync(file.fileno())
            if size is not None and parts.stat().st_size != size:
                raise Unreachable(f"{target.name} arrived incomplete", "Try again.")
        if wanted is not None and _cid(parts) != wanted:
            raise ObjectDamaged(
                f"what came for {target.name} is not {wanted}", "Do not use it; tell who runs the platform."
            )
        parts.replace(target)
    except OSError as error:
        raise FoedusError(f"cannot write {target}: {error.strerror}", "Name another path.") from error
    finally:
        parts.unlink(missing_ok=True)
    return target


def _counted(chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    count = 0
    for chunk in chunks:
        count += len(chunk)
        yield count, chunk


def _cid(path: Path) -> Cid:
    with path.open("rb") as file:
        return cid_of(iter(lambda: file.read(1 << 20), b""))
