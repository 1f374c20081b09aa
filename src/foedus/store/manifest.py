"""JSON objects in a store, and the manifest that describes one version of a model.

A manifest's CID is the version's name on the chain. It names the weights by CID and says how they came about;
times and host names have no place in it, so everybody who repeats the aggregation gets the same CID.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from foedus.core.canonical import Json, canonical_json, parse_canonical_json
from foedus.core.errors import ObjectDamaged
from foedus.core.ids import Cid, ClientId
from foedus.core.protocols import ModelStore
from foedus.store.cid import InvalidCid, check_cid
from foedus.store.unixfs import PROFILE_NAME

JSON_LIMIT_BYTES: Final = 1 << 20
_FIELDS: Final = (
    "kind", "version", "step", "model", "weights", "base", "algorithm", "updates", "refused", "state",
    "profile",
)  # fmt: skip
_CLIENT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class AlgorithmRef:
    """The aggregation algorithm and its parameters."""

    name: str
    params: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class UsedUpdate:
    """One client's update that went into the version."""

    client: ClientId
    cid: Cid
    num_examples: int
    reward: int  # in 1e-18
    num_shared: int = 0  # of the examples, those that the project shares with everybody

    def to_json(self) -> dict[str, Json]:
        """Return it as manifests hold it: of shared examples only when there are any."""
        shared: dict[str, Json] = {"num_shared": self.num_shared} if self.num_shared else {}
        return {
            "client": self.client,
            "cid": self.cid,
            "num_examples": self.num_examples,
            **shared,
            "reward": self.reward,
        }


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """One version, or candidate, of a model. Equal manifests have equal CIDs."""

    version: int
    model: Cid  # of the model spec
    weights: Cid
    base: Cid | None  # manifest of the version that this one was made from
    algorithm: AlgorithmRef
    updates: tuple[UsedUpdate, ...] = ()  # sorted by client
    refused: Mapping[ClientId, str] = field(default_factory=dict)  # client -> code of `UpdateRefused`
    state: Cid | None = None  # of the algorithm's state, e.g. optimiser moments
    step: int = 1  # exchange of the round; one that others follow makes no version yet
    profile: str = PROFILE_NAME  # how the CIDs were made

    def to_json(self) -> dict[str, Json]:
        """Return the manifest as it is stored."""
        updates: list[Json] = [used.to_json() for used in self.updates]
        return {
            "kind": "model",
            "version": self.version,
            "step": self.step,
            "model": self.model,
            "weights": self.weights,
            "base": self.base,
            "algorithm": {"name": self.algorithm.name, "params": self.algorithm.params},
            "updates": updates,
            "refused": {str(client): code for client, code in self.refused.items()},
            "state": self.state,
            "profile": self.profile,
        }

    @classmethod
    def from_json(cls, value: Json) -> "ModelManifest":
        """Check every field of what may come from anybody. Raises ValueError naming the field."""
        fields = _object(value, "manifest", _FIELDS)
        if fields["kind"] != "model" or fields["profile"] != PROFILE_NAME:
            raise ValueError(f"kind must be 'model' and profile {PROFILE_NAME!r}")
        return cls(
            version=_count(fields["version"], "version"),
            model=_cid(fields["model"], "model"),
            weights=_cid(fields["weights"], "weights"),
            base=_optional_cid(fields["base"], "base"),
            algorithm=_algorithm(fields["algorithm"]),
            updates=_updates(fields["updates"]),
            refused=_refused(fields["refused"]),
            state=_optional_cid(fields["state"], "state"),
            step=_count(fields["step"], "step"),
        )


def put_json(store: ModelStore, value: Json) -> Cid:
    """Store a value as canonical JSON and return its CID. Raises `StorageFull`."""
    return store.put(canonical_json(value))


def get_json(store: ModelStore, cid: Cid, limit_bytes: int = JSON_LIMIT_BYTES) -> Json:
    """Return a stored JSON value.

    Raises `ObjectMissing`, and `ObjectDamaged` for bytes that `put_json` would not have written or more than
    `limit_bytes` of them (found out before they are read).
    """
    with store.open(cid) as stream:
        size = stream.seek(0, os.SEEK_END)
        if size > limit_bytes:
            raise ObjectDamaged(
                f"{cid} is no JSON object: {size:,} bytes exceed the limit of {limit_bytes:,}"
            )
        stream.seek(0)
        data = stream.read(size)
    try:
        return parse_canonical_json(data, limit_bytes)
    except ValueError as error:
        raise ObjectDamaged(f"{cid} is no JSON object: {error}") from error


