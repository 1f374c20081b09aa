"""The Python SDK for a platform: `Client`, and the things that it gives."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import httpx

from foedus.client.remote.connection import Connection, Json, Unreachable, checked_url
from foedus.client.remote.downloads import download
from foedus.client.remote.logins import find_login
from foedus.core.errors import FoedusError, InvalidData
from foedus.core.ids import Cid

Choice = Literal["yes", "no", "abstain"]

_POLL_S: Final = 1.0
_PATIENCE_S: Final = 120.0
_OVER: Final = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run. `id` orders them; `client` is None where it concerns nobody alone."""

    id: int
    at: str  # UTC, ISO 8601
    kind: str
    round: int
    client: str | None
    values: Mapping[str, Any]


class Thing:
    """What the platform said of something, and the connection to ask it more. `values` is all it said."""

    def __init__(self, connection: Connection, values: Json) -> None:
        self._connection, self.values = connection, values

    def __repr__(self) -> str:
        shown = {key: self.values[key] for key in ("name", "slug", "cid", "state") if key in self.values}
        return f"{type(self).__name__}({', '.join(f'{key}={one!r}' for key, one in shown.items())})"


class Dataset(Thing):
    """One of your datasets: what the platform knows of it, never its examples."""

    @property
    def id(self) -> int:
        """Its number."""
        return int(self.values["id"])

    @property
    def state(self) -> str:
        """waiting, reading, ready, refused or withdrawn; see `values["cause"]`."""
        return str(self.values["state"])

    def wait(self, poll_s: float = _POLL_S) -> "Dataset":
        """Return it once the worker has read it. Raises `InvalidData` when it was refused."""
        found = self
        while found.state not in ("ready", "refused", "withdrawn"):
            time.sleep(poll_s)
            found = Dataset(self._connection, self._connection.get("datasets", self.id))
        if found.state != "ready":
            raise InvalidData(f"dataset {found.values['name']!r} is {found.state}: {found.values['cause']}")
        return found


class Model(Thing):
    """A version of a model."""

    @property
    def cid(self) -> Cid:
        """The CID of its manifest."""
        return Cid(self.values["cid"])

    def download(self, path: Path | str, observer: Callable[[int, int | None], None] | None = None) -> Path:
        """Fetch the weights (safetensors), check them against their CID and write them; returns the path.

        An interrupted call leaves nothing behind under that name. Raises `ObjectDamaged`.
        """
        where = ("models", self.cid, "weights")
        query = {"project": self.values.get("project", "")}
        wanted = Cid(self.values["weights"])
        return download(self._connection, where, query, Path(path), observer, wanted)


