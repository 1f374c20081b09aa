"""What a Job's manifest must mean, beyond the types that its schema checks.

Schemas accept `restartPolicy: Always`, a CPU called "two" or a negative deadline. An API server refuses some
of these, and others go wrong much later, so each is found before anything is submitted.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from reprlib import repr as short

from foedus.core.canonical import Json
from foedus.core.errors import InvalidSpec
from foedus.launch.kubernetes._json import Object, each, number, part
from foedus.launch.kubernetes.fields import (
    EFFECTS,
    IMAGE,
    LABEL,
    LABEL_VALUE,
    NO_TEXT,
    QUALIFIED,
    is_of_the_kernel,
    is_plain,
)
from foedus.launch.kubernetes.manifest import QUEUE_LABEL

_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(|m|[kMGTPE]|[KMGTPE]i)", re.ASCII)
_FACTORS = {"": Decimal(1), "m": Decimal("0.001"), "k": Decimal(1000), "Ki": Decimal(1024)}
for _power, _letter in enumerate("MGTPE", start=2):
    _FACTORS |= {_letter: Decimal(1000) ** _power, f"{_letter}i": Decimal(1024) ** _power}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ANNOTATIONS_LIMIT, _COMMAND_LIMIT = 16 << 10, 100 << 10  # characters
_SHORTEST_TTL_S = 600


def check(manifest: Mapping[str, Json]) -> None:
    """Raise `InvalidSpec` that names everything that is wrong."""
    found = faults(manifest)
    if found:
        raise InvalidSpec("the Job cannot be submitted: " + "; ".join(found), "Correct the site's settings.")


def faults(manifest: Mapping[str, Json]) -> list[str]:
    """Return what is wrong with a Job, in words; empty when nothing is."""
    pod = part(manifest, "spec", "template", "spec")
    return [
        *_names(manifest, pod),
        *_labels(manifest),
        *_job(manifest),
        *_pod(pod),
        *(fault for container in each(pod, "containers") for fault in _container(container, pod)),
    ]


def quantity(amount: object) -> Decimal | None:
    """Return the number that a quantity such as 500m or 2Gi means, None when it means none."""
    match = _QUANTITY.fullmatch(amount) if isinstance(amount, str) else None
    return Decimal(match[1]) * _FACTORS[match[2]] if match else None


def _names(manifest: Object, pod: object) -> Iterator[str]:
    named = [(kind, _word(manifest, "metadata", kind)) for kind in ("name", "namespace")]
    named += [("container", _word(item, "name")) for item in each(pod, "containers")]
    named += [("volume", _word(item, "name")) for item in each(pod, "volumes")]
    for kind, name in named:
        if not LABEL.fullmatch(name):
            yield f"{kind} {short(name)} is no name: a-z, 0-9 and inner hyphens, at most 63"
    for kind in ("containers", "volumes"):
        yield from _twice(f"name of {kind}", (_word(item, "name") for item in each(pod, kind)))


def _labels(manifest: Object) -> Iterator[str]:
    for place in (manifest, part(manifest, "spec", "template")):
        for name, value in _pairs(place, "metadata", "labels"):
            if not QUALIFIED.fullmatch(name) or not (value == "" or LABEL_VALUE.fullmatch(str(value))):
                yield f"{short(name)}={short(value)} is no label"
        notes = list(_pairs(place, "metadata", "annotations"))
        if sum(len(name) + len(str(value)) for name, value in notes) > _ANNOTATIONS_LIMIT:
            yield "the annotations are too long"
        yield from (
            f"{short(name)} names no annotation" for name, _ in notes if not QUALIFIED.fullmatch(name)
        )


def _job(manifest: Object) -> Iterator[str]:
    spec = part(manifest, "spec")
    if number(spec, "completions") != 1 or number(spec, "parallelism") != 1:
        yield "completions and parallelism must be 1: an attempt has one pod"
    if part(spec, "backoffLimit") != 0:
        yield "backoffLimit must be 0: the launcher decides what is repeated"
    if number(spec, "ttlSecondsAfterFinished") < _SHORTEST_TTL_S:
        yield f"ttlSecondsAfterFinished is below {_SHORTEST_TTL_S}: an end could be missed"
    if part(spec, "activeDeadlineSeconds") is not None:
        yield "activeDeadlineSeconds of the Job counts the time in the queue: set the pod's"
    if part(spec, "podFailurePolicy") is not None and _word(spec, "podReplacementPolicy") != "Failed":
        yield "podReplacementPolicy must be Failed where there is a podFailurePolicy"
    if bool(part(spec, "suspend")) != bool(part(manifest, "metadata", "labels", QUEUE_LABEL)):
        yield "a Job is suspended just when it has Kueue's label: nobody else lets it go"


def _pod(pod: object) -> Iterator[str]:
    if _word(pod, "restartPolicy") != "Never":
        yield "restartPolicy must be Never: a pod is one attempt"
    if number(pod, "activeDeadlineSeconds") <= 0:
        yield "activeDeadlineSeconds must be above 0"
    if number(pod, "terminationGracePeriodSeconds") <= 0:
        yield "terminationGracePeriodSeconds must be above 0: there would be no checkpoint"
    if part(pod, "automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken must be false"
    yield from (
        f"{name} must not be set" for name in ("hostNetwork", "hostPID", "hostIPC") if part(pod, name)
    )
    security = part(pod, "securityContext")
    if part(security, "runAsNonRoot") is not True or number(security, "runAsUser") <= 0:
        yield "runAsNonRoot must be true, with a runAsUser above 0"
    for volume in each(pod, "volumes"):
        if part(volume, "hostPath") is not None:
            yield f"volume {short(_word(volume, 'name'))} must not be a hostPath"
    for taint in each(pod, "tolerations"):
        if _word(taint, "operator") == "Exists" and _word(taint, "value"):
            yield "a toleration that asks for existence has no value"
        if _word(taint, "effect") not in EFFECTS:
            yield f"a taint has no effect {short(_word(taint, 'effect'))}"
    if len(list(each(pod, "containers"))) != 1:
        yield "there must be one container"


def _container(container: Object, pod: object) -> Iterator[str]:
    if not IMAGE.fullmatch(_word(container, "image")):
        yield f"image {short(_word(container, 'image'))} is no image's name"
    command = part(container, "command")
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        yield "the command is empty"
    elif sum(map(len, command)) > _COMMAND_LIMIT or any(map(NO_TEXT.search, command)):
        yield f"the command has more than {_COMMAND_LIMIT} characters, or some that are not UTF-8, or a NUL"
    names = [_word(variable, "name") for variable in each(container, "env")]
    yield from (f"{short(name)} names no variable" for name in names if not _VARIABLE.fullmatch(name))
    yield from _twice("variable", names)
    security = part(container, "securityContext")
    if part(security, "allowPrivilegeEscalation") is not False or part(security, "privileged"):
        yield "the container must not be, or become, privileged"
    yield from _mounts(container, pod)
    yield from _amounts(container)


def _mounts(container: Object, pod: object) -> Iterator[str]:
    volumes = {_word(volume, "name") for volume in each(pod, "volumes")}
    mounts = list(each(container, "volumeMounts"))
    for mount in mounts:
        path, below = _word(mount, "mountPath"), _word(mount, "subPath")
        if _word(mount, "name") not in volumes:
            yield f"a mount names {short(_word(mount, 'name'))}, which is no volume of the pod"
        if not path.startswith("/") or path == "/" or ":" in path or not is_plain(path):
            yield f"mountPath {short(path)} is no absolute path in plain form, without colon"
        if is_of_the_kernel(path):
            yield f"mountPath {short(path)} is a place of the kernel's own"
        if below.startswith("/") or ".." in below.split("/"):
            yield f"subPath {short(below)} leads out of the volume"
        elif below and not is_plain(below):
            yield f"subPath {short(below)} is not in plain form"
    yield from _twice("mountPath", (_word(mount, "mountPath") for mount in mounts))


def _amounts(container: Object) -> Iterator[str]:
    asked, most = (dict(_pairs(container, "resources", kind)) for kind in ("requests", "limits"))
    for name, amount in [*asked.items(), *most.items()]:
        if not QUALIFIED.fullmatch(name):
            yield f"{short(name)} names no resource"
        if quantity(amount) is None:
            yield f"{short(name)} {short(amount)} is no quantity, such as 2, 500m or 4Gi"
    for name in sorted(asked.keys() | most.keys()):
        request, limit = quantity(asked.get(name)), quantity(most.get(name))
        if "/" in name and (request != limit or request is None or request % 1):
            yield f"{name}: request and limit must be the same whole number"
        elif request is not None and limit is not None and request > limit:
            yield f"{name}: the request exceeds the limit"


def _word(value: object, *path: str) -> str:
    found = part(value, *path)
    return found if isinstance(found, str) else ""


def _pairs(value: object, *path: str) -> Iterator[tuple[str, object]]:
    found = part(value, *path)
    if isinstance(found, Mapping):
        yield from ((str(name), item) for name, item in found.items())


def _twice(what: str, names: Iterator[str] | list[str]) -> Iterator[str]:
    yield from (f"{what} {short(name)} comes twice" for name, count in Counter(names).items() if count > 1)
