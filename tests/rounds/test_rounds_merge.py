"""The merge of a project's updates: what is refused, alone and with which code, and what all recompute."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from tests.rounds.project import World, to_bytes

from foedus.core.ids import Cid, ClientId
from foedus.rounds.documents import UpdateEntry
from foedus.rounds.tasks import merging, opening
from foedus.store import ModelManifest, decode

Tensors = dict[str, np.ndarray]
NAMES = ("client-1", "client-2", "client-3")


def merge(world: World, version: int, entries: list[UpdateEntry]) -> tuple[ModelManifest, Tensors]:
    merged = merging.merge(world.project, world.version0, merging.Place(1, 1, version), entries)
    return merged.manifest, dict(merged.state.weights)


def entries(cids: Mapping[str, Cid], **changes: int) -> list[UpdateEntry]:
    return [UpdateEntry(client=c, cid=cid, num_examples=10, reward=0, **changes) for c, cid in cids.items()]


def with_third(world: World, third: Cid) -> list[UpdateEntry]:
    cids = [world.put(world.update(0.001)), world.put(world.update(-0.001)), third]
    return entries(dict(zip(NAMES, cids, strict=True)))


def edited(world: World, change: Callable[[Tensors], Mapping[str, np.ndarray]]) -> bytes:
    return to_bytes(change(dict(decode(world.update(0.0)))))


def one_value(value: float) -> Callable[[Tensors], Tensors]:
    def change(tensors: Tensors) -> Tensors:
        tensors["1.weight"][0, 0] = value
        return tensors

    return change


def many_tensors(world: World) -> bytes:
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({str(number): entry for number in range(300_000)}).encode()
    return len(header).to_bytes(8, "little") + header


HOSTILE: list[tuple[str, Callable[[World], bytes]]] = [
    ("nonfinite", lambda w: edited(w, one_value(float("nan")))),
    ("nonfinite", lambda w: edited(w, one_value(float("-inf")))),
    ("keys", lambda w: edited(w, lambda t: {**t, "extra": np.zeros(3, np.float32)})),
    ("keys", lambda w: edited(w, lambda t: {name: t[name] for name in sorted(t)[1:]})),
    ("shape", lambda w: edited(w, lambda t: {name: array.reshape(-1) for name, array in t.items()})),
    ("dtype", lambda w: edited(w, lambda t: {name: array.astype(np.float64) for name, array in t.items()})),
    ("size", lambda w: w.update(0.0)[:-4]),
    ("size", lambda w: w.update(0.0) + b"\0" * 8),
    ("header", lambda w: (1 << 40).to_bytes(8, "little") + w.update(0.0)[8:]),
    ("header", many_tensors),
    ("header", lambda w: b"not a model"),
    ("header", lambda w: b""),
    ("floor", lambda w: edited(w, lambda t: {name: np.zeros_like(array) for name, array in t.items()})),
]


@pytest.mark.parametrize(("code", "make"), HOSTILE)
def test_a_hostile_update_is_refused_alone(world: World, code: str, make: Callable[[World], bytes]) -> None:
    manifest, merged = merge(world, 1, with_third(world, world.put(make(world))))
    assert manifest.refused == {ClientId("client-3"): code}
    assert [used.client for used in manifest.updates] == ["client-1", "client-2"]
    np.testing.assert_allclose(merged["1.weight"], world.initial["1.weight"], atol=1e-6)


def test_a_missing_update_is_refused_alone(world: World) -> None:
    absent = Cid("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")
    manifest, _ = merge(world, 1, with_third(world, absent))
    assert manifest.refused == {ClientId("client-3"): "missing"}


def test_a_damaged_update_is_refused_alone(world: World) -> None:
    cid = world.put(world.update(0.002))
    path = world.project.store.root / "objects" / cid[-2:] / f"{cid}.car"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    manifest, _ = merge(world, 1, with_third(world, cid))
    assert manifest.refused == {ClientId("client-3"): "damaged"}


def test_without_usable_updates_the_candidate_holds_the_bases_weights(world: World) -> None:
    bad = world.put(b"nothing")
    manifest, merged = merge(world, 1, entries({"client-1": bad}))
    assert manifest.updates == ()
    assert manifest.weights == world.project.manifest(world.version0).weights
    np.testing.assert_array_equal(merged["1.weight"], world.initial["1.weight"])


def test_the_order_of_the_updates_does_not_matter(world: World) -> None:
    updates = with_third(world, world.put(world.update(0.003)))
    one, _ = merge(world, 1, updates)
    other, _ = merge(world, 1, updates[::-1])
    assert one == other


def test_large_updates_are_streamed_to_the_same_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    updates = with_third(world, world.put(world.update(0.003)))
    one, _ = merge(world, 1, updates)
    monkeypatch.setattr(opening, "KEEP_BYTES", 0)
    other, _ = merge(world, 1, updates)
    assert one == other


def test_the_manifest_tells_the_lineage(world: World, tmp_path: Path) -> None:
    manifest, _ = merge(world, 4, with_third(world, world.put(world.update(0.003))))
    assert manifest.version == 4
    assert manifest.base == world.version0
    assert manifest.algorithm.name == "fedprox"
    assert [used.num_examples for used in manifest.updates] == [10, 10, 10]
