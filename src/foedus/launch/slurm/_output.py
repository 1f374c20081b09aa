"""What a command prints, read as it comes: bounded in time and size."""

import os
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

_CHUNK_BYTES = 64 << 10


class TooMuch(Exception):
    """The command printed more than it may."""


@dataclass(frozen=True, slots=True)
class Output:
    """How a command ended, and all that it printed. A negative `code` is the signal that killed it."""

    code: int
    stdout: bytes
    stderr: bytes


def output_of(
    command: Sequence[str], variables: Mapping[str, str], limit_s: float, most_bytes: int
) -> Output:
    """Run the command with just these variables and no input.

    Raises OSError where it cannot be run. It is killed, and `subprocess.TimeoutExpired` or `TooMuch` raised,
    where it has not ended in time or prints more than `most_bytes`.
    """
    until = time.monotonic() + limit_s
    with subprocess.Popen(
        command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            stdout, stderr = _read((process.stdout, process.stderr), until, most_bytes)
            code = process.wait(max(0.0, until - time.monotonic()))
        except TimeoutError as error:
            process.kill()
            raise subprocess.TimeoutExpired(command, limit_s) from error
        except BaseException:
            process.kill()
            raise
    return Output(code, stdout, stderr)


def _read(pipes: tuple[IO[bytes], IO[bytes]], until: float, most_bytes: int) -> tuple[bytes, bytes]:
    """Read both to their ends. Raises TimeoutError and `TooMuch`."""
    stdout, stderr = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for pipe, printed in zip(pipes, (stdout, stderr), strict=True):
            selector.register(pipe, selectors.EVENT_READ, printed)
        while selector.get_map():
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            for key, _ in selector.select(left_s):
                chunk = os.read(key.fd, _CHUNK_BYTES)
                if not chunk:
                    selector.unregister(key.fileobj)
                key.data.extend(chunk)
            if len(stdout) + len(stderr) > most_bytes:
                raise TooMuch
    return bytes(stdout), bytes(stderr)