class Run(Thing):
    """A run as it was when it was asked for; `refreshed` asks again."""

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.values["name"])

    @property
    def state(self) -> str:
        """waiting, preparing, running, completed, failed or cancelled."""
        return str(self.values["state"])

    @property
    def round(self) -> int:
        """The round it has reached."""
        return int(self.values["round"])

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen in it."""
        return self.state in _OVER

    def refreshed(self) -> "Run":
        """Return it as it is now."""
        return Run(self._connection, self._connection.get("runs", self.name))

    def watch(
        self, after: int = 0, poll_s: float = _POLL_S, patience_s: float = _PATIENCE_S
    ) -> Iterator[Event]:
        """Yield what happens in the run from the event `after` on, until it is over.

        Interrupted, go on with the id of the last event you had: none is missed, and none comes twice. A
        platform that does not answer, for example because it is started anew, is asked again for
        `patience_s`; then raises `Unreachable`.
        """
        lost_at: float | None = None
        while True:
            try:
                # asked first: what happened before its end is still to come
                is_over = self.refreshed().is_over
                found = self._connection.get("runs", self.name, "events", after=after)["items"]
            except Unreachable:
                now = time.monotonic()
                lost_at = now if lost_at is None else lost_at
                if now - lost_at >= patience_s:
                    raise
                time.sleep(poll_s)
                continue
            lost_at = None
            for one in found:
                after = int(one["id"])
                yield Event(after, one["at"], one["kind"], int(one["round"]), one["client"], one["values"])
            if not found:
                if is_over:
                    return
                time.sleep(poll_s)

    def wait(self, poll_s: float = _POLL_S) -> "Run":
        """Return it once it is over. Raises `FoedusError` when it failed."""
        found = self.refreshed()
        while not found.is_over:
            time.sleep(poll_s)
            found = self.refreshed()
        if found.state == "failed":
            raise FoedusError(f"{self.name} failed: {found.values['cause']}", str(found.values["hint"]))
        return found

    def cancel(self, reason: str) -> "Run":
        """Ask for its end."""
        return Run(
            self._connection, self._connection.post("runs", self.name, "cancel", body={"reason": reason})
        )

    def metrics(self) -> list[Json]:
        """Return all its numbers: one for each name, client, round and step."""
        found: list[Json] = []
        for first in range(0, int(self.values["rounds"]) + 1, 100):
            found += self._connection.get("runs", self.name, "metrics", first=first, rounds=100)["items"]
        return found

    def rounds(self) -> Iterator[Json]:
        """Yield its rounds."""
        return self._connection.each("runs", self.name, "rounds")

    def models(self) -> Iterator[Model]:
        """Yield its versions, the newest first."""
        for one in self._connection.each("models", project=self.values["project"]):
            if one["run"] == self.name:
                yield Model(self._connection, one)

    def export(self, path: Path | str, observer: Callable[[int, int | None], None] | None = None) -> Path:
        """Write the run as a ZIP of its spec and all its numbers; returns the path."""
        return download(self._connection, ("runs", self.name, "export"), {}, Path(path), observer)


class Ballot(Thing):
    """A candidate that waits for your vote."""

    def vote(self, choice: Choice, comment: str = "") -> Json:
        """Answer it."""
        body = {"run": self.values["run"], "round": self.values["round"], "choice": choice}
        return self._connection.post("votes", body={**body, "comment": comment})


class Job(Thing):
    """A batch job of an application."""

    @property
    def id(self) -> int:
        """Its number."""
        return int(self.values["id"])

    def refreshed(self) -> "Job":
        """Return it as it is now, with the files it wrote."""
        return Job(self._connection, self._connection.get("jobs", self.id))

    def log(self) -> str:
        """Return the end of its log."""
        return str(self._connection.get("jobs", self.id, "log")["log"])

    def cancel(self) -> "Job":
        """Ask for its end."""
        return Job(self._connection, self._connection.post("jobs", self.id, "cancel"))


class Project(Thing):
    """A project."""

    @property
    def slug(self) -> str:
        """Its short name."""
        return str(self.values["slug"])

    def members(self) -> Iterator[Json]:
        """Yield its members."""
        return self._connection.each("projects", self.slug, "members")

    def invite(self, role: str = "member", **options: object) -> str:
        """Return a link that lets people join: it is shown this once. `options` as in the API."""
        body = {"role": role, **options}
        return str(self._connection.post("projects", self.slug, "invitations", body=body)["link"])

    def contribute(self, dataset: Dataset | int | None, mixes_shared: bool = False) -> Json:
        """Choose the dataset that you train on."""
        body = {"dataset": _number(dataset), "mixes_shared": mixes_shared}
        return self._connection.put("projects", self.slug, "data", "contribution", body=body)

    def evaluate_on(self, dataset: Dataset | int | None) -> Json:
        """Choose the dataset that everybody is scored on."""
        body = {"dataset": _number(dataset)}
        return self._connection.put("projects", self.slug, "data", "evaluation", body=body)

    def check_run(self, spec: Mapping[str, Any]) -> Json:
        """Return the checked spec as JSON and TOML, who would train, and what it would cost."""
        return self._connection.post("projects", self.slug, "runs", "check", body={"spec": dict(spec)})

    def start_run(self, spec: Mapping[str, Any], title: str = "") -> Run:
        """Start a run. The spec has the sections and keys of the TOML file. Raises `RemoteError`."""
        body = {"spec": dict(spec), "title": title}
        made = self._connection.post("projects", self.slug, "runs", body=body)
        return Run(self._connection, made)

    def runs(self) -> Iterator[Run]:
        """Yield its runs, the newest first."""
        for one in self._connection.each("projects", self.slug, "runs"):
            yield Run(self._connection, one)


class Client:
    """A platform, as one account sees it. Use it in a `with` statement, or `close` it.

    Everything raises `RemoteError` for what the platform refuses, and `Unreachable` when it does not answer.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        insecure: bool = False,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Prepare to ask the platform at `url`. Raises `InvalidSpec` for plain HTTP unless `insecure`."""
        self.connection = Connection(checked_url(url, insecure), token, transport)

    @classmethod
    def signed_in(cls, url: str = "") -> "Client":
        """Return a client with the token that `foedus login` kept, for the named platform or the last one."""
        login = find_login(url)
        return cls(login.url, login.token, insecure=True)  # said when it was signed in to

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self.connection.close()

    def me(self) -> Json:
        """Return who you are, and what your token may do."""
        return self.connection.get("me")

    def projects(self) -> Iterator[Project]:
        """Yield your projects."""
        for one in self.connection.each("projects"):
            yield Project(self.connection, one)

    def project(self, slug: str) -> Project:
        """Return a project."""
        return Project(self.connection, self.connection.get("projects", slug))

    def create_project(self, slug: str, title: str, **options: object) -> Project:
        """Found a project. `options` as in the API: goal, task, asks_votes."""
        body = {"slug": slug, "title": title, **options}
        return Project(self.connection, self.connection.post("projects", body=body))

    def runs(self, **query: object) -> Iterator[Run]:
        """Yield the runs that you may see; `query` filters and sorts as on the page."""
        for one in self.connection.each("runs", **query):
            yield Run(self.connection, one)

    def run(self, name: str) -> Run:
        """Return a run."""
        return Run(self.connection, self.connection.get("runs", name))

    def datasets(self) -> Iterator[Dataset]:
        """Yield your datasets."""
        for one in self.connection.each("datasets"):
            yield Dataset(self.connection, one)

    def register_dataset(self, name: str, kind: str, place: str, **options: object) -> Dataset:
        """Register data that lie at the site, at `place` below one of its data roots."""
        body = {"name": name, "kind": kind, "place": place, **options}
        return Dataset(self.connection, self.connection.post("datasets", body=body))

    def models(self, **query: object) -> Iterator[Model]:
        """Yield the versions that you may see; `query` filters and sorts as on the page."""
        for one in self.connection.each("models", **query):
            yield Model(self.connection, one)

    def model(self, cid: str, project: str = "") -> Model:
        """Return a version with manifest, lineage, scores and ballot."""
        return Model(self.connection, self.connection.get("models", cid, project=project))

    def ballots(self) -> list[Ballot]:
        """Return the ballots that wait for your vote."""
        return [Ballot(self.connection, one) for one in self.connection.get("votes")["items"]]

    def submit(self, application: str, parameters: Mapping[str, object], **options: object) -> Job:
        """Submit an application as a batch job; `options` as in the API: resources, becomes_dataset."""
        body = {"parameters": dict(parameters), **options}
        return Job(self.connection, self.connection.post("applications", application, "jobs", body=body))

    def jobs(self) -> Iterator[Job]:
        """Yield your batch jobs."""
        for one in self.connection.each("jobs"):
            yield Job(self.connection, one)

    def job(self, number: int) -> Job:
        """Return one of your batch jobs."""
        return Job(self.connection, self.connection.get("jobs", number))

    def search(self, words: str) -> Json:
        """Search everything that you may see."""
        return self.connection.get("search", q=words)


def _number(dataset: Dataset | int | None) -> int | None:
    return dataset.id if isinstance(dataset, Dataset) else dataset
