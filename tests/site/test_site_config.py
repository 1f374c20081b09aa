"""The sections of config.toml about the site's cluster."""

from dataclasses import fields
from pathlib import Path

import pytest
from tests.client.client_tools import ROOT

from foedus.core.errors import InvalidSpec
from foedus.core.records import Resources
from foedus.launch.kubernetes import Toleration, Volume
from foedus.launch.slurm import Container, SlurmRest
from foedus.rounds.spec import JobsSection, RunSpec
from foedus.site.config import held_times, kubernetes_site, resources_for, site_rows, slurm_site
from foedus.site.launchers import backend_of
from foedus.site.settings import SECTIONS, Settings, read_settings

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
    ("text", "message"),
    [
        ("[slurm]\nmodule = []", "unknown key slurm.module; did you mean 'modules'?"),
        ("[slurm]\nretry = 1", "unknown key slurm.retry; did you mean 'retries'?"),
        ("[slurm]\nxyzzy = 1", "unknown key slurm.xyzzy; valid here: cluster, commands, "),
        (
            "[slurm.container]\nimages = 1",
            "unknown key slurm.container.images; did you mean 'image'?\nslurm.container.image: is missing",
        ),
        ("[slurm]\nwarning_s = 'soon'", "slurm.warning_s: must be a whole number"),
        (
            "[slurm]\npoll_s = 0\nretry = 1",
            "unknown key slurm.retry; did you mean 'retries'?\nslurm.poll_s: ",
        ),
        ("slurm = 3", "must be a section [slurm]"),
    ],
)
def test_faults_are_named_with_their_place_and_all_at_once(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        slurm_site(settings(tmp_path, text))
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timeout_s = nan", "[slurm] timeout_s cannot be nan. It must be between "),
        ("timeout_s = -3", "[slurm] timeout_s cannot be -3.0. "),
        ("timeout_s = 1000", "[slurm] timeout_s cannot be 1000.0. "),
        ("warning_s = -5", "[slurm] warning_s cannot be -5. It must be a whole number from 1 to 86400."),
        ("modules = ['a; b']", "[slurm] modules cannot be 'a; b'. "),
        ("[slurm.container]\nimage = 'foedus.sif'", "[slurm] container cannot be 'foedus.sif'. "),
        ("[slurm.rest]\nurl = 'ftp://h'\ntoken_file = '/t'", "url"),
    ],
)
def test_what_no_slurm_can_do_with_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        site_rows(settings(tmp_path, f"[slurm]\n{text}"))
    assert message in caught.value.message
    assert str(tmp_path / "config.toml") in caught.value.hint


@pytest.mark.parametrize(
    ("text", "root", "name"),
    [
        ("start_s = -5", "/shared", "start_s"),
        ("grace_s = -1", "/shared", "grace_s"),
        ("timeout_s = nan", "/shared", "timeout_s"),
        ("restarts = -1", "/shared", "restarts"),
        ("", "shared", "volume.root"),
        ("", "/shared/../etc", "volume.root"),
    ],
)
def test_what_no_kubernetes_can_do_with_is_refused(tmp_path: Path, text: str, root: str, name: str) -> None:
    volume = f"[kubernetes.volume]\nclaim = 'c'\nroot = '{root}'"
    with pytest.raises(InvalidSpec) as caught:
        site_rows(settings(tmp_path, f"[kubernetes]\nimage = 'foedus:1'\n{text}\n{volume}"))
    assert f"[kubernetes] {name} cannot be " in caught.value.message


def test_a_list_of_something_else_is_refused(tmp_path: Path) -> None:
    text = "[kubernetes]\nimage = 'i'\ntolerations = [1, {key = 'a', vlaue = 'b'}]\n[kubernetes.volume]\n"
    with pytest.raises(InvalidSpec) as caught:
        kubernetes_site(settings(tmp_path, text + "claim = 'c'\nroot = '/r'"))
    assert "unknown key kubernetes.tolerations.vlaue; did you mean 'value'?" in caught.value.message
    assert "kubernetes.tolerations.0: " in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cpu = 2", "unknown key resources.cpu; did you mean 'cpus'?"),
        ("cpus = 'many'", "resources.cpus: "),
        ("cpus = 0", "resources.cpus: must be at least 1 (got 0)"),
        ("walltime_s = 0", "resources.walltime_s: must be above 0 (got 0)"),
        ("walltime_s = nan", "resources.walltime_s: must be a finite number (got nan)"),
        ("walltime_s = inf", "resources.walltime_s: must be a finite number (got inf)"),
        ('queue = "a b; $(x)"', "resources.queue: "),
        ('[resources.FL_TRAIN]\nqos = "--wrap=x y"', "resources.FL_TRAIN.qos: "),
        (
            "[resources.FL_TRIAN]\ngpus = 1",
            "unknown application 'FL_TRIAN' in [resources.FL_TRIAN]; did you mean",
        ),
        (
            "cpu = 2\n[resources.FL_TRAIN]\ngpu = 1",
            "unknown key resources.cpu; did you mean 'cpus'?\n"
            "unknown key resources.FL_TRAIN.gpu; did you mean 'gpus'?",
        ),
    ],
)
def test_faults_in_resources_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        resources_for(settings(tmp_path, f"[resources]\n{text}"), "FL_VERIFY", Resources())
    assert message in caught.value.message
    assert str(tmp_path / "config.toml") in caught.value.hint


