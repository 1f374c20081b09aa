"""The sections of `config.toml` that describe this site's cluster, checked by Pydantic.

A run spec says what is computed; these say with how much of which cluster. Every field of `[slurm]` and
`[kubernetes]` is one of `launch.slurm.SlurmSite` and `launch.kubernetes.KubernetesSite`, or of `Common`;
every one of `[held]` is one of `launch.held.HeldTimes`.
"""

import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any, TypeAlias, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from foedus.apps.files import ResourcesSection
from foedus.core.errors import InvalidSpec
from foedus.core.faults import in_words
from foedus.core.records import Resources
from foedus.launch.held import HeldTimes
from foedus.launch.kubernetes import KubernetesSite
from foedus.launch.kubernetes.fields import check_site as check_kubernetes
from foedus.launch.slurm import SlurmSite, scheduler_for
from foedus.learn.arguments import hint_for
from foedus.site.settings import CONFIG_FILE, Settings

PREPARE = "FL_PREPARE"
"""Deals out the data of a run: rounds submit it, so it is no application of the registry."""


class Common(BaseModel):
    """What the sections of both clusters have: the program, and how patient its launcher is."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    python: str = Field("", description="the interpreter as compute nodes see it; ours when empty")
    scratch: str = Field("", description="folder on a disk of each node; TMPDIR of each attempt is below it")
    poll_s: float = Field(2.0, ge=0.1, le=600, description="seconds between two questions about states")
    retries: int = Field(2, ge=0, le=100, description="further submissions after failures of the cluster")


Said: TypeAlias = Mapping[str, Mapping[str, Any]]
"""The resources that settings name, by application; under "" those of all."""


def resources_for(
    settings: Settings, application: str, usual: Resources, own: Collection[str] = ()
) -> Resources:
    """Return what an application's batch jobs ask for: its usual resources, changed by the settings.

    `[resources]` holds for all applications, but not for what of an application's resources is its `own`;
    `[resources.NAME]` holds for one, whatever its file says. Raises `InvalidSpec`.
    """
    return changed(usual, said_of_resources(settings), application, own)


def changed(usual: Resources, said: Said, application: str, own: Collection[str] = ()) -> Resources:
    """Return an application's usual resources, changed by what was said of all and of this one."""
    return replace(usual, **{key: said[name][key] for key, name in changes(said, application, own).items()})


def changes(said: Said, application: str, own: Collection[str] = ()) -> Mapping[str, str]:
    """Return which of an application's resources the settings change, and by whose section, as in `Said`."""
    of_all = dict.fromkeys(said.get("", {}).keys() - set(own), "")
    return of_all | dict.fromkeys(said.get(application, {}), application)


def said_of_resources(settings: Settings) -> Said:
    """Return the resources that the settings name. Raises `InvalidSpec` with one line per fault."""
    section = _table(settings, "resources")
    tables = {name: table for name, table in section.items() if isinstance(table, dict)}
    tables = {"": {k: v for k, v in section.items() if k not in tables}, **tables}
    faults: list[str] = []
    said: dict[str, Mapping[str, Any]] = {}
    for name, table in tables.items():
        place = f"resources.{name}" if name else "resources"
        if name and (known := _applications(settings)) and name not in known:
            faults.append(f"unknown application {name!r} in [{place}]{_nearest(name, known)}")
        else:
            said[name] = _checked(place, table, faults)
    _raise_all(settings, faults)
    return said


def slurm_site(settings: Settings) -> tuple[SlurmSite, Common]:
    """Return the section `[slurm]`. Raises `InvalidSpec` with one line per fault."""
    return _site(settings, "slurm", SlurmSite, scheduler_for)  # which asks Slurm for nothing yet


def kubernetes_site(settings: Settings) -> tuple[KubernetesSite, Common]:
    """Return the section `[kubernetes]`. Raises `InvalidSpec` with one line per fault."""
    return _site(settings, "kubernetes", KubernetesSite, check_kubernetes)


_CLUSTERS: Mapping[str, Callable[[Settings], tuple[Any, Common]]] = {
    "slurm": slurm_site,
    "kubernetes": kubernetes_site,
}


def held_times(settings: Settings) -> HeldTimes:
    """Return the section `[held]`. Raises `InvalidSpec` with one line per fault."""
    faults: list[str] = []
    values = _known("held", _table(settings, "held"), HeldTimes, faults)
    found = _validated("held", values, TypeAdapter(HeldTimes), faults)
    _raise_all(settings, faults)
    assert found is not None
    return found


