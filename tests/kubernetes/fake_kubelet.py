"""The FAKE kubelet of `FakeCluster`: runs pods' commands as processes of this machine."""

import os
import re
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen
from typing import Any

import psutil

Object = dict[str, Any]
_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")
_MESSAGE_BYTES = 2048


@dataclass(eq=False)
class Running:
    """The process of a pod."""

    process: Popen[bytes]
    log: Path
    started: float
    kill_at: float = float("inf")
    reason: str = ""  # of its end, where a test says so


@dataclass
class FakeKubelet:
    """The one node. The caller holds the cluster's lock."""

    running: dict[str, Running] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)  # pods of which nothing is heard, though they go on
    claims: dict[str, str] = field(default_factory=dict)  # what a claim's volume is on this machine
    _logs: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)

    def close(self) -> None:
        """End all processes."""
        for running in self.running.values():
            kill(running.process)
        self._logs.cleanup()

    def start(self, pod: Object) -> None:
        """Run the pod's command; nothing but what the manifest says reaches it, besides PATH."""
        container, mounts = pod["spec"]["containers"][0], self._mounts(pod)
        log = Path(self._logs.name) / pod["metadata"]["name"]
        variables = {item["name"]: item["value"] for item in container.get("env", ())}
        try:
            with log.open("wb") as output:
                process = Popen(
                    [_mounted(expanded(word, variables), mounts) for word in container["command"]],
                    cwd=_mounted(container.get("workingDir", "/"), mounts),
                    env={"PATH": os.environ["PATH"], **variables},
                    stdin=DEVNULL,
                    stdout=output,
                    stderr=STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            end(pod, {"exitCode": 128, "reason": "StartError", "message": str(error)})
            return
        self.running[pod["metadata"]["name"]] = Running(process, log, time.time())
        pod["status"]["phase"] = "Running"
        set_condition(pod, "Ready", "True")
        set_container(pod, {"running": {"startedAt": stamp()}})

    def _mounts(self, pod: Object) -> dict[str, str]:
        """Return what the pod's mounted folders are on this machine."""
        mounts = {}
        volumes = {
            v["name"]: v.get("persistentVolumeClaim", {}).get("claimName") for v in pod["spec"]["volumes"]
        }
        for mount in pod["spec"]["containers"][0].get("volumeMounts", ()):
            claim = volumes[mount["name"]]
            if claim is not None:
                mounts[mount["mountPath"]] = str(Path(self.claims[claim], mount.get("subPath", "")))
        return mounts

    def supervise(self, pod: Object) -> bool:
        """Keep the pod's limits; tell whether it has just ended."""
        running = self.running[pod["metadata"]["name"]]
        code, now = running.process.poll(), time.time()
        if code is None and running.started + pod["spec"].get("activeDeadlineSeconds", float("inf")) < now:
            pod["status"]["reason"] = "DeadlineExceeded"
            kill(running.process)
        elif code is None and running.kill_at < now:
            kill(running.process)
        elif code is not None:
            end(pod, _termination(pod, running, code))
            return True
        return False

    def terminate(self, pod: Object) -> None:
        """Ask the pod to end, and have it killed after its grace period."""
        if is_ending(pod):
            return
        grace_s = pod["spec"].get("terminationGracePeriodSeconds", 30)
        pod["metadata"]["deletionTimestamp"] = stamp(grace_s)
        running = self.running.get(pod["metadata"]["name"])
        if running is not None and running.process.poll() is None:
            running.process.terminate()
            running.kill_at = time.time() + grace_s


def kill(process: Popen[bytes]) -> None:
    """Kill the process and all that it started: a container ends with its first process."""
    try:
        victims = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        victims = []
    for pid in (*(victim.pid for victim in victims), process.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def end(pod: Object, terminated: Object) -> None:
    """Write down that the pod's container has ended so."""
    pod["status"]["phase"] = "Failed" if terminated["exitCode"] else "Succeeded"
    set_condition(pod, "Ready", "False", "PodFailed" if terminated["exitCode"] else "PodCompleted")
    set_container(pod, {"terminated": terminated})


def expanded(word: str, variables: dict[str, str]) -> str:
    """Replace `$(NAME)` as Kubernetes does in commands: `$$` is a dollar, unknown names stay."""
    return _REFERENCE.sub(lambda m: "$" if m[0] == "$$" else variables.get(m[1], m[0]), word)


def stamp(later_s: float = 0.0) -> str:
    """Return a moment as the API writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + later_s))


def set_condition(obj: Object, kind: str, status: str, reason: str = "", message: str = "") -> None:
    """Give a Job or pod this condition."""
    conditions = obj["status"].setdefault("conditions", [])
    conditions[:] = [c for c in conditions if c["type"] != kind]
    conditions.append({"type": kind, "status": status, "reason": reason, "message": message})


def set_container(pod: Object, state: Object) -> None:
    """Give the pod's container this state."""
    pod["status"]["containerStatuses"] = [{"name": "task", "state": state}]


def has_condition(obj: Object, *kinds: str) -> bool:
    """Whether one of these conditions is true."""
    return any(c["type"] in kinds and c["status"] == "True" for c in obj["status"].get("conditions", ()))


def is_over(pod: Object) -> bool:
    """Whether the pod has ended."""
    return pod["status"]["phase"] in ("Succeeded", "Failed")


def is_ending(pod: Object) -> bool:
    """Whether the pod was deleted."""
    return "deletionTimestamp" in pod["metadata"]


def gpus_of(pod: Object) -> int:
    """Return how many GPUs the pod asks for."""
    return int(pod["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu", 0))


def _mounted(word: str, mounts: dict[str, str]) -> str:
    """Return the word with the path of a mounted folder replaced: there are no mounts here."""
    for inside, outside in mounts.items():
        if word == inside or word.startswith(f"{inside}/"):
            return outside + word[len(inside) :]
    return word


def _termination(pod: Object, running: Running, code: int) -> Object:
    ended: Object = {
        "exitCode": code if code >= 0 else 128 - code,
        "reason": "Error" if code else "Completed",
    }
    if running.reason:
        ended["reason"] = running.reason
    policy = pod["spec"]["containers"][0].get("terminationMessagePolicy")
    if code and policy == "FallbackToLogsOnError":
        ended["message"] = running.log.read_bytes()[-_MESSAGE_BYTES:].decode(errors="replace")
    return ended