def test_resources_of_ones_own_applications_and_of_the_prepare_task_can_be_set(tmp_path: Path) -> None:
    (tmp_path / "applications").mkdir()
    (tmp_path / "applications" / "mine.toml").write_text(
        'name = "MINE"\ntitle = "mine"\ncommand = ["true"]\n'
    )
    found = settings(tmp_path, "[resources.MINE]\ncpus = 3\n[resources.FL_PREPARE]\ncpus = 2")
    assert resources_for(found, "MINE", Resources()).cpus == 3
    assert resources_for(found, "FL_PREPARE", Resources()).cpus == 2


def test_what_kubernetes_needs_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match=r"kubernetes.image.*\n.*kubernetes.volume"):
        kubernetes_site(settings(tmp_path, "[kubernetes]\nnamespace = 'x'"))


def test_what_is_in_force_is_told_with_its_origin(tmp_path: Path) -> None:
    file = str(tmp_path / "config.toml")
    rows = site_rows(
        settings(tmp_path, 'launcher = "slurm"\n[resources.FL_TRAIN]\ngpus = 1\n[slurm]\npoll_s = 5')
    )
    told = {name: (value, where) for name, value, where in rows}
    assert told["resources.FL_TRAIN.gpus"] == (1, file)
    assert told["slurm.poll_s"] == (5.0, file)
    assert told["slurm.retries"] == (2, "default")
    assert told["slurm.modules"] == ((), "default")
    assert not any(name.startswith("kubernetes") for name in told)


def test_a_memory_limit_in_the_settings_holds_on_this_machine_too(tmp_path: Path) -> None:
    spec = RunSpec()
    text = "[resources]\nmemory_mb = 900\nwalltime_s = 60\n[resources.FL_TRAIN]\nmemory_mb = 1500"
    here = backend_of(settings(tmp_path, text)).resources
    assert here(spec, "FL_VERIFY") == Resources(memory_mb=900, walltime_s=spec.jobs.walltime_s)
    assert here(spec, "FL_TRAIN").memory_mb == 1500
    assert backend_of(settings(tmp_path, "")).resources(spec, "FL_TRAIN").memory_mb is None


def test_a_batch_job_asks_for_as_many_processors_as_it_has_threads(tmp_path: Path) -> None:
    spec = RunSpec(jobs=JobsSection(threads=4))
    on_slurm = backend_of(settings(tmp_path, 'launcher = "slurm"\n[resources.FL_TRAIN]\ncpus = 8')).resources
    assert on_slurm(spec, "FL_TRAIN").cpus == 8
    assert on_slurm(spec, "FL_VERIFY").cpus == 4
    assert on_slurm(spec, "FL_VERIFY").walltime_s == 3600


def test_how_allocations_are_held_can_be_set(tmp_path: Path) -> None:
    found = settings(tmp_path, 'allocation = "held"\n[held]\nwalltime_s = 7200\n')
    assert (found.allocation, held_times(found).walltime_s, held_times(found).idle_s) == ("held", 7200, 600)
    told = {name: where for name, _, where in site_rows(found)}
    assert (told["held.walltime_s"], told["held.idle_s"]) == (str(tmp_path / "config.toml"), "default")
    assert not any(name.startswith("held") for name, _, _ in site_rows(settings(tmp_path, "")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[held]\nwalltime = 3", "unknown key held.walltime; did you mean 'walltime_s'?"),
        ("[held]\nidle_s = 'long'", "held.idle_s: "),
        ("[held]\nidle_s = 0", "idle_s of held allocations must be above 0 s"),
    ],
)
def test_faults_in_held_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        held_times(settings(tmp_path, text))
    assert message in caught.value.message


def test_held_allocations_on_kubernetes_need_the_same_path_on_both_sides(tmp_path: Path) -> None:
    text = 'launcher = "kubernetes"\nallocation = "held"\n[kubernetes]\nimage = "i"\n[kubernetes.volume]\n'
    found = settings(tmp_path, f'{text}claim = "c"\nroot = "/here"\nmount_path = "/there"\n')
    with pytest.raises(InvalidSpec, match="mount_path"), backend_of(found).open(RunSpec(), tmp_path):
        raise AssertionError("it was opened")


def test_the_reference_names_every_setting_and_section() -> None:
    text = (ROOT / "docs/reference/cli.md").read_text().partition("## Settings")[2]
    keys = [field.name for field in fields(Settings) if field.name not in ("home", "sections", "origin")]
    assert [key for key in keys if f"| `{key}` | `FOEDUS_{key.upper()}` |" not in text] == []
    assert [name for name in SECTIONS if f"`[{name}]`" not in text] == []
