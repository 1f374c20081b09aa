"""Semantic rules: each error that the schemas accept is found, and named."""

import copy
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import given
from hypothesis import strategies as st
from k8s_tools import order, site

from foedus.core.errors import InvalidSpec
from foedus.launch.kubernetes import Toleration
from foedus.launch.kubernetes.manifest import job_manifest
from foedus.launch.kubernetes.rules import check, faults, quantity

GOOD: Any = job_manifest(
    order(cpus=2, memory_mb=1000, gpus=1, queue="q", walltime_s=60), site(tolerations=(Toleration("gpu"),))
)
POD, CONTAINER = "spec.template.spec", "spec.template.spec.containers.0"
RESOURCES = f"{CONTAINER}.resources"


def at(manifest: Any, path: str) -> Any:  # noqa: ANN401 - JSON
    for name in path.split(".") if path else ():
        manifest = manifest[int(name)] if name.isdecimal() else manifest[name]
    return manifest


def put(path: str, **values: object) -> Callable[[Any], None]:
    """Return a change that sets these values of the object at the path; None removes."""

    def change(manifest: Any) -> None:  # noqa: ANN401 - JSON
        target = at(manifest, path)
        target.update(values)
        for name in [name for name, value in values.items() if value is None]:
            del target[name]

    return change


def add(path: str, item: object) -> Callable[[Any], None]:
    """Return a change that appends to the list at the path."""
    return lambda manifest: at(manifest, path).append(item)


def spoiled(change: Callable[[Any], None]) -> Any:  # noqa: ANN401 - JSON
    manifest = copy.deepcopy(GOOD)
    change(manifest)
    return manifest


def gpu(request: object, limit: object) -> Callable[[Any], None]:
    def change(manifest: Any) -> None:  # noqa: ANN401 - JSON
        at(manifest, f"{RESOURCES}.requests")["nvidia.com/gpu"] = request
        at(manifest, f"{RESOURCES}.limits")["nvidia.com/gpu"] = limit

    return change


ACCEPTED_BY_SCHEMAS = {
    "a pod that is started again": (put(POD, restartPolicy="Always"), "restartPolicy"),
    "a name with capitals": (put("metadata", name="Not_A_Name"), "is no name"),
    "a name that is too long": (put("metadata", name="a" * 64), "is no name"),
    "a namespace with a dot": (put("metadata", namespace="a.b"), "is no name"),
    "a container's bad name": (put(CONTAINER, name="Task 1"), "is no name"),
    "a CPU called two": (put(f"{RESOURCES}.requests", cpu="two"), "is no quantity"),
    "memory without sense": (put(f"{RESOURCES}.limits", memory="4 GB"), "is no quantity"),
    "a negative amount": (put(f"{RESOURCES}.requests", cpu="-1"), "is no quantity"),
    "GPUs asked for and not limited": (gpu("1", "2"), "same whole number"),
    "half a GPU": (gpu("500m", "500m"), "same whole number"),
    "a request above its limit": (put(f"{RESOURCES}.requests", memory="2000Mi"), "exceeds the limit"),
    "a negative deadline": (put(POD, activeDeadlineSeconds=-5), "activeDeadlineSeconds"),
    "a deadline of zero": (put(POD, activeDeadlineSeconds=0), "activeDeadlineSeconds"),
    "a deadline that counts the queue": (put("spec", activeDeadlineSeconds=60), "time in the queue"),
    "retries by the cluster": (put("spec", backoffLimit=6), "backoffLimit"),
    "two pods": (put("spec", parallelism=2), "parallelism"),
    "an end that nobody sees": (put("spec", ttlSecondsAfterFinished=5), "could be missed"),
    "a second pod beside a dying one": (put("spec", podReplacementPolicy="TerminatingOrFailed"), "Failed"),
    "suspended with nobody to let it go": (put("metadata", labels={}), "suspended"),
    "queued, but not suspended": (put("spec", suspend=False), "suspended"),
    "a label that is none": (put("metadata.labels", **{"foedus/job": "a b"}), "is no label"),
    "a label's name that is none": (put("metadata.labels", **{"a b": "c"}), "is no label"),
    "endless annotations": (put("metadata.annotations", note="x" * 300_000), "too long"),
    "an annotation's name that is none": (put("metadata.annotations", **{"a b": "c"}), "no annotation"),
    "a mount without volume": (put(f"{CONTAINER}.volumeMounts.0", name="lost"), "no volume of the pod"),
    "a relative mount": (put(f"{CONTAINER}.volumeMounts.0", mountPath="data"), "no absolute path"),
    "a mount over everything": (put(f"{CONTAINER}.volumeMounts.0", mountPath="/"), "no absolute path"),
    "a mount with a slash too many": (put(f"{CONTAINER}.volumeMounts.0", mountPath="/tmp/"), "plain form"),  # noqa: S108
    "a mount over the kernel's": (put(f"{CONTAINER}.volumeMounts.0", mountPath="/proc"), "the kernel's own"),
    "a part in another form": (put(f"{CONTAINER}.volumeMounts.0", subPath="a//b"), "not in plain form"),
    "a label of no domain": (put("metadata.labels", **{"a..b/c": "d"}), "is no label"),
    "a mount that leads out": (put(f"{CONTAINER}.volumeMounts.0", subPath="../x"), "leads out"),
    "two mounts at one place": (put(f"{CONTAINER}.volumeMounts.0", mountPath="/tmp"), "comes twice"),  # noqa: S108
    "two volumes of one name": (add(f"{POD}.volumes", {"name": "scratch", "emptyDir": {}}), "comes twice"),
    "a folder of the node": (add(f"{POD}.volumes", {"name": "n", "hostPath": {"path": "/"}}), "hostPath"),
    "a variable that is none": (add(f"{CONTAINER}.env", {"name": "1=2", "value": ""}), "no variable"),
    "a variable twice": (add(f"{CONTAINER}.env", {"name": "HOME", "value": ""}), "comes twice"),
    "root": (put(f"{POD}.securityContext", runAsUser=0), "runAsUser"),
    "perhaps root": (put(f"{POD}.securityContext", runAsNonRoot=False), "runAsNonRoot"),
    "escalation": (put(f"{CONTAINER}.securityContext", allowPrivilegeEscalation=True), "privileged"),
    "privilege": (put(f"{CONTAINER}.securityContext", privileged=True), "privileged"),
    "the node's network": (put(POD, hostNetwork=True), "hostNetwork"),
    "a token of the cluster": (put(POD, automountServiceAccountToken=None), "automount"),
    "no time for a checkpoint": (put(POD, terminationGracePeriodSeconds=0), "checkpoint"),
    "no image": (put(CONTAINER, image=""), "no image's name"),
    "an image with spaces": (put(CONTAINER, image="a b"), "no image's name"),
    "no command": (put(CONTAINER, command=[]), "the command is empty"),
    "two containers": (add(f"{POD}.containers", copy.deepcopy(at(GOOD, CONTAINER))), "one container"),
    "existence with a value": (put(f"{POD}.tolerations.0", value="x"), "has no value"),
    "a resource without name": (put(f"{RESOURCES}.limits", **{"a b": "1"}), "no resource"),
}


