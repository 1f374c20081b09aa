"""What may stand in settings and in what a batch job asks for. All else is refused by name, with a hint."""

import os
import re
import reprlib

from foedus.core.errors import InvalidSpec
from foedus.core.records import Resources
from foedus.launch.kubernetes.site import KubernetesSite, Volume

_DOMAIN = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)  # RFC 1123
SUBDOMAIN = re.compile(rf"(?=.{{1,253}}$){_DOMAIN}", re.ASCII)
LABEL_VALUE = re.compile(_NAME, re.ASCII)
QUALIFIED = re.compile(rf"((?=[^/]{{1,253}}/){_DOMAIN}/)?{_NAME}", re.ASCII)
_HOST, _PATH = r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:[0-9]{1,5})?/", r"[a-z0-9]+([._-]+[a-z0-9]+)*"
_TAG, _DIGEST = r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", r"@sha256:[0-9a-f]{64}"
IMAGE = re.compile(rf"(?=.{{1,512}}$)({_HOST})?{_PATH}(/{_PATH})*({_TAG})?({_DIGEST})?", re.ASCII)
MOUNT = re.compile(r"/[A-Za-z0-9_][A-Za-z0-9_. /@+-]{0,1023}", re.ASCII)
_SUB_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. /@+-]{0,1023}", re.ASCII)
_FOLDER = re.compile(r"/[^\x00-\x1f\x7f\\:\ud800-\udfff]{0,1023}")
_CONTEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,252}", re.ASCII)
EFFECTS = ("", "NoSchedule", "PreferNoSchedule", "NoExecute")
_PROLOGUE_LIMIT = 16 << 10  # characters
NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")
_DAY_S = 86_400
_LARGEST_ID = (1 << 31) - 1
_OF_THE_KERNEL = ("/proc/", "/sys/", "/dev/")

_WISHES = {
    "queue": (LABEL, "the name of a LocalQueue of Kueue"),
    "qos": (SUBDOMAIN, "the name of a PriorityClass"),
    "gpu_type": (LABEL_VALUE, "a label's value, such as NVIDIA-H100-80GB-HBM3"),
}
_SETTINGS = {
    "namespace": (LABEL, "a namespace's name"),
    "image": (IMAGE, "an image's name, such as registry.example.org/foedus:1.0"),
    "gpu_resource": (QUALIFIED, "a resource's name, such as nvidia.com/gpu"),
    "gpu_type_label": (QUALIFIED, "a label's name, such as nvidia.com/gpu.product"),
}
_OPTIONAL = {
    "context": (_CONTEXT, "a context's name in the kubeconfig"),
    "service_account": (SUBDOMAIN, "a service account's name"),
    "queue": (LABEL, "the name of a LocalQueue of Kueue"),
}


def check_resources(resources: Resources) -> None:
    """Raise `InvalidSpec` for a value that Kubernetes cannot be given."""
    for name, (pattern, meaning) in _WISHES.items():
        _check_text(name, getattr(resources, name), pattern, meaning, is_optional=True)
    if resources.account:
        raise unfit("account", resources.account, "Kubernetes has no accounts: leave it out.")
    node_labels(resources.constraint)
    for name, least, most in (("cpus", 1, 65_536), ("gpus", 0, 4_096), ("scratch_mb", 0, 1 << 31)):
        _check_count(name, getattr(resources, name), least, most)
    if resources.memory_mb is not None:
        _check_count("memory_mb", resources.memory_mb, 1, 1 << 31)
    if not 0 < resources.walltime_s <= 365 * _DAY_S:
        raise unfit("walltime_s", resources.walltime_s, "It must be above 0 and at most a year.")
    if resources.gpu_type and not resources.gpus:
        raise InvalidSpec("gpu_type is set, but gpus is 0", "Say how many GPUs the batch job needs.")


def node_labels(constraint: str) -> dict[str, str]:
    """Return the labels that `constraint` ("name=value,name=value") asks nodes to have."""
    labels: dict[str, str] = {}
    for term in constraint[:2048].split(",") if constraint else ():
        name, _, value = term.partition("=")
        if not QUALIFIED.fullmatch(name) or not LABEL_VALUE.fullmatch(value) or len(constraint) > 2048:
            hint = "It must be labels of nodes, such as disk=ssd,topology.kubernetes.io/zone=a."
            raise unfit("constraint", constraint, hint)
        if name in labels:
            raise unfit("constraint", constraint, f"A node has one value of {name}: name it once.")
        labels[name] = value
    return labels


