"""The `Scheduler` of Kubernetes: one Job for each submission, found again by its name."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from foedus.core.records import JobState
from foedus.launch import _files
from foedus.launch.cluster import Order, Refused, Sight, Unreachable
from foedus.launch.folder import JobFolder
from foedus.launch.kubernetes import rules
from foedus.launch.kubernetes._deadline import within
from foedus.launch.kubernetes._json import Object, text
from foedus.launch.kubernetes.api import Api, Listing, Rejected, require_client
from foedus.launch.kubernetes.fields import check_resources, check_site
from foedus.launch.kubernetes.manifest import (
    FOLDER_NOTE,
    JOB_LABEL,
    MANAGED_BY,
    PROLOGUE,
    folder_digest,
    job_manifest,
)
from foedus.launch.kubernetes.pods import newest
from foedus.launch.kubernetes.site import KubernetesSite
from foedus.launch.kubernetes.states import is_finished, is_plain, is_stuck, orphaned, seen

_OPERATION_S = 25.0  # each method's limit, all its calls together
_MOST_NAMED = 100  # names in one selector; beyond that all of Foedus' Jobs are listed
_EVERYTHING = ",".join(f"{name}={value}" for name, value in MANAGED_BY.items())
_HINTS = {
    403: "The account needs the permissions of docs/how-to/kubernetes.md.",
    404: "Does the namespace exist? kubernetes.namespace in config.toml names it.",
}


@dataclass(frozen=True, slots=True)
class _Picture:
    """What the API server said in one look, by the Jobs' names."""

    jobs: Mapping[str, Object]
    pods: Mapping[str, list[Object]]
    warnings: Mapping[str, list[Object]]
    now: float


