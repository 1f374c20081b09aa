"""The user's token for slurmrestd: read from its file for each question, and in no message."""

import base64
import json
import os
import re
import stat
import time
from pathlib import Path

from foedus.launch.cluster import Unreachable

_LIMIT_BYTES = 16 << 10
_TOKEN = re.compile(r"[A-Za-z0-9_=.+~-]{16,8192}", re.ASCII)
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_token(file: Path) -> str:
    """Return the token that the file holds, as `scontrol token` prints it or bare.

    Raises `Unreachable` unless it is a plain file of ours that nobody else may read: somebody can put a good
    one there at any time, and then retrying helps.
    """
    try:
        text = _read_private(file).strip().removeprefix("SLURM_JWT=")
    except OSError as error:
        raise _unusable(file, error.strerror or "it cannot be read") from error
    if not _TOKEN.fullmatch(text):
        raise _unusable(file, "it holds no token")
    return text


def has_expired(token: str) -> bool:
    """Tell whether the token itself says that its time is over, by our clock."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return bool(claims["exp"] < time.time())
    except (IndexError, KeyError, TypeError, ValueError, RecursionError):
        return False


def renewal(file: Path) -> str:
    """Say how to get a new token into the file."""
    return f"(umask 077; scontrol token lifespan=86400 > {file}) writes a new one."


def _read_private(file: Path) -> str:
    # O_NONBLOCK: opening a FIFO that nobody writes to would otherwise hang
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _unusable(file, "it is not a plain file")
        if status.st_uid != os.geteuid() or status.st_mode & _OTHERS:
            raise _unusable(file, "it is not only yours to read")
        return opened.read(_LIMIT_BYTES).decode("ascii", errors="replace")


def _unusable(file: Path, why: str) -> Unreachable:
    hint = f"It must be a file of yours that only you can read (chmod 600). {renewal(file)}"
    return Unreachable(f"the token file {file} cannot be used: {why}", hint)
