"""The manifest of one batch job, made from an order and a site's settings. Plain data, no client needed."""

import hashlib
import math
import os
import re
from collections.abc import Sequence

from foedus.core.canonical import Json
from foedus.core.errors import InvalidSpec
from foedus.core.records import Resources
from foedus.launch.cluster import Order
from foedus.launch.kubernetes.fields import batch_user, check_folder, node_labels
from foedus.launch.kubernetes.site import KubernetesSite, Volume

JOB_LABEL, FOLDER_NOTE = "foedus/job", "foedus/folder"
MANAGED_BY = {"app.kubernetes.io/name": "foedus", "app.kubernetes.io/managed-by": "foedus"}
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
PROLOGUE = "prologue.sh"
CONTAINER = "task"
_DEVICE = "FOEDUS_DEVICE"
_SCRATCH = "/tmp"  # noqa: S108 - a volume of the pod alone
_NOTE_LIMIT = 256  # characters
_UNPLAIN = re.compile(r"[^A-Za-z0-9_.:-]", re.ASCII)
# Fixed text; the prologue's file and the program come as arguments. The program takes the shell's place, so
# that the signals of the kubelet reach it.
_SCRIPT = 'umask 077\nprologue=$1\nshift\n. "$prologue"\nexec "$@"\n'


def job_manifest(order: Order, site: KubernetesSite) -> dict[str, Json]:
    """Return the `batch/v1` Job. Raises `InvalidSpec` for a folder that is not on the site's volume."""
    labels = {**MANAGED_BY, JOB_LABEL: order.name}
    queue = order.resources.queue or site.queue
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": order.name,
            "namespace": site.namespace,
            "labels": labels | ({QUEUE_LABEL: queue} if queue else {}),
            "annotations": {
                FOLDER_NOTE: folder_digest(order.folder),
                "foedus/application": _UNPLAIN.sub("_", order.application[:_NOTE_LIMIT]),
            },
        },
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,  # what failed is judged, and perhaps repeated, by the launcher
            "podReplacementPolicy": "Failed",  # no second pod beside one that may still be running
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [_condition("DisruptionTarget")]}]
            },
            "ttlSecondsAfterFinished": site.ttl_s,
            **({"suspend": True} if queue else {}),  # Kueue lets it go
            "template": {"metadata": {"labels": labels}, "spec": _pod(order, site)},
        },
    }


def folder_digest(folder: str) -> str:
    """Return what tells a Job of this folder from one of another that has the same name."""
    return hashlib.sha256(folder.encode(errors="surrogateescape")).hexdigest()


def pod_path(folder: str, volume: Volume) -> str:
    """Return where the folder is inside a batch job. Raises `InvalidSpec` when it is not on the volume."""
    check_folder("the job folder", folder)
    if not folder.startswith(f"{volume.root}/"):
        raise InvalidSpec(
            f"the job folder {folder!r} is not on the shared volume {volume.root!r}",
            "Keep the home folder on the volume that batch jobs mount: kubernetes.volume in config.toml.",
        )
    return (volume.mount_path or volume.root) + folder[len(volume.root) :]


def _pod(order: Order, site: KubernetesSite) -> dict[str, Json]:
    wanted, (user, group) = order.resources, batch_user(site)
    selector = _node_selector(wanted, site)
    scratch: dict[str, Json] = {"sizeLimit": f"{wanted.scratch_mb}Mi"} if wanted.scratch_mb else {}
    return {
        "restartPolicy": "Never",
        # The pod's limit, which begins on its node. The Job's would count the time in the queue, too. The
        # supervisor inside keeps the exact limit; this one is for when it does not.
        "activeDeadlineSeconds": math.ceil(wanted.walltime_s) + site.start_s,
        "terminationGracePeriodSeconds": site.grace_s,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **({"serviceAccountName": site.service_account} if site.service_account else {}),
        **({"priorityClassName": wanted.qos} if wanted.qos else {}),
        **({"nodeSelector": selector} if selector else {}),
        **({"tolerations": _tolerations(site)} if site.tolerations else {}),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": group,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(order, site)],
        "volumes": [
            {"name": "shared", "persistentVolumeClaim": {"claimName": site.volume.claim}},
            {"name": "scratch", "emptyDir": scratch},
        ],
    }