def test_the_manifest_that_the_others_are_made_of_is_faultless() -> None:
    assert faults(GOOD) == []
    check(GOOD)


@pytest.mark.parametrize("case", ACCEPTED_BY_SCHEMAS)
def test_errors_that_schemas_accept_are_found(case: str) -> None:
    change, words = ACCEPTED_BY_SCHEMAS[case]
    manifest = spoiled(change)
    kubernetes_validate.validate(manifest, "1.37", strict=True)
    assert any(words in fault for fault in faults(manifest)), faults(manifest)
    with pytest.raises(InvalidSpec, match=re.escape(words)):
        check(manifest)


def test_an_effect_that_no_taint_has_is_found() -> None:
    assert any("effect" in fault for fault in faults(spoiled(put(f"{POD}.tolerations.0", effect="Never"))))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", "2"),
        ("0.5", "0.5"),
        ("500m", "0.5"),
        ("4Gi", str(4 * 1024**3)),
        ("4G", "4000000000"),
        ("1Ki", "1024"),
        ("1k", "1000"),
    ],
)
def test_quantities_mean_numbers(text: str, number: str) -> None:
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", "two", "-1", "1 Gi", "1gi", "1K", "Gi", "1e", ".", "٣", "1\n", 1, None, True]
)
def test_other_texts_are_no_quantities(text: object) -> None:
    assert quantity(text) is None


@given(st.integers(0, 10**15), st.sampled_from(["", "m", "k", "M", "Gi", "Ti"]))
def test_quantities_grow_with_their_numbers(number: int, suffix: str) -> None:
    less, more = quantity(f"{number}{suffix}"), quantity(f"{number + 1}{suffix}")
    assert less is not None
    assert more is not None
    assert less < more


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(["spec", POD, CONTAINER, RESOURCES, "metadata"]), st.data())
def test_any_manifest_is_judged_without_a_crash(path: str, data: st.DataObject) -> None:
    manifest = copy.deepcopy(GOOD)
    target = at(manifest, path)
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(json_values)
    faults(manifest)
