"""A FAKE Kubernetes for tests: Jobs and pods as objects, pods' commands as processes of this machine.

It imitates what the launcher relies on: the Job controller (backoffLimit, podFailurePolicy,
podReplacementPolicy, suspend), a scheduler for one node with GPUs, a kubelet (waiting reasons, signals, grace
period, deadline, termination messages) and deletion in the foreground and background. It is no Kubernetes: no
images, no mounts (paths are rewritten), no users, no isolation.
"""

import copy
import threading
import uuid
from dataclasses import dataclass, field

from tests.kubernetes.fake_kubelet import (
    FakeKubelet,
    Object,
    Running,
    gpus_of,
    has_condition,
    is_ending,
    is_over,
    kill,
    set_condition,
    set_container,
    stamp,
)


@dataclass
class FakeCluster:
    """The state, and what tests do to it. Fields may be changed at any time; methods lock."""

    namespaces: set[str] = field(default_factory=lambda: {"foedus"})
    release: str = "1.37"  # whose schema decides what a Job may have
    claims: dict[str, str] = field(default_factory=dict)  # by name: its volume's folder on this machine
    gpus: int = 8
    unschedulable: str = ""  # what the scheduler says instead of placing pods
    waiting: tuple[str, str] | None = None  # reason and message with which containers wait
    pod_refusal: str = ""  # why the API server admits no pods
    has_kueue: bool = False  # a suspended Job then waits until `admit`
    jobs: dict[str, Object] = field(default_factory=dict)
    pods: dict[str, Object] = field(default_factory=dict)
    events: list[Object] = field(default_factory=list)
    version: int = 1
    lock: threading.RLock = field(default_factory=threading.RLock)
    _uncounted: set[str] = field(default_factory=set)
    _kubelet: FakeKubelet = field(default_factory=FakeKubelet)
    _closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._kubelet.claims = self.claims
        self._thread = threading.Thread(target=self._work, name="fake-kubernetes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all processes."""
        self._closed.set()
        self._thread.join()
        self._kubelet.close()

    # --- the API server's part; the caller holds the lock ---

    def create(self, job: Object, namespace: str) -> Object:
        """Take a Job in."""
        made = copy.deepcopy(job)
        about = {"namespace": namespace, "uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
        made["metadata"] |= about
        made["status"] = {}
        self._changed(made)
        self.jobs[made["metadata"]["name"]] = made
        return made

    def delete(self, name: str, policy: str) -> None:
        """Delete a Job: at once in the background, after its pods in the foreground."""
        job = self.jobs[name]
        if policy == "Foreground":
            job["metadata"].setdefault("deletionTimestamp", stamp())
            job["metadata"]["finalizers"] = ["foregroundDeletion"]
            self._changed(job)
            return
        del self.jobs[name]
        for pod in self.pods_of(job):
            if policy == "Orphan":
                del pod["metadata"]["ownerReferences"]
            else:
                self._kubelet.terminate(pod)

    def log_of(self, pod: str) -> bytes | None:
        """Return a pod's output, None while its container has not begun."""
        running = self._kubelet.running.get(pod)
        return running.log.read_bytes() if running else None

    def pods_of(self, job: Object) -> list[Object]:
        """Return the Job's pods, oldest first."""
        uid = job["metadata"]["uid"]
        owned = [pod for pod in self.pods.values() if pod["metadata"].get("ownerReferences")]
        return [pod for pod in owned if pod["metadata"]["ownerReferences"][0]["uid"] == uid]

    # --- what tests do to it ---

    def pod(self, job: str) -> Object:
        """Return the newest pod of a Job."""
        with self.lock:
            return self.pods_of(self.jobs[job])[-1]

    def set_suspended(self, job: str, is_suspended: bool) -> None:
        """Let a suspended Job go, or take one back into its queue, as Kueue does."""
        with self.lock:
            self.jobs[job]["spec"]["suspend"] = is_suspended

    def disrupt(self, job: str, reason: str) -> None:
        """End the Job's pod for reasons of the cluster."""
        with self.lock:
            pod = self.pod(job)
            set_condition(pod, "DisruptionTarget", "True", reason)
            self._kubelet.terminate(pod)

    def fail(self, job: str, reason: str, message: str) -> None:
        """Have the kubelet end the Job's pod, as when it evicts it."""
        with self.lock:
            pod = self.pod(job)
            pod["status"] |= {"reason": reason, "message": message}
            kill(self.running(job).process)

    def exhaust_memory(self, job: str) -> None:
        """Kill the Job's container as the kernel does when its memory is used up."""
        with self.lock:
            self.running(job).reason = "OOMKilled"
            kill(self.running(job).process)

    def lose_node(self, job: str) -> Running:
        """Cut off the node of the Job's pod: the process goes on and nothing is heard of it."""
        with self.lock:
            pod, running = self.pod(job), self.running(job)
            self._kubelet.lost.add(pod["metadata"]["name"])
            set_condition(pod, "Ready", "False")
            set_condition(pod, "DisruptionTarget", "True", "DeletionByTaintManager")
            pod["metadata"]["deletionTimestamp"] = stamp(-1000)
            return running

    def running(self, job: str) -> Running:
        """Return the process of the Job's newest pod. Raises KeyError while there is none."""
        with self.lock:
            return self._kubelet.running[self.pod(job)["metadata"]["name"]]

    def warn(self, about: str, reason: str, message: str) -> None:
        """Add an event about an object."""
        with self.lock:
            event = {"metadata": {"name": f"{about}.{len(self.events)}"}, "involvedObject": {"name": about}}
            told = {"type": "Warning", "reason": reason, "message": message, "lastTimestamp": stamp()}
            self.events.append(event | told)

    # --- controllers ---

    def _work(self) -> None:
        while not self._closed.wait(0.02):
            with self.lock:
                for job in list(self.jobs.values()):
                    self._control(job)
                for pod in list(self.pods.values()):
                    self._keep(pod)

    def _changed(self, obj: Object) -> None:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)

    def _control(self, job: Object) -> None:
        """Do what the Job controller does."""
        pods, status = self.pods_of(job), job["status"]
        if is_ending(job):
            for pod in pods:
                self._kubelet.terminate(pod)
            if not pods:
                del self.jobs[job["metadata"]["name"]]
            return
        if has_condition(job, "Complete", "Failed"):
            return
        active = [pod for pod in pods if not is_over(pod) and not is_ending(pod)]
        status["active"], status["ready"] = len(active), sum(has_condition(pod, "Ready") for pod in active)
        if job["spec"].get("suspend") and self.has_kueue:
            for pod in pods:
                self._uncounted.add(pod["metadata"]["name"])
                self._kubelet.terminate(pod)
        elif status.get("succeeded", 0) >= job["spec"]["completions"]:
            set_condition(job, "Complete", "True", "CompletionsReached")
        elif status.get("failed", 0) > job["spec"]["backoffLimit"]:
            set_condition(job, "Failed", "True", "BackoffLimitExceeded")
        elif not active and all(is_over(pod) for pod in pods):
            self._make_pod(job)
        self._changed(job)

    def _make_pod(self, job: Object) -> None:
        owner = job["metadata"]["name"]
        name = f"{owner}-{uuid.uuid4().hex[:5]}"
        if self.pod_refusal:
            if all(event["involvedObject"]["name"] != owner for event in self.events):
                self.warn(owner, "FailedCreate", f'Error creating: pods "{name}" {self.pod_refusal}')
            return
        pod = copy.deepcopy(job["spec"]["template"])
        pod["metadata"] |= {"name": name, "uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
        pod["metadata"]["ownerReferences"] = [{"kind": "Job", "uid": job["metadata"]["uid"]}]
        self.pods[name] = pod | {"status": {"phase": "Pending", "conditions": []}}

    def _keep(self, pod: Object) -> None:
        """Do what scheduler and kubelet do."""
        name = pod["metadata"]["name"]
        if name in self._kubelet.lost:
            return
        if is_over(pod) or name not in self._kubelet.running:
            if is_ending(pod):
                del self.pods[name]
            elif not is_over(pod) and self._is_placed(pod):
                self._kubelet.start(pod)
                self._count(pod)
        elif self._kubelet.supervise(pod):
            self._count(pod)

    def _is_placed(self, pod: Object) -> bool:
        """Whether the pod has a node and its container can be made."""
        others = [other for other in self.pods.values() if other is not pod and not is_over(other)]
        used = sum(gpus_of(other) for other in others if has_condition(other, "PodScheduled"))
        why = self.unschedulable
        for volume in pod["spec"]["volumes"]:
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim is not None and claim not in self.claims:
                why = f'0/1 nodes are available: persistentvolumeclaim "{claim}" not found.'
        if used + gpus_of(pod) > self.gpus:
            why = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: not helpful."
        if why:
            set_condition(pod, "PodScheduled", "False", "Unschedulable", why)
            return False
        set_condition(pod, "PodScheduled", "True")
        if self.waiting:
            set_container(pod, {"waiting": {"reason": self.waiting[0], "message": self.waiting[1]}})
        return self.waiting is None

    def _count(self, pod: Object) -> None:
        """Count the end of a pod, unless its Job was suspended or the podFailurePolicy says to ignore it."""
        is_ignored = has_condition(pod, "DisruptionTarget") and pod["status"]["phase"] == "Failed"
        if not is_over(pod) or is_ignored or pod["metadata"]["name"] in self._uncounted:
            return
        for job in self.jobs.values():
            if pod in self.pods_of(job):
                count = "failed" if pod["status"]["phase"] == "Failed" else "succeeded"
                job["status"][count] = job["status"].get(count, 0) + 1
