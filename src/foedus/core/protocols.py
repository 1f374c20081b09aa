"""The protocols between the round machine and the world. Every backend passes tests/conformance."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, Protocol, TypeAlias

from foedus.core.ids import Cid, NativeId
from foedus.core.records import Block, Call, Event, JobSpec, JobStatus, Receipt, Value

Buffer: TypeAlias = bytes | bytearray | memoryview


class ModelStore(Protocol):
    """Content-addressed store. Whatever is returned was checked against its CID."""

    def put(self, data: Buffer | Iterable[Buffer]) -> Cid:
        """Store the concatenated buffers durably (pinned) and return their CID. Idempotent.

        Raises `StorageFull` with nothing left behind.
        """

    def get(self, cid: Cid) -> bytes:
        """Return the bytes. Raises `ObjectMissing` or `ObjectDamaged`."""

    def open(self, cid: Cid) -> BinaryIO:
        """Open for seekable reading; each block is checked against its hash before use."""

    def has(self, cid: Cid) -> bool:
        """Whether the store holds this object (not whether its bytes are intact)."""

    def pin(self, cid: Cid) -> None:
        """Keep the object through garbage collection. Raises `ObjectMissing`."""

    def unpin(self, cid: Cid) -> None:
        """Let garbage collection take the object. Unpinning twice is harmless."""


class Ledger(Protocol):
    """The chain with the Foedus contract on it."""

    def send(self, calls: Sequence[Call]) -> list[Receipt]:
        """Sign and send the calls in order and wait until each is final; one receipt per call.

        Calls of one `send` go into one block where the backend seals its own blocks. A refused call is a
        receipt with `error` set; it does not stop the others. A returned receipt is durable.
        """

    def call(self, function: str, *args: Value) -> Value | tuple[Value, ...]:
        """Evaluate a view function of the contract at the head."""

    def events(self, since: int = 0) -> Iterator[Event]:
        """Yield the contract's events in chain order, from block `since` (inclusive) to the head."""

    def head(self) -> Block:
        """Return the newest block."""

    def address_of(self, account: str) -> str:
        """Return the checksummed address of the named account, creating its key on first use."""


class Launcher(Protocol):
    """Runs batch jobs. The job folder is the protocol (see `foedus.launch.folder`)."""

    def submit(self, spec: JobSpec, key: str) -> NativeId:
        """Start the job. `key` is unique to this attempt; submitting a known key returns the job it has."""

    def find(self, key: str) -> NativeId | None:
        """Find a job by its key, also one submitted by an earlier process where the scheduler outlives it."""

    def states(self, ids: Collection[NativeId], wait_s: float = 0.0) -> Mapping[NativeId, JobStatus]:
        """Return the states; with `wait_s`, block until one of them changes, at most that many seconds."""

    def cancel(self, native_id: NativeId) -> None:
        """Stop the job and all its processes. Cancelling a finished job is harmless."""

    def logs(self, native_id: NativeId) -> str:
        """Return the job's output so far (the last 64 KiB)."""
