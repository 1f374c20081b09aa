"""What `import foedus` offers: run a federation from Python with the very code behind the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from foedus.client.drive import drive, drive_new
from foedus.client.status import RunStatus, all_statuses, run_status
from foedus.rounds.home import Home
from foedus.rounds.progress import Observer, ignore
from foedus.rounds.runs import create_run
from foedus.rounds.spec import RunSpec, load_spec
from foedus.rounds.verify import VerifySummary, verify_run
from foedus.site.launchers import backend_of
from foedus.site.settings import Settings, read_settings
from foedus.site.specs import for_this_machine

Place: TypeAlias = "Home | Path | str | None"
"""A home folder; None is what the settings say (`FOEDUS_HOME`, else `~/.foedus`)."""


def open_home(place: Place = None) -> Home:
    """Return a home folder. Creates nothing."""
    return Home(_settings(place).home)


def run(spec: RunSpec | Path | str, home: Place = None, observer: Observer = ignore) -> RunStatus:
    """Create a run from a spec, or a spec file, drive it to its end and return how it ended.

    Interrupt it as you like; `resume` goes on. Raises `InvalidSpec`, `InvalidData`, `HomeInUse` and other
    `FoedusError`s.
    """
    settings = _settings(home)
    wanted = spec if isinstance(spec, RunSpec) else load_spec(Path(spec))
    place = Home(settings.home)
    name = create_run(place, for_this_machine(wanted, settings))
    drive_new(place, name, observer, backend_of(settings))
    return run_status(place, name)


def resume(name: str, home: Place = None, observer: Observer = ignore) -> RunStatus:
    """Drive a run on from wherever it stands to its end; of a run that has ended, return how."""
    place = open_home(home)
    drive(place, name, observer, backend_of(_settings(home)))
    return run_status(place, name)


def status(name: str, home: Place = None) -> RunStatus:
    """Return where a run stands, also while another process drives it. Raises `InvalidSpec` if unknown."""
    return run_status(open_home(home), name)


def runs(home: Place = None) -> list[RunStatus]:
    """Return where all runs of a home folder stand, oldest first."""
    return all_statuses(open_home(home))


def verify(
    name: str, home: Place = None, observer: Callable[[str, int, int], None] = lambda what, done, total: None
) -> VerifySummary:
    """Check a run from chain and store alone. Raises `VerificationFailed` naming the first fault.

    `observer` is told what is being checked, how much of it is done, and how much there is.
    """
    return verify_run(open_home(home), name, observer)


def report(name: str, home: Place = None) -> Path:
    """Write the report of a run and return its path."""
    from foedus.client.report import write_report

    place = open_home(home)
    place.run_folder(name)
    return Path(write_report(place, name))


def _settings(place: Place) -> Settings:
    return read_settings(place.root if isinstance(place, Home) else Path(place) if place else None)
