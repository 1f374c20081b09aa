"""The sections of `config.toml` that describe this site's cluster, checked by Pydantic.

A run spec says what is computed; these say with how much of which cluster. Every field of `[slurm]` and
`[kubernetes]` is one of `launch.slurm.SlurmSite` and `launch.kubernetes.KubernetesSite`, or of `Common`.
"""

import reprlib
from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from typing import Any, TypeVar, cast, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from foedus.client.settings import CONFIG_FILE, Settings, nearest
from foedus.core.errors import InvalidSpec
from foedus.core.records import Resources
from foedus.launch.kubernetes import KubernetesSite
from foedus.launch.slurm import SlurmSite


class Common(BaseModel):
    """What the sections of both clusters have: the program, and how patient its launcher is."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    python: str = Field("", description="the interpreter as compute nodes see it; ours when empty")
    scratch: str = Field("", description="folder on a disk of each node; TMPDIR of each attempt is below it")
    poll_s: float = Field(2.0, ge=0.1, le=600, description="seconds between two questions about states")
    retries: int = Field(2, ge=0, le=100, description="further submissions after failures of the cluster")


def resources_for(settings: Settings, application: str, usual: Resources) -> Resources:
    """Return what an application's batch jobs ask for: its usual resources, changed by the settings.

    `[resources]` holds for all applications, `[resources.NAME]` for one. Raises `InvalidSpec`.
    """
    section = _table(settings, "resources")
    own = {key: value for key, value in section.items() if not isinstance(value, dict)}
    special = section.get(application, {})
    return replace(usual, **_checked(settings, "resources", {**own, **special}))


def slurm_site(settings: Settings) -> tuple[SlurmSite, Common]:
    """Return the section `[slurm]`. Raises `InvalidSpec` with one line per fault."""
    return _site(settings, "slurm", SlurmSite)


def kubernetes_site(settings: Settings) -> tuple[KubernetesSite, Common]:
    """Return the section `[kubernetes]`. Raises `InvalidSpec` with one line per fault."""
    return _site(settings, "kubernetes", KubernetesSite)


Site = TypeVar("Site", SlurmSite, KubernetesSite)


def _site(settings: Settings, name: str, kind: type[Site]) -> tuple[Site, Common]:
    section = _table(settings, name)
    shared = {key: value for key, value in section.items() if key in Common.model_fields}
    own = {key: value for key, value in section.items() if key not in shared}
    _require_known(settings, name, own, kind, tuple(Common.model_fields))
    return (
        _validated(settings, name, own, TypeAdapter(kind)),
        _validated(settings, name, shared, TypeAdapter(Common)),
    )


def _checked(settings: Settings, name: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the resources that a section names, each of its type."""
    _require_known(settings, name, values, Resources)
    known = _validated(settings, name, values, TypeAdapter(Resources))
    return {key: getattr(known, key) for key in values}


def _table(settings: Settings, name: str) -> Mapping[str, Any]:
    section = settings.sections.get(name, {})
    if not isinstance(section, dict):
        raise InvalidSpec(f"{_where(settings)}: {name} must be a section [{name}]")
    return section


def _require_known(
    settings: Settings, name: str, values: Mapping[str, Any], kind: type[Any], more: tuple[str, ...] = ()
) -> None:
    """Raise `InvalidSpec` for a key that the dataclass, or one within it, does not have."""
    hints = get_type_hints(kind)
    for key, value in values.items():
        if key not in hints:
            raise InvalidSpec(f"{_where(settings)}: unknown key {name}.{key}", nearest(key, (*hints, *more)))
        inner = [part for part in (hints[key], *get_args(hints[key])) if is_dataclass(part)]
        for table in value if isinstance(value, list) else [value]:
            if inner and isinstance(table, dict):
                _require_known(settings, f"{name}.{key}", table, cast("type[Any]", inner[0]))


T = TypeVar("T")


def _validated(settings: Settings, name: str, values: Mapping[str, Any], adapter: TypeAdapter[T]) -> T:
    try:
        return adapter.validate_python(dict(values), strict=False)
    except ValidationError as error:
        faults = "\n".join(_described(name, dict(fault)) for fault in error.errors())
        hint = f"Correct {_where(settings)}; `foedus config check` shows what is in force."
        raise InvalidSpec(faults, hint) from error


def _described(name: str, fault: Mapping[str, Any]) -> str:
    place = ".".join([name, *(str(part) for part in fault["loc"])])
    got = "" if fault["type"] == "missing" else f" (got {reprlib.repr(fault['input'])})"
    return f"{place}: {fault['msg']}{got}"


def _where(settings: Settings) -> str:
    return str(settings.home / CONFIG_FILE)
