"""Manifests: the golden one, what each wish turns into, and what is refused before one is made."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from k8s_tools import FOLDER, HOSTILE, NAME, PLAIN, SITE, order, site
from kubernetes_validate.utils import all_versions, major_minor
from tests.kubernetes.fake_kubelet import expanded

from foedus.core.errors import InvalidSpec
from foedus.launch.cluster import Order
from foedus.launch.kubernetes import KubernetesScheduler, KubernetesSite, Toleration, Volume
from foedus.launch.kubernetes.manifest import job_manifest
from foedus.launch.kubernetes.rules import faults

GOLDEN = Path(__file__).with_name("golden_kubernetes_job.json")
SUPPORTED = [f"1.{minor}" for minor in range(29, 38)]
FULL = order(
    cpus=8,
    memory_mb=32_000,
    gpus=2,
    gpu_type="NVIDIA-H100-80GB-HBM3",
    walltime_s=3600.5,
    queue="team-a",
    qos="high",
    constraint="topology.kubernetes.io/zone=a,disk=ssd",
    scratch_mb=500,
)
EVERYTHING = site(
    volume=Volume("work", "/shared", "/foedus", "members/one"),
    service_account="foedus",
    node_selector={"pool": "gpu"},
    tolerations=(Toleration("nvidia.com/gpu"), Toleration("team", "a", "NoSchedule")),
    prologue="ulimit -c 0\n",
    grace_s=90,
    start_s=300,
    ttl_s=7200,
)


def made(wanted: Order, settings: KubernetesSite = SITE) -> Any:  # noqa: ANN401 - JSON
    return job_manifest(wanted, settings)


def pod_of(wanted: Order, settings: KubernetesSite = SITE) -> Any:  # noqa: ANN401 - JSON
    return made(wanted, settings)["spec"]["template"]["spec"]


@pytest.fixture(autouse=True)
def no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOEDUS_DEVICE", raising=False)


def test_the_fullest_manifest_is_the_golden_one() -> None:
    assert made(FULL, EVERYTHING) == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("version", SUPPORTED)
@pytest.mark.parametrize(("wanted", "settings"), [(PLAIN, SITE), (FULL, EVERYTHING)], ids=["plain", "full"])
def test_manifests_are_valid_for_every_supported_release(
    version: str, wanted: Order, settings: KubernetesSite
) -> None:
    assert kubernetes_validate.validate(made(wanted, settings), version, strict=True) == version
    assert faults(made(wanted, settings)) == []


def test_all_releases_that_have_schemas_are_tried() -> None:
    known = {major_minor(version) for version in all_versions()}
    assert {version for version in known if int(version.partition(".")[2]) >= 29} == set(SUPPORTED)


def test_what_is_not_asked_for_is_left_out() -> None:
    pod = pod_of(PLAIN)
    assert not {"nodeSelector", "tolerations", "priorityClassName", "serviceAccountName"} & pod.keys()
    assert "suspend" not in made(PLAIN)["spec"]
    amounts = {"cpu": "1"}
    assert pod["containers"][0]["resources"] == {"requests": amounts, "limits": amounts}
    assert {"name": "scratch", "emptyDir": {}} in pod["volumes"]


def test_a_job_without_gpus_sees_none() -> None:
    variables = {v["name"]: v["value"] for v in pod_of(PLAIN)["containers"][0]["env"]}
    assert variables["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert "NVIDIA_VISIBLE_DEVICES" not in str(pod_of(order(gpus=1)))


def test_a_forced_device_reaches_the_job_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOEDUS_DEVICE", "$(HOME)")
    variables = {v["name"]: v["value"] for v in pod_of(PLAIN)["containers"][0]["env"]}
    assert expanded(variables["FOEDUS_DEVICE"], variables) == "$(HOME)"


def test_the_queue_of_the_resources_comes_before_that_of_the_site() -> None:
    settings = site(queue="site-queue")
    queues = [made(wanted, settings)["metadata"]["labels"] for wanted in (PLAIN, order(queue="own"))]
    assert [labels["kueue.x-k8s.io/queue-name"] for labels in queues] == ["site-queue", "own"]
    assert made(PLAIN, settings)["spec"]["suspend"] is True


def test_the_deadline_counts_from_the_start_on_a_node() -> None:
    manifest = made(order(walltime_s=100.1), site(start_s=10))
    assert manifest["spec"]["template"]["spec"]["activeDeadlineSeconds"] == 111
    assert "activeDeadlineSeconds" not in manifest["spec"], "that one would count the time in the queue"


def test_only_the_job_folder_is_renamed_for_the_pod() -> None:
    settings = site(volume=Volume("work", "/shared", "/mnt"))
    wanted = replace(PLAIN, argv=("python3", FOLDER, f"{FOLDER}/x", "/shared"))
    container = pod_of(wanted, settings)["containers"][0]
    assert container["command"] == ["python3", "/mnt/shared/jobs/a b", f"{FOLDER}/x", "/shared"]
    assert container["workingDir"] == "/mnt/shared/jobs/a b"


@pytest.mark.parametrize("folder", ["/elsewhere/job", "/shared", "/sharedjob", "/shared/../etc/job"])
def test_a_folder_that_is_not_on_the_volume_is_refused(folder: str) -> None:
    with pytest.raises(InvalidSpec, match="job folder"):
        made(replace(PLAIN, folder=folder))


@pytest.mark.parametrize(
    "text", ["$(HOME)", "$$(HOME)", "$HOME", "a$", "$$", "$(", "`id`", "'\"\\", "-n", "ä"]
)
def test_arguments_reach_the_program_unchanged(text: str) -> None:
    """The kubelet replaces `$(NAME)`; no shell reads arguments, with a prologue neither."""
    for settings in (SITE, EVERYTHING):
        wanted = replace(PLAIN, argv=("program", text), folder="/shared/job")
        container = pod_of(wanted, settings)["containers"][0]
        variables = {v["name"]: v["value"] for v in container["env"]}
        assert [expanded(word, variables) for word in container["command"]][-2:] == ["program", text]


def test_the_prologue_is_sourced_by_a_fixed_script() -> None:
    first = pod_of(PLAIN, site(prologue="echo one\n"))["containers"][0]["command"]
    second = pod_of(PLAIN, site(prologue="echo $(two)'\n"))["containers"][0]["command"]
    assert first == second
    assert first[:2] == ["/bin/sh", "-c"]
    assert first[3:] == ["foedus", f"{FOLDER}/prologue.sh", *PLAIN.argv]


def test_an_applications_name_becomes_a_bounded_plain_note() -> None:
    notes = made(replace(PLAIN, application='x\n"$(id)ä' + "y" * 9999))["metadata"]["annotations"]
    assert notes["foedus/application"] == "x____id__" + "y" * 247


# --- what is refused ---


def refusal(wanted: Order = PLAIN, settings: KubernetesSite = SITE) -> InvalidSpec:
    with pytest.raises(InvalidSpec) as caught:
        KubernetesScheduler(settings).check(wanted)
    assert len(str(caught.value)) < 400
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
@pytest.mark.parametrize("field", ["queue", "account", "qos", "constraint", "gpu_type"])
def test_hostile_wishes_are_refused_by_name(field: str, text: str) -> None:
    assert field in refusal(order(**{field: text, "gpus": 1})).message


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
@pytest.mark.parametrize(
    "field",
    ["namespace", "image", "context", "service_account", "queue", "gpu_resource", "gpu_type_label"],
)
def test_hostile_settings_are_refused_by_name(field: str, text: str) -> None:
    assert field in refusal(settings=site(**{field: text})).message


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
def test_hostile_settings_within_settings_are_refused(text: str) -> None:
    refusal(settings=site(volume=Volume(text, "/shared")))
    refusal(settings=site(volume=Volume("work", text)))
    refusal(settings=site(node_selector={text: "a"}))
    refusal(settings=site(node_selector={"a": text}))
    refusal(settings=site(tolerations=(Toleration(text),)))
    refusal(settings=site(tolerations=(Toleration("a", text),)))
    refusal(settings=site(tolerations=(Toleration("a", effect=text),)))


@pytest.mark.parametrize(
    "path",
    [
        *("relative", "/a/../b", "/a:b", "/a\nb", "/a$b", "/", "/a'b", "/" + "x" * 2000),
        *("/tmp/", "/a//b", "//a", "/a/./b", "/a/.", "/proc", "/proc/1", "/sys", "/dev/shm"),  # noqa: S108
    ],
)
def test_unfit_mount_paths_are_refused(path: str) -> None:
    assert "mount_path" in refusal(settings=site(volume=Volume("work", "/shared", path))).message


@pytest.mark.parametrize("path", ["/", "//shared", "/shared/", "/sh'ared", "/proc", "relative"])
def test_an_unfit_root_is_named_as_such(path: str) -> None:
    assert "volume.root" in refusal(settings=site(volume=Volume("work", path))).message


def test_a_root_needs_no_plain_name_where_it_is_mounted_elsewhere() -> None:
    settings = site(volume=Volume("work", "/sh'ared", "/processes"))
    KubernetesScheduler(settings).check(replace(PLAIN, folder="/sh'ared/job"))


@pytest.mark.parametrize(
    "path", ["/absolute", "../up", "a/../../b", "a\nb", "$(id)", "a//b", "a/", "a/./b", "a/.."]
)
def test_unfit_sub_paths_are_refused(path: str) -> None:
    assert "sub_path" in refusal(settings=site(volume=Volume("work", "/shared", "", path))).message


@pytest.mark.parametrize(
    "name", ["a..b/c", "a-.b/c", "a.-b/c", "a./c", "-a/c", "A/c", "/c", "a" * 254 + "/c"]
)
def test_prefixes_of_labels_are_domains(name: str) -> None:
    assert "node_selector" in refusal(settings=site(node_selector={name: "v"})).message
    assert "constraint" in refusal(order(constraint=f"{name}=v")).message


def test_a_node_cannot_have_two_values_of_one_label() -> None:
    assert "disk" in (refusal(order(constraint="disk=ssd,disk=hdd")).hint or "")
    settings = site(node_selector={"disk": "ssd"}, gpu_type_label="gpu")
    assert "disk=hdd" in refusal(order(constraint="disk=hdd"), settings).message
    assert "gpu=h100" in refusal(order(constraint="gpu=a100", gpus=1, gpu_type="h100"), settings).message
    assert pod_of(order(constraint="disk=ssd,zone=a"), settings)["nodeSelector"] == {
        "disk": "ssd",
        "zone": "a",
    }


@pytest.mark.parametrize(
    "folder", ["relative", "/shared/a\nb", "/shared/a\\b", "/shared/a:b", "/shared/\udcff", ""]
)
def test_unfit_job_folders_are_refused(folder: str) -> None:
    assert "job folder" in refusal(replace(PLAIN, folder=folder)).message


@pytest.mark.parametrize(
    "resources",
    [
        {"cpus": 0},
        {"cpus": True},
        {"cpus": 1.5},
        {"cpus": "two"},
        {"memory_mb": 0},
        {"memory_mb": 1 << 40},
        {"gpus": -1},
        {"gpu_type": "H100"},
        {"scratch_mb": -1},
        {"walltime_s": 0.0},
        {"walltime_s": float("inf")},
        {"walltime_s": float("nan")},
        {"account": "physics"},
        {"constraint": "ssd"},
        {"constraint": "a=b,,c=d"},
    ],
)
def test_impossible_wishes_are_refused(resources: dict[str, object]) -> None:
    refusal(order(**resources))


@pytest.mark.parametrize(
    "settings",
    [
        {"grace_s": 0},
        {"start_s": -1},
        {"ttl_s": 10},
        {"restarts": 1.5},
        {"timeout_s": 60.0},
        {"timeout_s": 0.0},
        {"user": -1},
        {"user": 0},
        {"group": 1 << 40},
        {"prologue": "x" * 20_000},
        {"prologue": "a\0"},
        {"prologue": "\ud800"},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    refusal(settings=site(**settings))


@pytest.mark.parametrize(
    "argv", [(), ("a\0b",), ("\udcff",), ("x" * 200_000,)], ids=["empty", "NUL", "not UTF-8", "endless"]
)
def test_commands_that_cannot_be_carried_are_refused(argv: tuple[str, ...]) -> None:
    assert "command" in refusal(replace(PLAIN, argv=argv)).message


def test_without_a_setting_jobs_run_as_who_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    monkeypatch.setattr(os, "getgid", lambda: 99)
    context = pod_of(PLAIN, site(user=None, group=None))["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == (4321, 99)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert "root" in refusal(settings=site(user=None)).message


def test_names_from_the_launcher_are_what_the_job_is_called() -> None:
    manifest = made(PLAIN)
    assert manifest["metadata"]["name"] == NAME
    assert manifest["metadata"]["labels"]["foedus/job"] == NAME
    assert manifest["spec"]["template"]["metadata"]["labels"]["foedus/job"] == NAME
    assert manifest["metadata"]["annotations"]["foedus/folder"] != FOLDER, "paths stay out of the API"
