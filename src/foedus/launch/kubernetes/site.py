"""What a launcher must know of a site's Kubernetes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Volume:
    """The shared file system that job folders lie on, as a PersistentVolumeClaim of the namespace.

    `root` is its folder on this machine and `mount_path` the same folder inside batch jobs; empty: the same
    path, which specs that name other files need. `sub_path` is the part of the claim that is mounted.
    """

    claim: str
    root: str
    mount_path: str = ""
    sub_path: str = ""


@dataclass(frozen=True, slots=True)
class Toleration:
    """A taint of nodes that batch jobs may run on. No `value`: any; no `effect`: all effects."""

    key: str
    value: str = ""
    effect: str = ""


@dataclass(frozen=True, slots=True)
class KubernetesSite:
    """How batch jobs are to be submitted here. What a job asks for is in its `Resources`.

    A namespace belongs to one site. `context` and `kubeconfig` are kubectl's; without a file the usual one
    is used, and within a pod its service account. `queue` names a LocalQueue of Kueue, unless the resources
    do. `user` and `group` are the numbers that batch jobs run as; None: ours, so that job folders, which
    nobody else may read, can be used on both sides.

    `prologue` is the site's own shell text, run before the program. `grace_s`: so long after the warning
    (SIGTERM) a pod is killed. `start_s`: so long the image may take, on top of the time limit. `ttl_s`: so
    long an ended Job is kept. `restarts`: so often Kubernetes may start a Job's pod again after disruptions.
    """

    image: str
    volume: Volume
    namespace: str = "foedus"
    context: str = ""
    kubeconfig: Path | None = None
    service_account: str = ""
    queue: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    gpu_resource: str = "nvidia.com/gpu"
    gpu_type_label: str = "nvidia.com/gpu.product"
    user: int | None = None
    group: int | None = None
    prologue: str = ""
    grace_s: int = 120
    start_s: int = 900
    ttl_s: int = 86_400
    restarts: int = 20
    timeout_s: float = 8.0  # of each call
