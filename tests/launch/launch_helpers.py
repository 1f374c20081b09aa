"""Job folders, waiting without sleeping, and a look at processes."""

import os
import select
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from foedus.core.canonical import Json
from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobStatus, Resources
from foedus.launch import JobFolder, LocalLauncher

ENTRY = "launch_entries:run"
LIMIT_S = 20.0


@dataclass(frozen=True)
class Jobs:
    """Makes job folders below `root`, submits them and waits for them."""

    launcher: LocalLauncher
    root: Path

    def folder(self, name: str = "job", do: str = "finish") -> JobFolder:
        folder = JobFolder(self.root / name)
        folder.path.mkdir()
        folder.write_spec({"do": do})
        os.mkfifo(folder.path / "ready")
        return folder

    def submit(
        self, folder: JobFolder, key: str = "", affinity: str = "", walltime_s: float = 60
    ) -> NativeId:
        spec = JobSpec("", str(folder.path), Resources(walltime_s=walltime_s), affinity)
        return self.launcher.submit(spec, key or ascii(folder.path))

    def wait(self, *ids: NativeId) -> Mapping[NativeId, JobStatus]:
        states = self.launcher.states(ids)
        while not all(status.state.is_final for status in states.values()):
            before, states = states, self.launcher.states(ids, LIMIT_S)
            assert states != before, "nothing happened for a long time"
        return states

    def wait_for_second_attempt(self, native_id: NativeId) -> None:
        while not (status := self.launcher.states([native_id], LIMIT_S)[native_id]).cause:
            assert not status.state.is_final
        assert status.cause.startswith("second attempt: ")

    def run(self, do: str, name: str = "job", **options: str | float) -> tuple[JobStatus, JobFolder]:
        folder = self.folder(name, do)
        native_id = self.submit(folder, **options)
        return self.wait(native_id)[native_id], folder

    def result(self, folder: JobFolder) -> Mapping[str, Json]:
        result = folder.read_result()
        assert result is not None
        return result


def processes_at(folder: JobFolder) -> list[int]:
    """Wait until the job says that it is running, and return its process ids."""
    return [int(word) for word in (folder.path / "ready").read_text().split()]


class Watch:
    """Notices the end of processes that are not our children; some may have ended already."""

    def __init__(self, *processes: int) -> None:
        self.descriptors = {}
        for process in processes:
            with suppress(ProcessLookupError):
                self.descriptors[process] = os.pidfd_open(process)

    def alive_after(self, timeout_s: float) -> list[int]:
        """The processes still alive when all that ended within the time had ended."""
        alive = []
        for process, descriptor in self.descriptors.items():
            if not select.select([descriptor], [], [], timeout_s)[0]:
                alive.append(process)
            os.close(descriptor)
        return alive