def check_site(site: KubernetesSite) -> None:
    """Raise `InvalidSpec` for a setting that cannot be used."""
    for name, (pattern, meaning) in _SETTINGS.items():
        _check_text(name, getattr(site, name), pattern, meaning)
    for name, (pattern, meaning) in _OPTIONAL.items():
        _check_text(name, getattr(site, name), pattern, meaning, is_optional=True)
    check_volume(site.volume)
    for name, value in site.node_selector.items():
        _check_text("node_selector", name, QUALIFIED, "names of labels")
        _check_text("node_selector", value, LABEL_VALUE, "values of labels")
    for toleration in site.tolerations:
        _check_text("tolerations", toleration.key, QUALIFIED, "keys of taints")
        _check_text("tolerations", toleration.value, LABEL_VALUE, "values of taints", is_optional=True)
        if toleration.effect not in EFFECTS:
            raise unfit("tolerations", toleration.effect, f"An effect is one of {', '.join(EFFECTS[1:])}.")
    if len(site.prologue) > _PROLOGUE_LIMIT or NO_TEXT.search(site.prologue):
        hint = f"It may have {_PROLOGUE_LIMIT} characters of UTF-8, and no NUL."
        raise unfit("prologue", site.prologue, hint)
    _check_numbers(site)


def check_volume(volume: Volume) -> None:
    """Raise `InvalidSpec` unless the volume can be mounted."""
    _check_text("volume.claim", volume.claim, SUBDOMAIN, "the name of a PersistentVolumeClaim")
    check_folder("volume.root", volume.root)
    if volume.root == "/":
        raise unfit("volume.root", volume.root, "It must be the folder of the shared file system.")
    place, mounted = "mount_path" if volume.mount_path else "root", volume.mount_path or volume.root
    _check_text(f"volume.{place}", mounted, MOUNT, "a plain absolute path")
    _check_text("volume.sub_path", volume.sub_path, _SUB_PATH, "a plain relative path", is_optional=True)
    for name, path in ((place, mounted), ("sub_path", volume.sub_path)):
        if path and not is_plain(path):
            raise unfit(f"volume.{name}", path, "It must hold no '.', no '..' and no needless slash.")
        if is_of_the_kernel(path):
            raise unfit(f"volume.{name}", path, "The kernel's own file systems are there.")


def is_plain(path: str) -> bool:
    """Whether there is no other way to write the path."""
    return path == os.path.normpath(path) and not path.startswith("//")


def is_of_the_kernel(path: str) -> bool:
    """Whether the absolute path is where every container has file systems of the kernel."""
    return f"{path}/".startswith(_OF_THE_KERNEL)


def check_folder(name: str, path: str) -> None:
    """Raise `InvalidSpec` unless this is a plain absolute path that can be written as text."""
    if not isinstance(path, str) or not _FOLDER.fullmatch(path) or not is_plain(path):
        hint = "It must be an absolute path in UTF-8 without '..', colon, backslash or line break."
        raise unfit(name, path, hint)


def batch_user(site: KubernetesSite) -> tuple[int, int]:
    """Return the numbers of the user and group that batch jobs run as. Raises `InvalidSpec` for root."""
    user = os.getuid() if site.user is None else site.user
    if user == 0:
        raise InvalidSpec(
            "batch jobs may not run as root", "Run as an ordinary user, or set kubernetes.user to its number."
        )
    return user, os.getgid() if site.group is None else site.group


def unfit(name: str, value: object, hint: str) -> InvalidSpec:
    """Return the error for a value that cannot be used."""
    return InvalidSpec(f"{name} cannot be {reprlib.repr(value)}", hint)


def _check_numbers(site: KubernetesSite) -> None:
    _check_count("grace_s", site.grace_s, 1, _DAY_S)
    _check_count("start_s", site.start_s, 1, _DAY_S)
    _check_count("ttl_s", site.ttl_s, 600, 365 * _DAY_S)  # far above the time between two looks
    _check_count("restarts", site.restarts, 0, 1000)
    for name in ("user", "group"):
        value = getattr(site, name)
        if value is not None:
            _check_count(name, value, 0, _LARGEST_ID)
    if not 0.1 <= site.timeout_s <= 10:
        raise unfit("timeout_s", site.timeout_s, "It must be between 0.1 and 10 seconds.")


def _check_text(
    name: str, value: object, pattern: re.Pattern[str], meaning: str, is_optional: bool = False
) -> None:
    if value == "" and is_optional:
        return
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise unfit(name, value, f"It must be {meaning}.")


def _check_count(name: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise unfit(name, value, f"It must be a whole number from {least} to {most}.")
