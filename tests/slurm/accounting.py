"""The accounting database of the private cluster: MariaDB and slurmdbd, below the cluster's folder."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.slurm import conf
from tests.slurm.processes import wait_until

DAEMONS = ("slurmdbd", "mariadbd", "mariadb-install-db", "mariadb", "sacct", "sacctmgr")


class Accounting:
    """Starts and fills the database."""

    def __init__(self, root: Path, port: int, database_port: int) -> None:
        self._root, self._port, self._database_port = root, port, database_port
        self._database: subprocess.Popen[bytes] | None = None

    def start(self, variables: Mapping[str, str]) -> str:
        """Start both daemons; return the lines for slurm.conf."""
        self._start_database()
        file = self._root / "etc/slurmdbd.conf"
        file.write_text(conf.slurmdbd_conf(self._root, self._port, self._database_port))
        file.chmod(0o600)
        shutil.chown(file, "slurm")
        # slurmdbd looks for its configuration beside the slurm.conf that it is told of
        (self._root / "etc/slurm.conf").touch()
        subprocess.run([_program("slurmdbd")], env=dict(variables), check=True, timeout=30)
        wait_until(lambda: _listens(self._port), 30, "slurmdbd")
        return conf.accounting_lines(self._root, self._port)

    def register(self, command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
        """Make cluster, account, root and a QOS `single` known, which allows one running batch job each."""
        _manage(command, "add", "cluster", "test")
        _manage(command, "add", "account", "physics", "cluster=test")
        _manage(command, "add", "qos", "single", "set", "MaxJobsPerUser=1")
        self.admit(command, "root")

    def admit(self, command: Callable[..., subprocess.CompletedProcess[str]], user: str) -> None:
        """Let a user submit, in account `physics` and with each QOS."""
        _manage(command, "add", "user", user, "account=physics")
        _manage(command, "modify", "user", user, "set", "qos=normal,single", "defaultqos=normal")

    def reap(self) -> None:
        """Take notice of the database's end."""
        if self._database is not None:
            self._database.wait(timeout=30)

    def _start_database(self) -> None:
        data, socket = self._root / "db", self._root / "db/s"
        data.mkdir()
        shutil.chown(data, "mysql")
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=mysql"]
        install += ["--skip-test-db", "--auth-root-authentication-method=normal"]
        subprocess.run(install, check=True, capture_output=True, timeout=120)
        options = [f"--datadir={data}", f"--socket={socket}", f"--port={self._database_port}"]
        options += ["--bind-address=127.0.0.1", "--user=mysql", f"--pid-file={data}/pid"]
        options += ["--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0"]
        log = (self._root / "log/mariadb.log").open("ab")
        with log:
            self._database = subprocess.Popen(
                [_program("mariadbd"), "--no-defaults", *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        client = ["mariadb", "--no-defaults", f"--socket={socket}", "--user=root"]
        wait_until(lambda: _succeeds([*client, "-e", "select 1"]), 60, "MariaDB")
        grants = "create database slurm_acct; create user slurm@'127.0.0.1' identified by 'slurm';"
        grants += "grant all on slurm_acct.* to slurm@'127.0.0.1';"
        subprocess.run([*client, "-e", grants], check=True, timeout=30)


def _listens(port: int) -> bool:
    wanted = f":{port:04X}"
    return any(
        fields[1].endswith(wanted) and fields[3] == "0A"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if len(fields := line.split()) > 3
    )


def _succeeds(arguments: list[str]) -> bool:
    return subprocess.run(arguments, capture_output=True, timeout=30, check=False).returncode == 0


def _manage(command: Callable[..., subprocess.CompletedProcess[str]], *words: str) -> None:
    done = command("sacctmgr", "-i", *words)
    if done.returncode:
        raise RuntimeError(f"sacctmgr {' '.join(words)}: {done.stderr or done.stdout}")


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert found is not None
    return found
