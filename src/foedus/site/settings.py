"""Settings of this machine: `config.toml` of the home folder, then `FOEDUS_*` variables, read once.

A run spec says what is computed and may be shared; settings say where and with how much of this machine. So
settings win over the spec.
"""

import difflib
import os
import reprlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from foedus.core.errors import InvalidSpec
from foedus.learn.arguments import hint_for

PREFIX: Final = "FOEDUS_"
CONFIG_FILE: Final = "config.toml"
DEFAULT_HOME: Final = Path("~/.foedus")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LAUNCHERS: Final = ("local", "slurm", "kubernetes")
ALLOCATIONS: Final = ("per-task", "held")
SECTIONS: Final = ("resources", "slurm", "kubernetes", "held", "server", "oidc")
_MOST_WORKERS: Final = 256
_DEVICE: Final = f"{PREFIX}DEVICE"  # only a variable: batch jobs inherit it, and read it where they compute
_NOT_OURS: Final = frozenset({"FOEDUS_SHARED", "FOEDUS_REQUIRE_ALL"})  # these steer the test suite


@dataclass(frozen=True, slots=True)
class Settings:
    """What this machine is set to, and in `origin` where each value was said."""

    home: Path
    data: Path | None = None  # folder with the four idx files; replaces the one in a run spec
    workers: int | None = None  # warm worker processes; replaces jobs.workers of a run spec
    threads: int | None = None  # threads of each; replaces jobs.threads of a run spec
    log_level: str = "warning"  # of foedus.log in the home folder
    launcher: str = "local"  # what runs batch jobs: one of LAUNCHERS
    allocation: str = "per-task"  # of a run's tasks on a cluster: one of ALLOCATIONS
    sections: Mapping[str, object] = field(default_factory=dict)  # of the file, for `foedus.site.config`
    origin: Mapping[str, str] = field(default_factory=dict)


def read_settings(
    home: Path | None = None,
    data: Path | None = None,
    environ: Mapping[str, str] | None = None,
    launcher: str | None = None,
) -> Settings:
    """Read all settings; `home`, `data` and `launcher` are what the command line says, which wins.

    Raises `InvalidSpec` for an unknown key, naming the nearest valid one, and for an unusable value.
    """
    variables = os.environ if environ is None else environ
    if word := variables.get(_DEVICE, ""):
        _word_of("cpu", "cuda")(word, _DEVICE)
    said = _from_environment(variables)
    root, root_origin = _home_of(home, variables)
    values: dict[str, object] = {}
    origin = {"home": root_origin}
    file = _from_file(root / CONFIG_FILE)
    sections = {key: value for key, value in file.items() if key in SECTIONS}
    layers: list[tuple[Mapping[str, object], str]] = [
        ({key: value for key, value in file.items() if key not in SECTIONS}, str(root / CONFIG_FILE)),
        (said, "environment"),
        ({"data": str(data)} if data else {}, "command line"),
        ({"launcher": launcher} if launcher else {}, "command line"),
    ]
    for layer, where in layers:
        for key, value in layer.items():
            label = f"{PREFIX}{key.upper()}" if where == "environment" else where
            values[key] = _SETTINGS[key](value, f"{label}: {key}")
            origin[key] = label
    return Settings(home=root, origin=origin, sections=sections, **values)  # type: ignore[arg-type]  # each was made by its reader


def ignored_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the `FOEDUS_*` variables that mean nothing to us."""
    names = os.environ if environ is None else environ
    known = {f"{PREFIX}{key.upper()}" for key in _VARIABLES} | _NOT_OURS
    return sorted(name for name in names if name.startswith(PREFIX) and name not in known)


def _home_of(home: Path | None, variables: Mapping[str, str]) -> tuple[Path, str]:
    if home is not None:
        chosen, origin = home, "command line"
    elif variables.get("FOEDUS_HOME"):
        chosen, origin = Path(variables["FOEDUS_HOME"]), "FOEDUS_HOME"
    else:
        chosen, origin = DEFAULT_HOME, "default"
    return whole_path(chosen, "--home" if home is not None else origin), origin


def _from_environment(variables: Mapping[str, str]) -> dict[str, object]:
    """Return the settings that variables give. One that is almost a known name is a typing error."""
    for name in ignored_variables(variables):
        close = difflib.get_close_matches(
            name, [f"{PREFIX}{key.upper()}" for key in _VARIABLES], n=1, cutoff=0.85
        )
        if close:
            raise InvalidSpec(f"unknown environment variable {name}", f"Did you mean {close[0]}?")
    named = {key: variables.get(f"{PREFIX}{key.upper()}", "") for key in _SETTINGS}
    return {key: text for key, text in named.items() if text}


def _from_file(path: Path) -> dict[str, object]:
    values = _parse(path)
    for key in values:
        if key not in _SETTINGS and key not in SECTIONS:
            raise InvalidSpec(f"{path}: unknown key {key!r}", hint_for(key, (*_SETTINGS, *SECTIONS)))
    return values


def _parse(path: Path) -> dict[str, Any]:
    with suppress(OSError):  # what cannot be looked at is told below
        if not path.exists():
            return {}
    from foedus.rounds.spec import read_toml  # brings Pydantic along: slow

    return read_toml(path, "Correct the file or remove it; without it the defaults hold.")


# --- one reader per setting: from what was said to the value ---


def _path(value: object, where: str) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidSpec(f"{where} must be the path of a folder, got {reprlib.repr(value)}")
    return whole_path(Path(value), where)


def whole_path(path: Path, where: str) -> Path:
    """Return the absolute path, with `~` and `~user` replaced. Raises `InvalidSpec` for an unknown user.

    `where` says in an error where the path was given.
    """
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise InvalidSpec(
            f"{where}: nobody knows the home folder that {reprlib.repr(str(path))} begins with",
            "Write the whole path.",
        ) from error


def _count(value: object, where: str) -> int:
    try:
        count = int(value) if isinstance(value, str) else value
    except ValueError:
        count = None
    if type(count) is not int or not 1 <= count <= _MOST_WORKERS:
        raise InvalidSpec(f"{where} must be a number from 1 to {_MOST_WORKERS}, got {reprlib.repr(value)}")
    return count


def _word_of(*valid: str) -> Callable[[object, str], str]:
    def read(value: object, where: str) -> str:
        word = value.lower() if isinstance(value, str) else ""
        if word not in valid:
            raise InvalidSpec(f"{where} must be one of {', '.join(valid)}, got {reprlib.repr(value)}")
        return word

    return read


_SETTINGS: Final[dict[str, Callable[[object, str], object]]] = {
    "data": _path,
    "workers": _count,
    "threads": _count,
    "log_level": _word_of(*LOG_LEVELS),
    "launcher": _word_of(*LAUNCHERS),
    "allocation": _word_of(*ALLOCATIONS),
}
_VARIABLES: Final = (*_SETTINGS, "home", "device")
