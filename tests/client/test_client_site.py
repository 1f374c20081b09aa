"""The sections of config.toml about the site's cluster."""

from pathlib import Path

import pytest

from foedus.client.settings import Settings, read_settings
from foedus.client.site import kubernetes_site, resources_for, slurm_site
from foedus.core.errors import InvalidSpec
from foedus.core.records import Resources
from foedus.launch.kubernetes import Toleration, Volume
from foedus.launch.slurm import Container, SlurmRest

FULL = """
launcher = "slurm"

[resources]
memory_mb = 4000
queue = "batch"

[resources.FL_TRAIN]
gpus = 1
queue = "gpu"

[slurm]
modules = ["cuda/12"]
prologue = "ulimit -c 0"
warning_s = 90
python = "/opt/foedus/bin/python"
poll_s = 5

[slurm.container]
image = "/images/foedus.sif"
binds = ["/data"]

[slurm.rest]
url = "http://127.0.0.1:6820"
token_file = "/home/me/token"

[kubernetes]
image = "foedus:1"
namespace = "north"
node_selector = { disk = "ssd" }

[kubernetes.volume]
claim = "work"
root = "/shared"

[[kubernetes.tolerations]]
key = "gpu"
"""


def settings(folder: Path, text: str, **environ: str) -> Settings:
    (folder / "config.toml").write_text(text)
    return read_settings(home=folder, environ=environ)


def test_all_sections_are_understood(tmp_path: Path) -> None:
    found = settings(tmp_path, FULL)
    assert found.launcher == "slurm"
    site, common = slurm_site(found)
    assert site.container == Container("/images/foedus.sif", binds=("/data",))
    assert site.rest == SlurmRest("http://127.0.0.1:6820", Path("/home/me/token"))
    assert (site.modules, site.warning_s, common.python, common.poll_s) == (
        ("cuda/12",),
        90,
        "/opt/foedus/bin/python",
        5.0,
    )
    place, _ = kubernetes_site(found)
    assert place.volume == Volume("work", "/shared")
    assert place.tolerations == (Toleration("gpu"),)
    assert place.node_selector == {"disk": "ssd"}


def test_resources_of_an_application_come_before_those_of_all(tmp_path: Path) -> None:
    found = settings(tmp_path, FULL)
    usual = Resources(cpus=2, memory_mb=100)
    assert resources_for(found, "FL_VERIFY", usual) == Resources(cpus=2, memory_mb=4000, queue="batch")
    wanted = Resources(cpus=2, memory_mb=4000, queue="gpu", gpus=1)
    assert resources_for(found, "FL_TRAIN", usual) == wanted


def test_without_sections_the_defaults_hold(tmp_path: Path) -> None:
    found = settings(tmp_path, "")
    assert found.launcher == "local"
    assert slurm_site(found)[0].modules == ()
    assert resources_for(found, "FL_TRAIN", Resources()) == Resources()


def test_the_environment_and_the_command_line_choose_the_launcher(tmp_path: Path) -> None:
    assert settings(tmp_path, 'launcher = "slurm"', FOEDUS_LAUNCHER="kubernetes").launcher == "kubernetes"
    assert read_settings(home=tmp_path, environ={}, launcher="local").launcher == "local"
    with pytest.raises(InvalidSpec, match="launcher must be one of local, slurm, kubernetes"):
        settings(tmp_path, 'launcher = "pbs"')


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[slurm]\nmodule = []", "unknown key slurm.module", "Did you mean 'modules'?"),
        ("[slurm]\nretry = 1", "unknown key slurm.retry", "Did you mean 'retries'?"),
        ("[slurm.container]\nimages = 1", "unknown key slurm.container.images", "Did you mean 'image'?"),
        ("[slurm]\nwarning_s = 'soon'", "slurm.warning_s", "config check"),
        ("[slurm]\npoll_s = 0", "slurm.poll_s", "config check"),
        ("slurm = 3", "must be a section [slurm]", ""),
    ],
)
def test_faults_are_named_with_their_place(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        slurm_site(settings(tmp_path, text))
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["[resources]\ncpu = 2", "[resources]\ncpus = 'many'", "resources = 1"])
def test_faults_in_resources_are_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSpec, match="resources"):
        resources_for(settings(tmp_path, text), "FL_TRAIN", Resources())


def test_what_kubernetes_needs_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match=r"kubernetes.image.*\n.*kubernetes.volume"):
        kubernetes_site(settings(tmp_path, "[kubernetes]\nnamespace = 'x'"))
