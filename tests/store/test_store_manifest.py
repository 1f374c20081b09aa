import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.canonical import canonical_json
from foedus.core.errors import ObjectDamaged, ObjectMissing
from foedus.core.ids import Cid, ClientId
from foedus.store import (
    AlgorithmRef,
    DirectoryStore,
    ModelManifest,
    UsedUpdate,
    cid_of,
    get_json,
    get_manifest,
    lineage,
    put_json,
    put_manifest,
)

A, B, C = (cid_of(text) for text in (b"a", b"b", b"c"))
FULL = ModelManifest(
    version=3,
    model=A,
    weights=B,
    base=C,
    algorithm=AlgorithmRef("fedavg", {"mu": 0.5}),
    updates=(UsedUpdate(ClientId("a-1"), A, 100, 10**18), UsedUpdate(ClientId("b_2"), B, 1, 0)),
    refused={ClientId("c"): "nonfinite"},
    state=C,
)
FIRST = ModelManifest(0, A, B, None, AlgorithmRef("init", {}))


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def test_the_stored_form() -> None:
    assert FULL.to_json() == {
        "kind": "model",
        "version": 3,
        "step": 1,
        "model": A,
        "weights": B,
        "base": C,
        "algorithm": {"name": "fedavg", "params": {"mu": 0.5}},
        "updates": [
            {"client": "a-1", "cid": A, "num_examples": 100, "reward": 10**18},
            {"client": "b_2", "cid": B, "num_examples": 1, "reward": 0},
        ],
        "refused": {"c": "nonfinite"},
        "state": C,
        "profile": "unixfs-v1-2025",
    }


@pytest.mark.parametrize("manifest", [FULL, FIRST])
def test_round_trip(store: DirectoryStore, manifest: ModelManifest) -> None:
    cid = put_manifest(store, manifest)
    assert get_manifest(store, cid) == manifest
    assert cid == cid_of(canonical_json(manifest.to_json()))


def test_json_round_trip(store: DirectoryStore) -> None:
    value = {"b": [1, 2.5, None, True, "ä"], "a": {}}
    assert get_json(store, put_json(store, value)) == value


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"a": 1}\n', b'{"a":1,"a":1}\n', b"\xff\n", b"NaN\n", b"[" * 99_999]
)
def test_json_in_another_form_is_refused(store: DirectoryStore, data: bytes) -> None:
    with pytest.raises(ObjectDamaged, match="JSON"):
        get_json(store, store.put(data))


def test_json_over_the_limit_is_not_read(store: DirectoryStore) -> None:
    cid = put_json(store, "x" * 100)
    assert get_json(store, cid, 103) == "x" * 100
    with pytest.raises(ObjectDamaged, match="limit"):
        get_json(store, cid, 102)


def test_a_missing_manifest_is_missing(store: DirectoryStore) -> None:
    with pytest.raises(ObjectMissing):
        get_manifest(store, A)


BAD: list[tuple[tuple[str | int, ...], Any]] = [
    (("kind",), "modell"),
    (("profile",), "unixfs-v0"),
    (("version",), -1),
    (("version",), True),
    (("version",), 1.0),
    (("version",), "1"),
    (("model",), None),
    (("model",), 1),
    (("weights",), A.upper()),
    (("weights",), "../../x"),
    (("base",), []),
    (("state",), ""),
    (("algorithm",), "fedavg"),
    (("algorithm", "name"), "Fed Avg"),
    (("algorithm", "name"), None),
    (("algorithm", "params"), []),
    (("algorithm", "more"), 1),
    (("updates",), {}),
    (("updates", 0), []),
    (("updates", 0, "client"), "Alice"),
    (("updates", 0, "client"), ""),
    (("updates", 0, "client"), "x" * 33),
    (("updates", 0, "client"), "z"),  # not sorted
    (("updates", 0, "client"), "b_2"),  # twice
    (("updates", 0, "cid"), "x"),
    (("updates", 0, "num_examples"), -1),
    (("updates", 0, "reward"), 0.5),
    (("updates", 0, "time"), 1),
    (("refused",), []),
    (("refused", "c"), 1),
    (("refused", "c"), "A message\nwith lines"),
    (("refused", "No client"), "shape"),
    (("time",), 1),
]


@pytest.mark.parametrize(("place", "value"), BAD)
def test_every_field_is_checked(store: DirectoryStore, place: tuple[Any, ...], value: object) -> None:
    manifest: Any = copy.deepcopy(FULL.to_json())
    target = manifest
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    with pytest.raises(ObjectDamaged, match="no model manifest"):
        get_manifest(store, put_json(store, manifest))


@pytest.mark.parametrize("field", FULL.to_json())
def test_every_field_is_needed(field: str) -> None:
    value = dict(FULL.to_json())
    del value[field]
    with pytest.raises(ValueError, match="keys"):
        ModelManifest.from_json(value)


hostile = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(FULL.to_json())), hostile))
@pytest.mark.slow
def test_hostile_values_raise_only_value_errors(changes: dict[str, Any]) -> None:
    try:
        manifest = ModelManifest.from_json({**FULL.to_json(), **changes})
    except ValueError:
        return
    assert ModelManifest.from_json(manifest.to_json()) == manifest


def test_lineage_goes_from_the_newest_to_the_first(store: DirectoryStore) -> None:
    cids: list[Cid] = []
    for version in range(4):
        base = cids[-1] if cids else None
        cids.append(put_manifest(store, replace(FIRST, version=version, base=base)))
    assert [cid for cid, _ in lineage(store, cids[-1])] == cids[::-1]
    assert [manifest.version for _, manifest in lineage(store, cids[-1])] == [3, 2, 1, 0]
    assert len(list(lineage(store, cids[-1], max_length=4))) == 4
    with pytest.raises(ObjectDamaged, match="longer than 3"):
        list(lineage(store, cids[-1], max_length=3))


def test_a_broken_lineage_raises_where_it_breaks(store: DirectoryStore) -> None:
    cid = put_manifest(store, FULL)
    line = lineage(store, cid)
    assert next(line) == (cid, FULL)
    with pytest.raises(ObjectMissing):
        next(line)
