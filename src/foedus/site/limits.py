"""What batch jobs of a site ask for, in full: `foedus site check` has the cluster judge it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from foedus.apps.builtin import OF_ROUNDS
from foedus.apps.registry import find_application
from foedus.core.records import Resources
from foedus.rounds.home import Home
from foedus.site.config import PREPARE, held_times, resources_for
from foedus.site.launchers import outlives_us
from foedus.site.settings import Settings

_OF_ROUNDS: Final = (PREPARE, "FL_TRAIN", "FL_AGGREGATE", "FL_VERIFY")


def wanted(settings: Settings, name: str) -> tuple[Resources, int]:
    """Return what batch jobs of an application ask for, and how many threads they get.

    Raises `InvalidSpec` for an unknown one.
    """
    usual, own, is_of_rounds = _usual(settings, name)
    asked = resources_for(settings, name, usual, own)
    threads = (settings.threads or 1) if is_of_rounds else asked.cpus
    return replace(asked, cpus=max(asked.cpus, threads)), threads


def all_wanted(settings: Settings, name: str) -> Mapping[Resources, list[str]]:
    """Return what the cluster must grant, and to which applications.

    That is the application itself, or, with one of a round, all of a round: in held allocations where those
    are held. Raises `InvalidSpec` for an unknown one.
    """
    is_of_rounds = _usual(settings, name)[2]
    found: dict[Resources, list[str]] = {}
    for each in _OF_ROUNDS if is_of_rounds else (name,):
        asked, _ = wanted(settings, each)
        if is_of_rounds and _is_held(settings):
            asked = replace(asked, walltime_s=held_times(settings).walltime_s)
        found.setdefault(asked, []).append(each)
    return found


def limit_setting(settings: Settings, names: Sequence[str]) -> str:
    """Return the setting that limits the time of these applications' batch jobs."""
    return "held.walltime_s" if _is_held(settings) and names[0] in _OF_ROUNDS else "resources.walltime_s"


def _is_held(settings: Settings) -> bool:
    return settings.allocation == "held" and outlives_us(settings)


def _usual(settings: Settings, name: str) -> tuple[Resources, tuple[str, ...], bool]:
    """Return an application's usual resources, which its own file names, and whether rounds submit it."""
    if name == PREPARE:
        return OF_ROUNDS, (), True
    application = find_application(Home(settings.home), name)
    return application.resources, application.own_resources, application.is_submitted_by_rounds