def site_rows(settings: Settings) -> list[tuple[str, object, str]]:
    """Return (name, value, where it was said) of all settings of sections that are in force.

    Those are what the file says, and of the launcher's cluster the defaults, too. Raises `InvalidSpec`.
    """
    said, file = said_of_resources(settings), str(settings.home / CONFIG_FILE)
    rows: list[tuple[str, object, str]] = [
        (".".join(filter(None, ("resources", name, key))), value, file)
        for name, table in said.items()
        for key, value in table.items()
    ]
    for name, read in _CLUSTERS.items():
        if name in settings.sections or settings.launcher == name:
            section = _table(settings, name)
            site, common = read(settings)
            values = {field.name: getattr(site, field.name) for field in fields(site)} | dict(common)
            rows += _rows(name, values, section, file)
    if "held" in settings.sections or settings.allocation == "held":
        section = _table(settings, "held")
        rows += _rows("held", asdict(held_times(settings)), section, file)
    return rows


def _rows(
    name: str, values: Mapping[str, object], said: Mapping[str, Any], file: str
) -> list[tuple[str, object, str]]:
    return [(f"{name}.{key}", value, file if key in said else "default") for key, value in values.items()]


Site = TypeVar("Site", SlurmSite, KubernetesSite)


def _site(
    settings: Settings, name: str, kind: type[Site], check: Callable[[Site], object]
) -> tuple[Site, Common]:
    section = _table(settings, name)
    shared = {key: value for key, value in section.items() if key in Common.model_fields}
    own = {key: value for key, value in section.items() if key not in shared}
    faults: list[str] = []
    own = _known(name, own, kind, faults, tuple(Common.model_fields))
    site = _validated(name, own, TypeAdapter(kind), faults)
    common = _validated(name, shared, TypeAdapter(Common), faults)
    if site is not None:
        try:
            check(site)
        except InvalidSpec as fault:
            faults.append(f"[{name}] {fault.message}. {fault.hint}")
    _raise_all(settings, faults)
    assert site is not None
    assert common is not None
    return site, common


def _checked(place: str, values: Mapping[str, Any], faults: list[str]) -> Mapping[str, Any]:
    """Return the resources that a section names, checked as those in an application's file are.

    What is wrong is added to the faults.
    """
    values = _known(place, values, Resources, faults)
    found = _validated(place, values, TypeAdapter(ResourcesSection), faults)
    return {key: getattr(found, key) for key in values} if found is not None else {}


def _table(settings: Settings, name: str) -> Mapping[str, Any]:
    section = settings.sections.get(name, {})
    if not isinstance(section, dict):
        raise InvalidSpec(f"{settings.home / CONFIG_FILE}: {name} must be a section [{name}]")
    return section


def _known(
    place: str, values: Mapping[str, Any], kind: type[Any], faults: list[str], more: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the values whose keys the dataclass has, and so on within; tell the others as faults."""
    hints = get_type_hints(kind)
    found = dict(values)
    for key, value in values.items():
        if key not in hints:
            faults.append(f"unknown key {place}.{key}{_nearest(key, (*hints, *more))}")
            del found[key]
            continue
        inner = [part for part in (hints[key], *get_args(hints[key])) if is_dataclass(part)]
        if inner and isinstance(value, dict):
            found[key] = _known_table(f"{place}.{key}", value, inner[0], faults)
        elif inner and isinstance(value, list):
            found[key] = [_known_table(f"{place}.{key}", table, inner[0], faults) for table in value]
    return found


def _known_table(place: str, value: object, kind: Any, faults: list[str]) -> object:  # noqa: ANN401 - a class
    return _known(place, value, kind, faults) if isinstance(value, dict) else value


T = TypeVar("T")


def _validated(place: str, values: Mapping[str, Any], adapter: TypeAdapter[T], faults: list[str]) -> T | None:
    try:
        return adapter.validate_python(dict(values), strict=False)
    except ValidationError as error:
        faults += [_described(place, dict(fault)) for fault in error.errors()]
    return None


def _described(place: str, fault: Mapping[str, Any]) -> str:
    where = ".".join([place, *(str(part) for part in fault["loc"])])
    got = "" if fault["type"] == "missing" else f" (got {reprlib.repr(fault['input'])})"
    return f"{where}: {in_words(fault)}{got}"


def _raise_all(settings: Settings, faults: list[str]) -> None:
    if faults:
        hint = f"Correct {settings.home / CONFIG_FILE}; `foedus config check` shows what is in force."
        raise InvalidSpec("\n".join(faults), hint)


def _applications(settings: Settings) -> list[str]:
    """Return the names of all applications; none where they cannot be told."""
    from foedus.apps.registry import applications
    from foedus.rounds.home import Home

    found = applications(Home(settings.home))
    is_known = not any(application.fault for application in found.values())
    return [*found, PREPARE] if is_known else []


def _nearest(word: str, valid: Iterable[str]) -> str:
    hint = hint_for(word, valid).removesuffix(".")
    return f"; {hint[0].lower()}{hint[1:]}"
