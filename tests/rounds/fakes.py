"""A ledger and a launcher in memory, for what real ones rarely do."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foedus.core.ids import NativeId, TxHash
from foedus.core.records import Block, Call, Event, JobSpec, JobState, JobStatus, Receipt, Role, Value
from foedus.launch import JobFolder
from foedus.store import cid_of

CLIENTS = ("client-1", "client-2", "client-3")
NOW = 1_000_000
TERMS, BASE = cid_of(b"terms"), cid_of(b"base")


def address(account: str) -> str:
    return f"0x{account}"


def opening(rounds: int = 1, **rules: int) -> list[tuple[str, dict[str, Value]]]:
    """The events up to the first round of run 1 of project 1."""
    numbers = {
        "rounds": rounds,
        "steps": 1,
        "threshold": 3,
        "deadline_s": 100,
        "vote_s": 20,
        "gate_mode": 0,
        "beta_ppb": 0,
        "epsilon_ppb": 0,
        **rules,
    }
    members = [
        ("MemberSet", {"project": 1, "account": address(name), "name": name, "role": int(Role.MEMBER)})
        for name in CLIENTS
    ]
    return [
        ("ProjectCreated", {"project": 1, "lead": address(CLIENTS[0]), "name": "p", "terms": TERMS}),
        *members,
        ("RunStarted", {"run": 1, "project": 1, "terms": TERMS, "version0": BASE, **numbers}),
        ("RoundOpened", {"run": 1, "round": 1, "step": 1, "base": BASE, "deadline": NOW + 100}),
    ]


Answer = Callable[[Call], "str | list[tuple[str, dict[str, Value]]]"]


@dataclass
class FakeLedger:
    """Answers each call with events or a refusal, as `answer` says."""

    history: list[tuple[str, dict[str, Value]]]
    answer: Answer
    sent: list[list[Call]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._events = [self._event(name, args, 0) for name, args in self.history]
        self._block = 0

    def _event(self, name: str, args: dict[str, Value], block: int) -> Event:
        return Event(name, args, block, NOW, TxHash("0x"), 0)

    def send(self, calls: Sequence[Call]) -> list[Receipt]:
        self._block += 1
        self.sent.append(list(calls))
        return [self._one(call) for call in calls]

    def _one(self, call: Call) -> Receipt:
        said = self.answer(call)
        error = said if isinstance(said, str) else None
        events = [] if isinstance(said, str) else [self._event(n, a, self._block) for n, a in said]
        self._events += events
        return Receipt(TxHash("0x1"), self._block, NOW, 0, error, tuple(events))

    def call(self, function: str, *args: Value) -> Value:
        raise NotImplementedError

    def events(self, since: int = 0) -> Iterator[Event]:
        return iter([event for event in self._events if event.block >= since])

    def head(self) -> Block:
        raise NotImplementedError

    def address_of(self, account: str) -> str:
        return address(account)


@dataclass
class FakeLauncher:
    """Ends every job at once, with the result or cause that `work` gives; None leaves it running."""

    work: Callable[[JobSpec], "Mapping[str, object] | str | None"]
    jobs: dict[NativeId, JobStatus] = field(default_factory=dict)
    cancelled: list[NativeId] = field(default_factory=list)

    def submit(self, spec: JobSpec, key: str) -> NativeId:
        native_id = NativeId(key)
        folder = JobFolder(Path(spec.folder))
        said = self.work(spec)
        state, cause = JobState.COMPLETED, ""
        if said is None:
            state = JobState.RUNNING
        elif isinstance(said, str):
            state, cause = JobState.FAILED, said
        else:
            folder.finish(said)  # type: ignore[arg-type]  # JSON of a test
        self.jobs[native_id] = JobStatus(native_id, state, cause)
        return native_id

    def find(self, key: str) -> NativeId | None:
        return NativeId(key) if key in self.jobs else None

    def states(self, ids: Collection[NativeId], wait_s: float = 0.0) -> Mapping[NativeId, JobStatus]:
        return {native_id: self.jobs[native_id] for native_id in ids}

    def cancel(self, native_id: NativeId) -> None:
        self.cancelled.append(native_id)

    def logs(self, native_id: NativeId) -> str:
        return ""
