"""Where the chain's file may lie, and who may open it."""

import fcntl
import os
from pathlib import Path

from foedus.core.errors import HomeInUse, InvalidSpec

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "lustre", "gpfs", "cifs", "smb3", "smbfs", "beegfs", "ceph", "glusterfs", "afs"}
    | {"pvfs2", "orangefs", "panfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.juicefs"}
)
"""A write-ahead log needs memory shared by the processes that open it, which these cannot give for sure."""


def filesystem_of(path: Path, mounts: str) -> str:
    """Return the type of the file system that holds the path, by a text in the form of `/proc/mounts`."""
    place = str(path.resolve())
    best, kind = "", ""
    for line in mounts.splitlines():
        _, mount, fstype, *_ = line.split(" ")
        folder = mount.encode().decode("unicode_escape").rstrip("/")
        if (place == folder or place.startswith(folder + "/")) and len(folder) >= len(best):
            best, kind = folder, fstype
    return kind


def check_filesystem(path: Path, mounts: Path = Path("/proc/mounts")) -> None:
    """Refuse a place on a network file system (`InvalidSpec`); trust the user where mounts cannot be read."""
    try:
        kind = filesystem_of(path, mounts.read_text())
    except OSError:
        return
    if kind in NETWORK_FILE_SYSTEMS:
        raise InvalidSpec(
            f"the chain cannot live on a network file system ({kind}): {path.parent}",
            "Set FOEDUS_HOME to a folder on a local disk.",
        )


def sync_folder(folder: Path) -> None:
    """Make a file's entry in its folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class OwnerLock:
    """An exclusive lock on a file beside the chain's. The kernel lets go of it when the process dies."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise HomeInUse(
                f"another process uses the chain in {path.parent}", "Wait until it has ended, or stop it."
            ) from error

    def release(self) -> None:
        """Let another process open the chain. Releasing twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
