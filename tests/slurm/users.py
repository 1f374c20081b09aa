"""Throw-away system users, for tests of who may do what."""

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.shared import missing
from tests.slurm.processes import all_processes, kill, wait_until

_NAME = re.compile(r"foedus-[ab]-([0-9]+)")


@contextmanager
def two_users(homes: Path) -> Iterator[tuple[str, str]]:
    """Make two users with a home folder each below `homes`; afterwards kill their processes and remove them.

    Skips the test, or fails it, where no users can be made.
    """
    lacking = [name for name in ("useradd", "userdel", "runuser") if _program(name) is None]
    if os.geteuid() != 0 or lacking:
        missing(f"root and useradd, userdel and runuser, to make two system users {lacking or ''}")
    for entry in pwd.getpwall():  # of tests that were killed
        known = _NAME.fullmatch(entry.pw_name)
        if known and not Path(f"/proc/{known[1]}").exists():
            _remove(entry.pw_name)
    first, second = (f"foedus-{letter}-{os.getpid()}" for letter in "ab")
    try:
        for user in (first, second):
            home = homes / user
            _run("useradd", "--system", f"--home-dir={home}", "--no-create-home", "--shell=/bin/sh", user)
            home.mkdir(mode=0o700)
            shutil.chown(home, user)
        yield first, second
    finally:
        for user in (first, second):
            _remove(user)
            shutil.rmtree(homes / user, ignore_errors=True)


def _remove(user: str) -> None:
    try:
        number = pwd.getpwnam(user).pw_uid
    except KeyError:
        return

    def has_none() -> bool:
        left = [process for process in all_processes() if _owner(process) == number]
        kill(left)
        return not left

    wait_until(has_none, 20, f"the end of all processes of {user}")
    _run("userdel", user)


def _owner(process: int) -> int | None:
    try:
        return os.stat(f"/proc/{process}").st_uid
    except OSError:
        return None


def _run(name: str, *arguments: str) -> None:
    done = subprocess.run([str(_program(name)), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{name}: {done.stderr}"


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