def put_manifest(store: ModelStore, manifest: ModelManifest) -> Cid:
    """Store a manifest and return its CID. Raises `StorageFull`."""
    return put_json(store, manifest.to_json())


def get_manifest(store: ModelStore, cid: Cid) -> ModelManifest:
    """Return a stored manifest, completely checked. Raises `ObjectMissing` or `ObjectDamaged`."""
    value = get_json(store, cid)
    try:
        return ModelManifest.from_json(value)
    except ValueError as error:
        raise ObjectDamaged(f"{cid} is no model manifest: {error}") from error


def lineage(store: ModelStore, cid: Cid, max_length: int = 100_000) -> Iterator[tuple[Cid, ModelManifest]]:
    """Yield a version and all it descends from, newest first; not the exchanges on the way to a version.

    Raises `ObjectMissing`, or `ObjectDamaged` when a link is not a manifest or the line is longer than
    `max_length` (it cannot be a circle unless hashes collide; the limit ends that one, too).
    """
    current: Cid | None = cid
    newest: int | None = None
    for _ in range(max_length):
        if current is None:
            return
        manifest = get_manifest(store, current)
        if manifest.version != newest:
            yield current, manifest
        newest = manifest.version
        current = manifest.base
    if current is not None:
        raise ObjectDamaged(f"the line of versions before {cid} is longer than {max_length:,}")


def _object(value: Json, what: str, keys: Sequence[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != set(keys):
        raise ValueError(f"{what} must be an object with the keys {', '.join(keys)}")
    return value


def _count(value: object, what: str) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{what} must be an integer from 0")
    return value


def _cid(value: object, what: str) -> Cid:
    if not isinstance(value, str):
        raise ValueError(f"{what} must be a CID")
    try:
        return check_cid(value)
    except InvalidCid as error:
        raise ValueError(f"{what}: {error.message}") from error


def _optional_cid(value: object, what: str) -> Cid | None:
    return None if value is None else _cid(value, what)


def _client(value: object) -> ClientId:
    if not isinstance(value, str) or not _CLIENT.fullmatch(value):
        raise ValueError(f"{str(value)[:40]!r} is not a client id")
    return ClientId(value)


def _algorithm(value: Json) -> AlgorithmRef:
    fields = _object(value, "algorithm", ("name", "params"))
    name, params = fields["name"], fields["params"]
    if not isinstance(name, str) or not _WORD.fullmatch(name) or not isinstance(params, dict):
        raise ValueError("algorithm must have a name of lower-case letters and an object of params")
    return AlgorithmRef(name, params)


def _updates(value: Json) -> tuple[UsedUpdate, ...]:
    if not isinstance(value, list):
        raise ValueError("updates must be a list")
    updates = tuple(_update(entry) for entry in value)
    clients = [used.client for used in updates]
    if clients != sorted(set(clients)):
        raise ValueError("updates must be sorted by client, one per client")
    return updates


def _update(value: Json) -> UsedUpdate:
    shared = ("num_shared",) if isinstance(value, dict) and "num_shared" in value else ()
    fields = _object(value, "update", ("client", "cid", "num_examples", "reward", *shared))
    num_shared = _count(fields["num_shared"], "num_shared") if shared else 0
    if shared and not 0 < num_shared <= _count(fields["num_examples"], "num_examples"):
        raise ValueError("num_shared must be 1 to num_examples, or left out")
    return UsedUpdate(
        client=_client(fields["client"]),
        cid=_cid(fields["cid"], "cid of an update"),
        num_examples=_count(fields["num_examples"], "num_examples"),
        reward=_count(fields["reward"], "reward"),
        num_shared=num_shared,
    )


def _refused(value: Json) -> dict[ClientId, str]:
    if not isinstance(value, dict):
        raise ValueError("refused must be an object")
    for code in value.values():
        if not isinstance(code, str) or not _WORD.fullmatch(code):
            raise ValueError(f"{str(code)[:40]!r} is not a code of refusal")
    return {_client(client): str(code) for client, code in value.items()}
