"""Finds a run on the chain. A run of the command line has a project of its own; others note theirs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from foedus.core.errors import FoedusError
from foedus.core.ids import Cid
from foedus.core.records import Event
from foedus.rounds.home import Home, read_json, write_json
from foedus.rounds.view import find_run

_NOTE: Final = "project.json"


def note_project(folder: Path, project: int, terms: Cid) -> None:
    """Write down, before the run is started, in which project and by which terms it will be found."""
    write_json(folder / _NOTE, {"project": project, "terms": terms})


def locate(home: Home, name: str, events: Iterable[Event]) -> tuple[int, int] | None:
    """Return (project, run) on the chain of a run in a home folder; None when it has not been started."""
    folder = home.runs / name
    return locate_in(folder, events) if (folder / _NOTE).is_file() else find_run(events, name)


def locate_in(folder: Path, events: Iterable[Event]) -> tuple[int, int] | None:
    """Return (project, run) of a run that notes its project in its folder; None when it is not started."""
    if not (folder / _NOTE).is_file():
        return None
    note = read_json(folder / _NOTE)
    if not isinstance(note, dict) or not isinstance(note.get("project"), int):
        raise FoedusError(f"{folder / _NOTE} is damaged", "Restore the run's folder from a backup.")
    wanted = (note["project"], note.get("terms"))
    for event in events:
        if event.name == "RunStarted" and (event.args["project"], event.args["terms"]) == wanted:
            return int(event.args["project"]), int(event.args["run"])
    return None
