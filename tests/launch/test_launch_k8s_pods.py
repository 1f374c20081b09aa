"""Why pods wait and how they ended, in words."""

import pytest
from k8s_objects import condition, ended, event, job, pod, sight, terminated, waiting

from foedus.core.records import JobState

# --- waiting ---


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("0/3 nodes are available: 3 Insufficient cpu.", "waiting for resources: not enough free CPUs"),
        (
            "0/4 nodes are available: 1 Insufficient memory, 3 Insufficient nvidia.com/gpu. preempt…",
            "waiting for resources: not enough free memory, nvidia.com/gpu",
        ),
        (
            "0/2 nodes are available: 2 node(s) had untolerated taint {team: a}. preemption: …",
            "waiting for resources: nodes have a taint that the site's tolerations lack (team: a)",
        ),
        (
            "0/2 nodes are available: 2 node(s) had untolerated taint(s) {dedicated: }.",
            "waiting for resources: nodes have a taint that the site's tolerations lack (dedicated)",
        ),
        (
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
            "waiting for resources: no node has the labels that are asked for",
        ),
        (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
            "waiting for resources: the volume's claim is not bound",
        ),
        (
            '0/1 nodes are available: persistentvolumeclaim "work" not found.',
            "waiting for resources: the volume's claim does not exist",
        ),
        (
            "0/1 nodes are available: 1 node(s) had volume node affinity conflict.",
            "waiting for resources: the volume cannot be reached from a free node",
        ),
        ("something new", "waiting for resources: something new"),
        ("", "waiting for resources: no node fits yet"),
    ],
)
def test_an_unschedulable_pod_says_what_is_missing(message: str, words: str) -> None:
    found = sight(job(), pod("Pending", None, condition("PodScheduled", "False", "Unschedulable", message)))
    assert (found.state, found.native) == (JobState.QUEUED, "Pending (Unschedulable)")
    assert found.cause == words


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("ErrImagePull", "image cannot be pulled"),
        ("ImagePullBackOff", "image cannot be pulled"),
        ("ErrImageNeverPull", "image is not on the node"),
        ("InvalidImageName", "image's name is not valid"),
        ("CreateContainerConfigError", "cannot be set up"),
        ("CreateContainerError", "cannot be made"),
        ("RunContainerError", "cannot be started"),
    ],
)
def test_a_container_that_cannot_start_says_why(reason: str, words: str) -> None:
    found = sight(job(), waiting(reason, "the kubelet's words"))
    assert (found.state, found.native) == (JobState.QUEUED, f"Pending ({reason})")
    assert found.cause.startswith("cannot start: ")
    assert words in found.cause
    assert found.cause.endswith(": the kubelet's words")


@pytest.mark.parametrize("reason", ["FailedMount", "FailedAttachVolume"])
def test_a_volume_that_cannot_be_mounted_is_told_by_its_event(reason: str) -> None:
    creating = waiting("ContainerCreating")
    assert sight(job(), creating).cause == "its container is being made"
    warnings = [event("Other", "x"), event(reason, "timed out")]
    found = sight(job(), creating, warnings=warnings)
    assert (found.native, found.cause) == (
        f"Pending ({reason})",
        "cannot start: its volume cannot be mounted: timed out",
    )


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            'pods "j-1" is forbidden: exceeded quota: q, requested: …',
            "waiting: a quota of the namespace is used",
        ),
        ('pods "j-1" is forbidden: violates PodSecurity "restricted:latest"', "security level refuses"),
        ('pods "j-1" is forbidden: error looking up service account', "cannot start: its pod is refused"),
        ("etcdserver: timeout", "waiting: its pod cannot be made"),
    ],
)
def test_a_job_without_a_pod_says_why(message: str, words: str) -> None:
    assert sight(job({})).cause == "waiting for its pod to be made"
    found = sight(job({}), warnings=[event("FailedCreate", message)])
    assert (found.state, found.native) == (JobState.QUEUED, "Pending")
    assert words in found.cause
    assert message in found.cause


def test_a_suspended_job_waits_in_its_queue() -> None:
    suspended = job({}, labels={"kueue.x-k8s.io/queue-name": "team-a"}) | {"spec": {"suspend": True}}
    found = sight(suspended)
    assert (found.state, found.native, found.cause) == (
        JobState.QUEUED,
        "Suspended",
        "waiting in queue team-a",
    )
    assert sight(job() | {"spec": {"suspend": True}}).cause == "suspended by somebody else"


def test_a_gated_and_a_fresh_pod_wait() -> None:
    gated = pod("Pending", None, condition("PodScheduled", "False", "SchedulingGated"))
    assert sight(job(), gated).cause == "held back by a scheduling gate"
    assert sight(job(), pod("Pending")).cause == "waiting for a node"