def _node_selector(wanted: Resources, site: KubernetesSite) -> dict[str, Json]:
    """Return all labels that nodes must have. Raises `InvalidSpec` where two wishes cannot both be had."""
    selector: dict[str, Json] = dict(site.node_selector)
    gpus = {site.gpu_type_label: wanted.gpu_type} if wanted.gpu_type else {}
    for wish, labels in (("constraint", node_labels(wanted.constraint)), ("gpu_type", gpus)):
        for name, value in labels.items():
            if selector.setdefault(name, value) != value:
                raise InvalidSpec(
                    f"{wish} asks for nodes with {name}={value}, but they must have {name}={selector[name]}",
                    "Leave one of them out: constraint, gpu_type and kubernetes.node_selector all count.",
                )
    return selector


def _container(order: Order, site: KubernetesSite) -> dict[str, Json]:
    volume, folder = site.volume, pod_path(order.folder, site.volume)
    argv = [folder if argument == order.folder else argument for argument in order.argv]
    shared: dict[str, Json] = {"name": "shared", "mountPath": volume.mount_path or volume.root}
    if volume.sub_path:
        shared["subPath"] = volume.sub_path
    if site.prologue:
        argv = ["/bin/sh", "-c", _SCRIPT, "foedus", f"{folder}/{PROLOGUE}", *argv]
    return {
        "name": CONTAINER,
        "image": site.image,
        "imagePullPolicy": "IfNotPresent",
        "command": [_literal(argument) for argument in argv],
        "workingDir": folder,
        "env": _environment(order.resources),
        "resources": _limits(order.resources, site),
        "terminationMessagePolicy": "FallbackToLogsOnError",  # the log's end comes with the pod's state
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [shared, {"name": "scratch", "mountPath": _SCRATCH}],
    }


def _literal(text: str) -> str:
    """Kubernetes replaces `$(NAME)` in commands; a doubled dollar is a dollar and nothing more."""
    return text.replace("$", "$$")


def _environment(wanted: Resources) -> list[Json]:
    """Name every variable: only a forced device is inherited. The supervisor sets the numbers of threads."""
    variables = {"HOME": _SCRATCH, "TMPDIR": _SCRATCH, "LANG": "C.UTF-8"}
    if not wanted.gpus:  # images made for CUDA would otherwise show all GPUs of the node
        variables["NVIDIA_VISIBLE_DEVICES"] = "void"
    if device := os.environ.get(_DEVICE):
        variables[_DEVICE] = _literal(device)
    return [{"name": name, "value": value} for name, value in variables.items()]


def _limits(wanted: Resources, site: KubernetesSite) -> dict[str, Json]:
    """Ask for just what may be used: such pods are the last that a node in need evicts."""
    amounts = {"cpu": str(wanted.cpus)}
    if wanted.memory_mb is not None:
        amounts["memory"] = f"{wanted.memory_mb}Mi"
    if wanted.scratch_mb:
        amounts["ephemeral-storage"] = f"{wanted.scratch_mb}Mi"
    if wanted.gpus:
        amounts[site.gpu_resource] = str(wanted.gpus)
    return {"requests": dict(amounts), "limits": dict(amounts)}


def _tolerations(site: KubernetesSite) -> Sequence[Json]:
    return [
        {
            "key": taint.key,
            "operator": "Equal" if taint.value else "Exists",
            **({"value": taint.value} if taint.value else {}),
            **({"effect": taint.effect} if taint.effect else {}),
        }
        for taint in site.tolerations
    ]


def _condition(kind: str) -> dict[str, Json]:
    return {"type": kind, "status": "True"}
