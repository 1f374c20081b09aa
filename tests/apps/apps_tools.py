"""Helpers of the tests of applications: job folders run in this process, a third party's application."""

import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from foedus.apps.entry import run_job
from foedus.apps.order import Order
from foedus.apps.parameters import Value
from foedus.core.errors import FoedusError
from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobState, JobStatus
from foedus.launch import JobFolder

APPLICATION = """
name = "SIM_COUNT"
title = "Counts"
command = ["PYTHON", "PROGRAM", "--up-to", "{upto}", "{output}"]
checkpoints = true

[resources]
cpus = 2
walltime_s = 60

[[parameters]]
name = "upto"
kind = "integer"
help = "where to end"
minimum = 1
maximum = 1000
default = 3

[[results]]
name = "numbers.txt"
help = "the numbers"
"""


def write_application(home: Path, program: str, text: str = APPLICATION) -> Path:
    """Register a program (Python text) in a home folder; return the path of the TOML file."""
    folder = home / "applications"
    folder.mkdir(parents=True, exist_ok=True)
    script = home / "program.py"
    script.write_text(program)
    path = folder / "count.toml"
    path.write_text(text.replace("PYTHON", sys.executable).replace("PROGRAM", str(script)))
    return path


def make_job(
    home: Path, application: str, parameters: Mapping[str, Value], name: str = "job-1", **more: object
) -> JobFolder:
    """Make a job folder with an application's order, as `submit` would."""
    folder = JobFolder(home / "jobs" / name)
    folder.path.mkdir(parents=True, mode=0o700, exist_ok=True)
    folder.write_spec(Order(application, parameters, **more).to_json())  # type: ignore[arg-type]
    folder.begin(f"app/{name}")
    return folder


def run_here(folder: JobFolder) -> Mapping[str, object]:
    """Run a job folder in this process and return its result."""
    run_job(folder)
    result = folder.read_result()
    assert result is not None
    return result


class InlineLauncher:
    """A launcher that runs each batch job at once, in this process."""

    def __init__(self) -> None:
        self.submitted: list[tuple[JobSpec, str]] = []
        self.statuses: dict[NativeId, JobStatus] = {}

    def submit(self, spec: JobSpec, key: str) -> NativeId:
        self.submitted.append((spec, key))
        folder, native_id = JobFolder(spec.folder), NativeId(key)
        if not folder.has_result_of(key):
            folder.begin(key)
            try:
                run_job(folder)
            except FoedusError as error:
                folder.fail(error)
        has_result = folder.read_result() is not None
        status = (JobState.COMPLETED, "") if has_result else (JobState.FAILED, "it raised")
        self.statuses[native_id] = JobStatus(native_id, *status)
        return native_id

    def find(self, key: str) -> NativeId | None:
        return NativeId(key) if NativeId(key) in self.statuses else None

    def states(self, ids: Collection[NativeId], wait_s: float = 0.0) -> Mapping[NativeId, JobStatus]:
        return {native_id: self.statuses[native_id] for native_id in ids}

    def cancel(self, native_id: NativeId) -> None:
        raise AssertionError("nothing runs any more")

    def logs(self, native_id: NativeId) -> str:
        return ""
