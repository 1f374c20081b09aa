"""A PostgreSQL server of the tests' own, in a temporary folder, without network, gone with the tests.

PostgreSQL does not run as root: a root user's tests run it as `postgres`.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from foedus.server.db.engine import make_engine, migrate

_FAST = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "shared_buffers=32MB",
)
_TEMPLATE = "foedus_template"


@dataclass
class Postgres:
    """A running server. `new_database` gives the URL of a database of its own, with tables or empty."""

    folder: Path
    made: int = 0

    def url(self, database: str) -> str:
        return f"postgresql://foedus@/{database}?host={self.folder}"

    def run(self, command: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(command.encode())

    def new_database(self, has_tables: bool = True) -> str:
        self.made += 1
        name = f"test_{self.made}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE if has_tables else 'template0'}")
        return self.url(name)

    def drop(self, url: str) -> None:
        name = url.removeprefix("postgresql://foedus@/").partition("?")[0]
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _program(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(found[-1]) if found else None)


def _or_skip() -> tuple[str, str]:
    initdb, server, setpriv = _program("initdb"), _program("postgres"), shutil.which("setpriv")
    if initdb and server and setpriv:
        return initdb, server
    message = "PostgreSQL is not installed: see scripts/install_postgres.sh"
    if os.environ.get("FOEDUS_REQUIRE_ALL") == "1":
        pytest.fail(message)
    pytest.skip(message)  # only root on Debian can install it; the same tests run on SQLite


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server; skip, or fail with FOEDUS_REQUIRE_ALL=1, where there is none."""
    initdb, server = _or_skip()
    folder = Path(tempfile.mkdtemp(prefix="foedus-pg-", dir="/tmp"))
    # the server ends with the tests, however they end
    as_user = ["setpriv", "--pdeathsig=INT"]
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        as_user += ["--reuid=postgres", "--regid=postgres", "--init-groups"]
    process = None
    try:
        data = str(folder / "data")
        wanted = ["-D", data, "-U", "foedus", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run([*as_user, initdb, *wanted], check=True, capture_output=True, cwd=folder)
        options = [*_FAST, "listen_addresses=", f"unix_socket_directories={folder}", "max_connections=80"]
        flags = [part for option in options for part in ("-c", option)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*as_user, server, "-D", data, *flags], stdout=log, stderr=log, cwd=folder
            )
        found = Postgres(folder)
        _wait(found, process)
        found.run(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
        engine = make_engine(found.url(_TEMPLATE))
        migrate(engine)
        engine.dispose()
        yield found
    finally:
        if process is not None:
            process.send_signal(2)
            process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(postgres: Postgres, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            postgres.run("SELECT 1")
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
