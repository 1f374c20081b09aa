"""The members' data of an experiment on simulations: batch jobs of the Gray–Scott application, by regime."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from foedus.apps.builtin import SIM_REACTION_DIFFUSION
from foedus.apps.submit import AppJob, result_of, submit_as, wait_for
from foedus.client.compare.progress import SIMULATED
from foedus.client.experiments.spec import Simulations
from foedus.core.canonical import canonical_json, derive_seed
from foedus.core.records import JobStatus
from foedus.rounds.home import Home
from foedus.rounds.progress import Observer, Progress
from foedus.site.launchers import open_launcher, resources_of
from foedus.site.settings import Settings

_KEPT: Final = ("u.npy", "v.npy", "metadata.json")


@dataclass(frozen=True, slots=True)
class _Planned:
    """One simulation: the name of its batch job, where its frames belong, and its parameters."""

    job: str
    place: Path
    values: dict[str, Any]

    @property
    def is_there(self) -> bool:
        return self.place.is_dir()


def simulate(name: str, wanted: Simulations, home: Home, settings: Settings, observer: Observer) -> Path:
    """Return the folder with the frames of all simulations, after running those that are missing.

    Each is a batch job of its own, on this installation's launcher: interrupted, it goes on from its
    checkpoint when it is asked for again. Raises `TaskFailed` naming the batch job that failed.
    """
    folder = simulations_folder(name, wanted, home)
    planned = list(_planned(name, wanted, folder))
    missing = [one for one in planned if not one.is_there]
    if not missing:
        return folder
    done = len(planned) - len(missing)
    resources = resources_of(settings, SIM_REACTION_DIFFUSION)
    with open_launcher(settings, [resources] * len(missing)) as launcher:
        jobs = {
            one.job: (one, submit_as(home, launcher, one.job, SIM_REACTION_DIFFUSION, one.values, resources))
            for one in missing
        }
        for job, status in wait_for(launcher, [job for _, job in jobs.values()], _silent):
            result_of(job, status)
            _take(job, jobs[job.name][0].place)
            done += 1
            observer(Progress(SIMULATED, values={"done": done, "of": len(planned), "name": job.name}))
    return folder


def simulations_folder(name: str, wanted: Simulations, home: Home) -> Path:
    """Return where the frames lie: other simulations have another folder."""
    return home.root / "experiments" / name / f"simulations-{_digest(wanted)}"


def _digest(wanted: Simulations) -> str:
    return hashlib.sha256(canonical_json(wanted.model_dump(mode="json"))).hexdigest()[:8]


def _planned(name: str, wanted: Simulations, folder: Path) -> Iterator[_Planned]:
    for regime, rates in sorted(wanted.regimes.items()):
        for part, count in (("train", wanted.train), ("test", wanted.test)):
            for number in range(1, count + 1):
                seed = derive_seed("simulation", name, regime, part, number) % 2**31
                values = {
                    **rates,
                    "size": wanted.size,
                    "steps": wanted.steps,
                    "frames": wanted.frames,
                    "seed": seed,
                }
                yield _Planned(
                    f"{name}-{_digest(wanted)}-{regime}-{part}-{number}",
                    folder / regime / part / str(number),
                    values,
                )


def _take(job: AppJob, place: Path) -> None:
    """Copy the frames to where they belong, at once or not at all."""
    parts = place.with_name(f".{place.name}")
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True, mode=0o700)
    for name in _KEPT:
        shutil.copy(job.folder.make_output() / name, parts / name)
    parts.rename(place)


def _silent(job: AppJob, status: JobStatus, event: object) -> None:
    """Tell nothing: the launcher's own records are in the job folder."""