class KubernetesScheduler:
    """Implements `foedus.launch.cluster.Scheduler`.

    A `look` lists Jobs, and pods and events only where Jobs alone do not tell why something waits or failed.
    A Job that an earlier look saw and this one does not was deleted. One whose pod Kubernetes had to start
    again more than `site.restarts` times is given up.
    """

    def __init__(self, site: KubernetesSite) -> None:
        check_site(site)
        self._site = site
        self._api = Api(site)
        self._seen: Mapping[str, str] = {}  # the uids of Jobs that were there, by name
        self._folders: dict[str, str] = {}  # job folders, by the Jobs' names

    def check(self, order: Order) -> None:
        """Raise `InvalidSpec` for what Kubernetes cannot be given, or when its client is not installed."""
        check_resources(order.resources)
        rules.check(job_manifest(order, self._site))
        require_client()
        self._folders[order.name] = order.folder

    def submit(self, order: Order) -> str:
        """Create the Job and return its uid; one that is there already is it. See `Scheduler`."""
        self._folders[order.name] = order.folder
        if self._site.prologue:
            _files.write_atomic(JobFolder(order.folder).path, PROLOGUE, [self._site.prologue.encode()])
        return within(_OPERATION_S, lambda: self._submit(order))

    def look(self, names: Collection[str]) -> Mapping[str, Sight]:
        """Return what is known of the Jobs; see `Scheduler`. A Job whose node is lost is deleted."""
        if not names:
            return {}
        before = self._seen
        sights, self._seen = within(_OPERATION_S, lambda: self._look(frozenset(names), before))
        return sights

    def cancel(self, name: str, scheduler_id: str) -> None:
        """Delete the Job; it is there until its pods are gone. See `Scheduler`."""
        within(_OPERATION_S, lambda: self._delete(name, "Foreground"))

    def log(self, name: str, scheduler_id: str) -> str:
        """Return the output of the newest pod, if there is one and it has begun. Raises `Unreachable`."""
        return within(_OPERATION_S, lambda: self._log(name))

    # --- submitting ---

    def _submit(self, order: Order) -> str:
        try:
            made = self._api.create_job(job_manifest(order, self._site))
        except Rejected as error:
            if error.reason == "AlreadyExists":
                made = self._known(order)
            else:
                raise _refusal(error) from error
        uid = text(made, "metadata", "uid")
        if not uid:
            raise Unreachable("Kubernetes answered without the Job's uid")
        return uid

    def _known(self, order: Order) -> Object:
        """Return the Job of this name, which must be the one that an earlier try made."""
        try:
            found = self._api.read_job(order.name)
        except Rejected as error:  # gone in this very moment
            raise Unreachable(f"Kubernetes has a Job {order.name}, but: {error.message}") from error
        is_ours = text(found, "metadata", "labels", JOB_LABEL) == order.name
        if not is_ours or text(found, "metadata", "annotations", FOLDER_NOTE) != folder_digest(order.folder):
            raise Refused(f"there is a Job {order.name} already, and it is not ours", "Delete or rename it.")
        return found

    def _delete(self, name: str, policy: str) -> None:
        try:
            self._api.delete_job(name, policy)
        except Rejected as error:
            if error.status != 404:
                raise Unreachable(f"Kubernetes refuses to delete the Job: {error.message}") from error

    # --- looking ---

    def _look(
        self, names: frozenset[str], before: Mapping[str, str]
    ) -> tuple[dict[str, Sight], dict[str, str]]:
        """Return what there is to see, and the uids of all Jobs that were ever seen."""
        try:
            picture = self._pictured(names, before)
        except Rejected as error:  # it need not say no to a question: something is out of order
            hint = _HINTS.get(error.status, "")
            raise Unreachable(
                f"Kubernetes refuses to tell ({error.status}): {error.message}", hint
            ) from error
        known = {name: uid for name, uid in before.items() if name in names}
        known |= {name: text(job, "metadata", "uid") for name, job in picture.jobs.items()}
        sights = {name: self._sight(name, uid, picture) for name, uid in sorted(known.items())}
        return {name: sight for name, sight in sights.items() if sight is not None}, known

    def _pictured(self, names: frozenset[str], before: Mapping[str, str]) -> _Picture:
        listing = self._api.jobs(_selector(names))
        jobs = {name: job for job in listing.items if (name := text(job, "metadata", "name")) in names}
        untold = {name for name, job in jobs.items() if not is_plain(job)}
        untold |= (before.keys() & names) - jobs.keys()
        pods: dict[str, list[Object]] = {}
        for pod in self._api.pods(_selector(untold)).items if untold else ():
            name = text(pod, "metadata", "labels", JOB_LABEL)
            if name in untold:
                pods.setdefault(name, []).append(pod)
        stuck = [name for name in untold & jobs.keys() if is_stuck(jobs[name], pods.get(name, []))]
        warnings = self._warnings({name: pods.get(name, []) for name in stuck}) if stuck else {}
        return _Picture(jobs, pods, warnings, listing.now)

    def _warnings(self, stuck: Mapping[str, Iterable[Object]]) -> Mapping[str, list[Object]]:
        """Return the warnings about these Jobs and their pods; none where we may not read events."""
        try:
            listing = self._api.warnings()
        except Rejected:
            listing = Listing([], 0.0)
        about = {name: name for name in stuck}
        about |= {text(pod, "metadata", "name"): name for name, pods in stuck.items() for pod in pods}
        found: dict[str, list[Object]] = {}
        for event in sorted(listing.items, key=_moment, reverse=True):
            name = about.get(text(event, "involvedObject", "name"))
            if name is not None:
                found.setdefault(name, []).append(event)
        return found

    def _sight(self, name: str, uid: str, picture: _Picture) -> Sight | None:
        job, pods = picture.jobs.get(name), picture.pods.get(name, [])
        if job is None:
            return orphaned(uid, pods, picture.now)
        sight = seen(job, pods, picture.warnings.get(name, []), picture.now)
        if is_finished(job) or sight is None:
            return sight
        if self._restarts(name) > self._site.restarts:
            cause = f"disrupted by the cluster more than {self._site.restarts} times"
            sight = Sight(uid, JobState.FAILED, sight.native, cause, is_passing=True)
        if sight.state is JobState.FAILED:
            self._delete(name, "Background")  # what is left of it must not begin again
        return sight

    def _restarts(self, name: str) -> int:
        """Count the Job's attempts after the first: the Job itself does not count disruptions."""
        number = name.rpartition("-")[2]
        try:
            attempts = JobFolder(self._folders[name]).attempts()
        except (KeyError, OSError):
            return 0
        return sum(attempt.startswith(f"attempt-{number:0>2}.") for attempt in attempts) - 1

    def _log(self, name: str) -> str:
        try:
            pod = newest(self._api.pods(_selector([name])).items)
            return self._api.log(text(pod, "metadata", "name")) if pod is not None else ""
        except Rejected:  # its container has not begun, or is gone
            return ""


def _selector(names: Collection[str]) -> str:
    if len(names) > _MOST_NAMED:
        return _EVERYTHING
    return f"{JOB_LABEL} in ({','.join(sorted(names))})"


def _moment(event: Object) -> str:
    """Return when the event last happened, as comparable text."""
    times = (
        text(event, "lastTimestamp"),
        text(event, "eventTime"),
        text(event, "series", "lastObservedTime"),
    )
    return max(times)


def _refusal(error: Rejected) -> Refused | Unreachable:
    """Say whether trying again helps."""
    if "exceeded quota" in error.message:
        return Unreachable(f"a quota of the namespace is used up: {error.message}")
    if error.status in (409, 410):
        return Unreachable(f"Kubernetes could not create the Job just now: {error.message}")
    return Refused(f"Kubernetes said {error.status}: {error.message}", _HINTS.get(error.status, ""))
