"""A launcher for batch jobs that do not all ask for the same number of processors."""

from collections.abc import Collection, Mapping

from foedus.core.ids import NativeId
from foedus.core.protocols import Launcher
from foedus.core.records import JobSpec, JobStatus


class ByProcessors:
    """Gives each batch job to the launcher for its number of processors; implements `Launcher`.

    Each of `launchers` starts programs with as many threads as its key says. They are closed by whoever
    opened them. A job that asks for another number of processors is a KeyError.
    """

    def __init__(self, launchers: Mapping[int, Launcher]) -> None:
        self._launchers = launchers
        self._given: dict[NativeId, Launcher] = {}

    def submit(self, spec: JobSpec, key: str) -> NativeId:
        """Start the job, or take it up, with as many threads as it asks for processors."""
        launcher = self._launchers[spec.resources.cpus]
        native_id = launcher.submit(spec, key)
        self._given[native_id] = launcher
        return native_id

    def find(self, key: str) -> NativeId | None:
        """Find a job by its key."""
        found = (launcher.find(key) for launcher in self._launchers.values())
        return next((native_id for native_id in found if native_id is not None), None)

    def states(self, ids: Collection[NativeId], wait_s: float = 0.0) -> Mapping[NativeId, JobStatus]:
        """Return the states of those that were submitted here.

        With `wait_s`, the launchers wait for news in turn, each for its share of that time.
        """
        asked = [
            (launcher, own)
            for launcher in self._launchers.values()
            if (own := [native_id for native_id in ids if self._given.get(native_id) is launcher])
        ]
        found: dict[NativeId, JobStatus] = {}
        for launcher, own in asked:
            found |= launcher.states(own, wait_s / len(asked))
        return found

    def cancel(self, native_id: NativeId) -> None:
        """Stop the job and all its processes; harmless for one that was not submitted here."""
        if native_id in self._given:
            self._given[native_id].cancel(native_id)

    def logs(self, native_id: NativeId) -> str:
        """Return the job's output so far; empty for one that was not submitted here."""
        return self._given[native_id].logs(native_id) if native_id in self._given else ""
