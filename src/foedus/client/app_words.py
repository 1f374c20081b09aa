"""Applications in words: what a table, a line or a program is told of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from foedus.client.output import seconds_text
from foedus.site.launchers import resource_origins, resources_of
from foedus.site.settings import CONFIG_FILE

if TYPE_CHECKING:
    from foedus.apps.application import Application
    from foedus.core.records import Resources
    from foedus.site.settings import Settings

_MOST_IN_LINE = 12


def figures(result: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    """Return what of a result fits on one line each."""
    found: list[tuple[str, object]] = []
    for name, value in result.items():
        words = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, dict):
            found += figures(value, f"{prefix}{name} ")
        elif isinstance(value, list) and len(value) <= _MOST_IN_LINE and not any(map(_is_nested, value)):
            found.append((words, ", ".join(map(_figure, value))))
        elif value is not None and not isinstance(value, list):
            found.append((words, _figure(value)))
    return found


def _figure(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "-" if value is None else str(value)


def _is_nested(value: object) -> bool:
    return isinstance(value, (dict, list))


def asks(resources: "Resources") -> str:
    """Say the resources in one line."""
    parts = [f"{resources.cpus} CPU" + "s" * (resources.cpus != 1)]
    if resources.memory_mb:
        parts.append(f"{resources.memory_mb:,} MB")
    if resources.gpus:
        parts.append(f"{resources.gpus} {resources.gpu_type} GPU".replace("  ", " "))
    return ", ".join([*parts, seconds_text(resources.walltime_s)])


def asks_here(settings: "Settings", application: "Application") -> str:
    """Say in one line what its batch jobs ask for with these settings, and whether these change it."""
    if application.fault:
        return "-"
    said = asks(resources_of(settings, application))
    origins = resource_origins(settings, application).values()
    return f"{said} ({CONFIG_FILE})" if any(CONFIG_FILE in one for one in origins) else said


def resource_rows(settings: "Settings", application: "Application") -> list[tuple[str, object, str]]:
    """Return (name, value, who says so) of what its batch jobs ask for; what nobody asks for is left out."""
    resources, origins = resources_of(settings, application), resource_origins(settings, application)
    default = "default" if application.command else application.origin
    values = ((name, getattr(resources, name)) for name in resources.__slots__)
    return [(name, value, origins.get(name, default)) for name, value in values if name in origins or value]


def default_text(value: object) -> str:
    """Say a parameter's default."""
    from foedus.apps.parameters import REQUIRED

    if value is REQUIRED:
        return "required"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def submitted_how(application: "Application") -> list[tuple[str, str]]:
    """Say what is special about submitting it, as pairs of name and words."""
    if application.is_submitted_by_rounds:
        return [("submitted by", "rounds of a run")]
    if application.dataset_kind:
        return [("its output", f"becomes a private dataset ({application.dataset_kind})")]
    return []


def as_json(settings: "Settings", application: "Application") -> dict[str, Any]:
    """Return all about an application for programs: `resources` are those in force with these settings."""
    from dataclasses import asdict

    values = {**asdict(application), "is_submitted_by_rounds": application.is_submitted_by_rounds}
    for name in ("entry", "check", "check_at", "own_resources"):
        del values[name]
    if not application.fault:
        values["resources"] = asdict(resources_of(settings, application))
        values["resources_from"] = resource_origins(settings, application)
    for one, parameter in zip(values["parameters"], application.parameters, strict=True):
        one["required"] = parameter.is_required
        one["default"] = None if parameter.is_required else parameter.default
        for bound in ("minimum", "maximum"):
            one[bound] = one[bound] if abs(one[bound]) != float("inf") else None
    return values