# --- ended ---


@pytest.mark.parametrize(
    ("how", "cause", "told"),
    [
        ({"reason": "Error", "exitCode": 3}, "", "exited with code 3"),
        (
            {"reason": "Error", "exitCode": 1, "message": "Traceback\nNo module named foedus\n"},
            "",
            "exited with code 1; its last output:\nTraceback\nNo module named foedus",
        ),
        ({"reason": "Error", "exitCode": 139}, "", "killed by signal 11 (segmentation fault)"),
        ({"reason": "Error", "exitCode": 0, "signal": 9}, "", "killed by signal 9 (out of memory?)"),
        ({"reason": "OOMKilled", "exitCode": 137}, "out of memory: its limit is 500Mi", ""),
        ({"reason": "OOMKilled", "exitCode": 0}, "out of memory: its limit is 500Mi", ""),
        (
            {"reason": "StartError", "exitCode": 128, "message": "no such file"},
            "its program cannot be started: no such file",
            "",
        ),
    ],
)
def test_a_container_says_how_it_ended(how: dict[str, object], cause: str, told: str) -> None:
    found = sight(ended("Failed", "BackoffLimitExceeded"), terminated(**how))
    assert (found.state, found.native) == (JobState.FAILED, f"Failed ({how['reason']})")
    assert (found.cause, found.ended) == (cause, told)
    assert not found.is_passing


@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        ("Evicted", "The node was low on resource: memory.", "evicted by its node: The node was low"),
        ("NodeLost", "", "its node does not answer"),
        ("NodeShutdown", "Pod was terminated in response to imminent node shutdown.", "its node shut down"),
        ("Terminated", "", "its node shut down"),
        ("OutOfcpu", "Node didn't have enough resource: cpu", "its node did not admit it"),
        ("UnexpectedAdmissionError", "Allocate failed: no healthy devices", "its node did not admit it"),
        ("Preempting", "", "its node needed the room"),
    ],
)
def test_what_the_cluster_did_passes(reason: str, message: str, words: str) -> None:
    found = sight(ended("Failed", "BackoffLimitExceeded"), pod("Failed", reason=reason, message=message))
    assert (found.state, found.is_passing) == (JobState.FAILED, True)
    assert found.cause.startswith(words)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("PreemptionByScheduler", "pre-empted"),
        ("DeletionByTaintManager", "its node failed"),
        ("EvictionByEvictionAPI", "being emptied"),
        ("DeletionByPodGC", "its node is gone"),
        ("TerminationByKubelet", "ended by its node"),
        ("SomethingNew", "disrupted by the cluster"),
    ],
)
def test_disruptions_pass(reason: str, words: str) -> None:
    disrupted = pod("Failed", None, condition("DisruptionTarget", "True", reason))
    found = sight(ended("Failed", "BackoffLimitExceeded"), disrupted)
    assert found.is_passing
    assert words in found.cause


@pytest.mark.parametrize(
    "message",
    [
        'Usage of EmptyDir volume "scratch" exceeds the limit "10Mi".',
        "Pod ephemeral local storage usage exceeds …",
    ],
)
def test_too_much_scratch_is_the_jobs_own_fault(message: str) -> None:
    found = sight(ended("Failed"), pod("Failed", reason="Evicted", message=message))
    assert not found.is_passing
    assert found.cause.startswith("it used more scratch space than scratch_mb: ")


def test_a_passed_deadline_is_a_time_limit_once_the_program_ran() -> None:
    ran = pod("Failed", {"terminated": {"exitCode": 137, "reason": "Error"}}, reason="DeadlineExceeded")
    found = sight(ended("Failed", "BackoffLimitExceeded"), ran)
    assert (found.cause, found.out_of_time) == ("time limit reached", True)
    found = sight(ended("Failed", "DeadlineExceeded"))
    assert (found.cause, found.out_of_time) == ("time limit reached", True)
    pulling = waiting("ImagePullBackOff", "not there")
    pulling["status"] |= {"phase": "Failed", "reason": "DeadlineExceeded"}
    found = sight(ended("Failed", "BackoffLimitExceeded"), pulling)
    assert not found.out_of_time
    assert found.cause == "it could not start in time: its image cannot be pulled: not there"


def test_a_node_that_lost_sight_of_the_container_passes() -> None:
    found = sight(ended("Failed"), terminated(reason="ContainerStatusUnknown", exitCode=137))
    assert found.is_passing


def test_a_failed_job_without_a_pod_still_failed() -> None:
    found = sight(ended("Failed", "BackoffLimitExceeded"))
    assert (found.state, found.native) == (JobState.FAILED, "Failed (BackoffLimitExceeded)")
    assert found.ended == "it failed, and its pod is gone"
