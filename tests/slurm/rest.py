"""A real slurmrestd before the private cluster, and tokens for it."""

import shutil
import socket
import subprocess
from pathlib import Path

from tests.shared import missing
from tests.slurm.cluster import SlurmCluster, free_ports
from tests.slurm.processes import kill, wait_until, with_descendants

from foedus.launch.slurm import SlurmRest

VERSION = "v0.0.38"


class Slurmrestd:
    """Listens on loopback, as a user without any rights; tokens say on whose behalf it asks."""

    def __init__(self, cluster: SlurmCluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        self._port = free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        path = shutil.which("slurmrestd", path="/usr/sbin:/usr/bin")
        if path is None:
            missing("slurmrestd; scripts/install_slurm.sh installs it")
        options = ["-a", "rest_auth/jwt", "-s", f"openapi/{VERSION}", f"127.0.0.1:{self._port}"]
        with open(self._cluster.root / "log/slurmrestd.log", "ab") as log:
            arguments = ["runuser", "-u", "nobody", "--", path, *options]
            self._process = subprocess.Popen(
                arguments,
                env={**self._cluster.environment, "SLURM_JWT": "daemon"},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        wait_until(self._listens, 20, "slurmrestd")

    def stop(self) -> None:
        """Kill it. Idempotent."""
        if self._process is not None:
            kill(with_descendants(self._process.pid))
            self._process.wait(20)
            self._process = None

    def settings(self, user: str = "root", lifespan_s: int = 3000) -> SlurmRest:
        """Return the settings for a user, with a new token."""
        file = self._folder / f"token of {user}"
        file.touch(mode=0o600)
        file.write_text(self.token(user, lifespan_s))
        return SlurmRest(f"http://127.0.0.1:{self._port}", file, VERSION, user)

    def token(self, user: str, lifespan_s: int) -> str:
        """Return what scontrol prints when it makes a token."""
        done = self._cluster.command("scontrol", "token", f"username={user}", f"lifespan={lifespan_s}")
        assert done.stdout.startswith("SLURM_JWT="), done.stderr
        return done.stdout

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
