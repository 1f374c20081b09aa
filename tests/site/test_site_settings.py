"""Settings: which layer wins, and what is refused."""

from pathlib import Path

import pytest

from foedus.core.errors import InvalidSpec
from foedus.rounds.spec import load_spec, parse_spec
from foedus.site.settings import Settings, ignored_variables, read_settings
from foedus.site.specs import DEMO, for_this_machine


def test_without_anything_the_defaults_hold() -> None:
    settings = read_settings(environ={})

    assert settings.home == Path("~/.foedus").expanduser()
    assert (settings.data, settings.workers, settings.log_level) == (None, None, "warning")
    assert settings.origin == {"home": "default"}


def test_command_line_beats_environment_beats_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('workers = 2\nlog_level = "info"\ndata = "from-file"\n')
    environ = {"FOEDUS_HOME": "/elsewhere", "FOEDUS_WORKERS": "4", "FOEDUS_DATA": "/from-environment"}

    settings = read_settings(home=tmp_path, data=Path("/from-line"), environ=environ)

    assert settings.home == tmp_path
    assert (settings.workers, settings.log_level, settings.data) == (4, "info", Path("/from-line"))
    assert settings.origin == {
        "home": "command line",
        "workers": "FOEDUS_WORKERS",
        "log_level": str(tmp_path / "config.toml"),
        "data": "command line",
    }


def test_home_comes_from_the_environment_and_brings_its_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("threads = 3\n")

    settings = read_settings(environ={"FOEDUS_HOME": str(tmp_path)})

    assert (settings.home, settings.threads) == (tmp_path, 3)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("worker = 2", "unknown key 'worker'", "Did you mean 'workers'?"),
        (
            "zzz = 2",
            "unknown key 'zzz'",
            "Valid here: allocation, data, held, kubernetes, launcher, log_level, ",
        ),
        ("workers = 0", "workers must be a number from 1 to 256, got 0", ""),
        ("workers = true", "workers must be a number", ""),
        ("workers = 1.5", "workers must be a number", ""),
        ("data = 7", "data must be the path of a folder, got 7", ""),
        ('log_level = "loud"', "log_level must be one of debug, info, warning, error", ""),
        ("workers = ", "is not TOML", "Correct the file"),
        ("\udcff", "is not TOML", "Correct the file"),
    ],
)
def test_unusable_config_file_is_refused(tmp_path: Path, text: str, message: str, hint: str) -> None:
    (tmp_path / "config.toml").write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(InvalidSpec) as caught:
        read_settings(home=tmp_path, environ={})

    assert message in caught.value.message
    assert hint in caught.value.hint


def test_config_file_that_is_a_folder_or_huge_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a" / "config.toml").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.toml").write_bytes(b"#" * ((1 << 20) + 1))

    for name, message in (("a", "cannot read"), ("b", "is larger than")):
        with pytest.raises(InvalidSpec, match=message):
            read_settings(home=tmp_path / name, environ={})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FOEDUS_WORKERS", "many", "FOEDUS_WORKERS: workers must be a number from 1 to 256, got 'many'"),
        ("FOEDUS_LOG_LEVEL", "loud", "must be one of"),
        ("FOEDUS_WORKER", "2", "unknown environment variable FOEDUS_WORKER"),
        ("FOEDUS_DEVICE", "gpu", "FOEDUS_DEVICE must be one of cpu, cuda, got 'gpu'"),
        ("FOEDUS_DEVICES", "cpu", "unknown environment variable FOEDUS_DEVICES"),
    ],
)
def test_unusable_variable_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        read_settings(environ={name: value})


def test_the_device_of_tasks_is_a_variable_of_ours_and_no_key_of_the_file(tmp_path: Path) -> None:
    environ = {"FOEDUS_DEVICE": "cuda"}
    assert read_settings(environ=environ).origin == {"home": "default"}
    assert ignored_variables(environ) == []

    (tmp_path / "config.toml").write_text('device = "cuda"')
    with pytest.raises(InvalidSpec, match="unknown key 'device'"):
        read_settings(home=tmp_path, environ={})


def test_the_home_folder_of_nobody_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('data = "~nosuch/data"')
    places = [
        (lambda: read_settings(home=Path("~nosuch/x"), environ={}), "--home: "),
        (lambda: read_settings(environ={"FOEDUS_HOME": "~nosuch"}), "FOEDUS_HOME: "),
        (lambda: read_settings(environ={"FOEDUS_DATA": "~nosuch"}), "FOEDUS_DATA: data: "),
        (lambda: read_settings(home=tmp_path, environ={}), f"{tmp_path / 'config.toml'}: data: "),
    ]
    spec = parse_spec({"data": {"folder": "~nosuch/x"}})
    places.append((lambda: for_this_machine(spec, Settings(home=tmp_path)), "data.folder: "))
    for read, where in places:
        with pytest.raises(InvalidSpec) as caught:
            read()
        assert caught.value.message.startswith(f"{where}nobody knows the home folder that '~nosuch")


def test_variables_that_look_like_nothing_of_ours_are_ignored_but_told() -> None:
    environ = {"FOEDUS_CLUSTER_PARTITION": "gpu", "PATH": "/bin", "FOEDUS_HOME": ""}

    assert read_settings(environ=environ).origin == {"home": "default"}
    assert ignored_variables(environ) == ["FOEDUS_CLUSTER_PARTITION"]


def test_settings_replace_data_and_workers_of_a_spec(tmp_path: Path) -> None:
    spec = parse_spec({"jobs": {"workers": 5}, "data": {"folder": "relative"}})

    same = for_this_machine(spec, Settings(home=tmp_path))
    changed = for_this_machine(spec, Settings(home=tmp_path, data=tmp_path, workers=2, threads=3))

    assert (same.jobs.workers, same.data.folder) == (5, str(Path("relative").absolute()))
    assert (changed.jobs.workers, changed.jobs.threads) == (2, 3)
    assert (changed.data.source, changed.data.folder) == ("folder", str(tmp_path))


def test_demo_spec_is_the_papers_second_partition_with_its_proximal_term() -> None:
    spec = load_spec(DEMO)

    assert (spec.name, spec.rounds, spec.partition.kind, spec.partition.clients) == (
        "demo",
        10,
        "noniid-2",
        3,
    )
    assert (spec.data.images, spec.model.name) == (5000, "cnn")
    assert spec.algorithm.params == {"mu": 0.1, "prox_convention": "paper"}
