"""A private Slurm of four nodes on this machine, for tests: real daemons, own ports, no systemd, as root."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.slurm import conf, guard
from tests.slurm.accounting import Accounting
from tests.slurm.processes import (
    command_line,
    environment,
    kill,
    open_files,
    wait_until,
    with_descendants,
)

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo")


class SlurmCluster:
    """Four nodes n1 … n4 with 4 CPUs, 4,000 MB and 2 fake GPUs each; partition `batch` of at most an hour."""

    def __init__(self, has_accounting: bool = False) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="fs-", dir="/tmp"))
        self.conf = self.root / "etc/slurm.conf"
        self.folder = self.root / "jobs"
        free = free_ports(7)
        self._ports = conf.Ports(free[0], tuple(free[1:5]))
        self._accounting = Accounting(self.root, free[5], free[6]) if has_accounting else None
        self._guard = guard.watch(self.root)

    @property
    def environment(self) -> Mapping[str, str]:
        """What Slurm's commands need in their environment."""
        return {"SLURM_CONF": str(self.conf), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    # --- start and stop ---

    def start(self) -> None:
        """Start everything and wait until all nodes are idle. Errors carry the ends of the logs as a note."""
        try:
            self._start()
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:  # TimeoutError is an OSError
            error.add_note(self._log_ends())
            raise

    def stop(self) -> None:
        """End all processes of this cluster, also those of batch jobs, and remove its folder."""
        guard.remove(self.root)
        guard.dismiss(self._guard)
        if self._accounting is not None:
            self._accounting.reap()

    def wait_idle(self, nodes: int, limit_s: float = 60.0) -> None:
        """Wait until so many nodes are idle. Raises TimeoutError with the ends of the logs."""
        try:
            wait_until(lambda: self._idle() >= nodes, limit_s, f"{nodes} idle nodes", 0.1)
        except TimeoutError as error:
            error.add_note(self._log_ends())
            raise

    def command(
        self, *arguments: str, user: str | None = None, limit_s: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in this cluster's environment, as another user if given."""
        prefix = ["runuser", "-u", user, "--"] if user else []
        return subprocess.run(
            [*prefix, *arguments],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )

    def recover(self) -> None:
        """Undo what a test did: thaw, restart what is down, cancel all batch jobs, wait for all nodes."""
        self.thaw_munge()
        if not any(self._runs(p, "slurmctld") for p in self._own_processes()):
            self.start_controller()
        numbers = self.command("squeue", "-h", "-o", "%i").stdout.split()
        if numbers:
            self.command("scancel", *numbers)
        for node in conf.NODES:
            if not any(self._is_slurmd(p, node) for p in self._own_processes()):
                self.start_node(node)
        for node in self.command("sinfo", "-h", "-N", "-t", "drain", "-o", "%N").stdout.split():
            self._update(node, "resume")
        self.wait_idle(len(conf.NODES))

    def admit(self, user: str) -> None:
        """Make a user known to the accounting database, which keeps strangers out."""
        assert self._accounting is not None, "without accounting, all users may submit"
        self._accounting.admit(self.command, user)

    # --- faults ---

    def kill_node(self, node: str, with_steps: bool = True) -> None:
        """Kill a node's slurmd and, as when the machine loses power, all of the batch jobs on it."""
        victims = [p for p in self._own_processes() if self._is_slurmd(p, node)]
        if with_steps:
            # steps first: one that outlives its batch job would tell the controller how that ended
            log = f"{self.root}/log/slurmd.{node}.log"
            steps = [p for p in self._own_processes() if self._is_stepd(p, log)]
            victims += [found for step in steps for found in with_descendants(step)]
            victims += [p for p in self._own_processes() if f"SLURMD_NODENAME={node}\0" in environment(p)]
        kill(victims, signal.SIGSTOP)
        kill(victims)

    def start_node(self, node: str) -> None:
        """Start a node's slurmd."""
        self._run("slurmd", "-f", str(self.conf), "-N", node)

    def drain(self, node: str) -> None:
        """Have a node take no more batch jobs, as an administrator does before repairs."""
        self._update(node, "drain")

    def node_of(self, name: str) -> str:
        """Return the node on which the named batch job runs."""
        return self.command("squeue", "-h", f"--name={name}", "-o", "%N").stdout.strip()

    def stop_controller(self) -> None:
        """Stop slurmctld as for maintenance: it saves its state, and knows all batch jobs when it is back.

        Killed, it would forget the last seconds and give their ids away again: that is `forget_jobs`.
        """
        kill([p for p in self._own_processes() if self._runs(p, "slurmctld")], signal.SIGTERM)
        wait_until(lambda: not any(map(self._is_controller, self._own_processes())), 30, "slurmctld's end")

    def start_controller(self) -> None:
        """Start slurmctld."""
        self._run("slurmctld", "-f", str(self.conf), "-i")

    def forget_jobs(self, next_id: int) -> None:
        """Restart the controller without its state: it knows no batch job and counts from `next_id` again."""
        self.stop_controller()
        for file in (self.root / "state").iterdir():
            if file.is_file():
                file.unlink()
        text = self.conf.read_text()
        lines = [line for line in text.splitlines() if not line.startswith("FirstJobId=")]
        self.conf.write_text("\n".join([*lines, f"FirstJobId={next_id}", ""]))
        self.start_controller()

    def freeze_munge(self) -> None:
        """Make munged hang: every command of Slurm then hangs, too."""
        kill([p for p in self._own_processes() if self._runs(p, "munged")], signal.SIGSTOP)

    def thaw_munge(self) -> None:
        """Undo `freeze_munge`."""
        kill([p for p in self._own_processes() if self._runs(p, "munged")], signal.SIGCONT)

    def accepted(self, prefix: str) -> list[str]:
        """Return the ids of all batch jobs whose name begins so, known now or completed before."""
        text = self.command("squeue", "-h", "-t", "all", "-o", "%i %j").stdout
        known = {line.split()[0] for line in text.splitlines() if line.split()[1].startswith(prefix)}
        log = self.root / "log/jobcomp.log"
        for line in log.read_text().splitlines() if log.exists() else []:
            fields = dict(field.split("=", 1) for field in line.split() if "=" in field)
            if fields.get("Name", "").startswith(prefix):
                known.add(fields["JobId"])
        return sorted(known, key=int)

    # --- inner ---

    def _start(self) -> None:
        self._make_folders()
        self._start_munge()
        lines = conf.NO_ACCOUNTING
        if self._accounting is not None:
            lines = self._accounting.start(self.environment)
        self.conf.write_text(conf.slurm_conf(self.root, self._ports, lines))
        if self._accounting is not None:
            self._accounting.register(self.command)
        self.start_controller()
        for node in conf.NODES:
            self.start_node(node)
        self.wait_idle(len(conf.NODES))

    def _log_ends(self) -> str:
        logs = sorted((self.root / "log").glob("*.log"))
        return "\n".join(
            f"{log.name}:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-5:]) for log in logs
        )

    def _update(self, node: str, state: str) -> None:
        self._run("scontrol", "update", f"nodename={node}", f"state={state}", "reason=test")

    def _make_folders(self) -> None:
        self.root.chmod(0o755)
        for name in ("etc", "munge", "state", "spool", "pid", "log", "gpu", "jobs"):
            (self.root / name).mkdir()
        self.folder.chmod(0o1777)
        for name in ("state", "pid", "log"):
            shutil.chown(self.root / name, "slurm")
        shutil.chown(self.root / "munge", "munge")
        for name, owner in (("munge.key", "munge"), ("jwt.key", "slurm")):
            key = self.root / "etc" / name
            key.write_bytes(os.urandom(1024 if owner == "munge" else 32))
            key.chmod(0o400)
            shutil.chown(key, owner)
        for number in range(conf.GPUS):
            self._run("mknod", "-m", "666", f"{self.root}/gpu/nvidia{number}", "c", "1", "3")
        (self.root / "etc/gres.conf").write_text(conf.gres_conf(self.root))
        (self.root / "etc/cgroup.conf").write_text("CgroupAutomount=no\n")

    def _start_munge(self) -> None:
        folder = self.root / "munge"
        files = [f"--{name}={folder}/{file}" for name, file in (("socket", "s"), ("pid-file", "pid"))]
        files += [f"--log-file={folder}/log", f"--seed-file={folder}/seed"]
        self._run("runuser", "-u", "munge", "--", "munged", f"--key-file={self.root}/etc/munge.key", *files)

    def _run(self, *arguments: str) -> None:
        """Run a command that starts a daemon or prepares something. Raises with what it said."""
        done = subprocess.run(
            arguments, env=dict(self.environment), capture_output=True, text=True, timeout=30, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip() or done.returncode}")

    def _idle(self) -> int:
        text = self.command("sinfo", "-h", "-t", "idle", "-o", "%D").stdout
        return sum(int(word) for word in text.split() if word.isdigit())

    def _own_processes(self) -> list[int]:
        return guard.members(self.root)

    @staticmethod
    def _runs(process: int, name: str) -> bool:
        return Path(command_line(process)[0] if command_line(process) else "").name == name

    @staticmethod
    def _is_controller(process: int) -> bool:
        word = command_line(process)[0] if command_line(process) else ""
        return Path(word).name == "slurmctld" or "slurmscriptd" in word

    def _is_slurmd(self, process: int, node: str) -> bool:
        return self._runs(process, "slurmd") and node in command_line(process)

    @staticmethod
    def _is_stepd(process: int, log: str) -> bool:
        words = command_line(process)
        return bool(words) and words[0].startswith("slurmstepd") and log in open_files(process)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now, of those that are not given away for outgoing connections."""
    found: list[int] = []
    for port in random.sample(range(20_000, 32_000), 1000):
        with socket.socket() as opened, suppress(OSError):
            opened.bind(("", port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError("no free ports")
