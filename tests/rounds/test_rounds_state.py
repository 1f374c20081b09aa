"""The server state of an algorithm: stored by CID, read back as it was, untouched by rejection."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.rounds.project import World, to_bytes

from foedus.core.canonical import canonical_json
from foedus.core.errors import ObjectDamaged
from foedus.core.ids import Cid
from foedus.rounds.documents import StateDocument, Terms, UpdateEntry
from foedus.rounds.tasks.merging import Merged, Place, merge
from foedus.rounds.tasks.project import Project
from foedus.store import cid_of, encode, put_json, put_manifest


def with_algorithm(world: World, name: str, **params: object) -> tuple[Project, Cid]:
    """The world's project under another algorithm, with its version 0."""
    terms: Terms = world.project.terms.model_copy(
        update={
            "algorithm": world.project.terms.algorithm.model_copy(update={"name": name, "params": params})
        }
    )
    store = world.project.store
    return Project(str(store.root), put_json(store, terms.to_json())), world.version0


def entries(world: World, *clients: str) -> list[UpdateEntry]:
    shifts = {client: 0.01 * (number + 1) for number, client in enumerate(clients)}
    return [
        UpdateEntry(client=client, cid=world.put(world.update(shift)), num_examples=10, reward=0)
        for client, shift in shifts.items()
    ]


def stored(project: Project, merged: Merged) -> Cid:
    """Do what the driver does with a candidate."""
    project.store.put(encode(merged.state.weights))
    for part in merged.changed:
        assert project.store.put(part.buffers) == part.cid
    if merged.document is not None:
        put_json(project.store, merged.document.to_json())
    return put_manifest(project.store, merged.manifest)


def test_the_state_is_read_back_as_it_was(world: World) -> None:
    project, base = with_algorithm(world, "fedadam")
    merged = merge(project, base, Place(1, 1, 1), entries(world, "client-1", "client-2"))
    candidate = stored(project, merged)
    read = Project(str(project.store.root), project.terms_cid).state(candidate)
    assert dict(read.counters) == dict(merged.state.counters)
    for name, part in merged.state.parts.items():
        for tensor, values in part.items():
            np.testing.assert_array_equal(read.parts[name][tensor], values)


def test_the_manifest_names_the_state_by_its_content(world: World) -> None:
    project, base = with_algorithm(world, "fedadam")
    merged = merge(project, base, Place(1, 1, 1), entries(world, "client-1"))
    assert isinstance(merged.document, StateDocument)
    assert merged.manifest.state == cid_of([canonical_json(merged.document.to_json())])


def test_algorithms_without_memory_store_none(world: World) -> None:
    project, base = with_algorithm(world, "fedavg")
    merged = merge(project, base, Place(1, 1, 1), entries(world, "client-1"))
    assert merged.manifest.state is None
    assert merged.changed == []


def test_parts_of_clients_that_were_absent_are_not_written_again(world: World) -> None:
    project, base = with_algorithm(world, "fedheal")
    first = merge(project, base, Place(1, 1, 1), entries(world, "client-1", "client-2"))
    candidate = stored(project, first)
    second = merge(project, candidate, Place(2, 1, 2), entries(world, "client-2", "client-3"))
    assert first.document is not None
    assert second.document is not None
    same = first.document.parts["client/client-1"]
    assert second.document.parts["client/client-1"] == same
    assert same not in {part.cid for part in second.changed}
    assert set(second.document.parts) >= {"client/client-1", "client/client-2", "client/client-3"}


def test_a_rejected_candidate_leaves_no_trace(world: World) -> None:
    """Merging again from the same base gives the same bytes, whatever was computed in between."""
    project, base = with_algorithm(world, "fedyogi")
    first = merge(project, base, Place(1, 1, 1), entries(world, "client-1"))
    stored(project, first)
    merge(project, base, Place(2, 1, 1), entries(world, "client-2", "client-3"))
    again = merge(project, base, Place(1, 1, 1), entries(world, "client-1"))
    assert again.manifest == first.manifest


def test_without_usable_updates_the_state_stays(world: World) -> None:
    project, base = with_algorithm(world, "fedadam")
    candidate = stored(project, merge(project, base, Place(1, 1, 1), entries(world, "client-1")))
    broken = UpdateEntry(client="client-1", cid=world.put(b"nothing"), num_examples=1, reward=0)
    merged = merge(project, candidate, Place(2, 1, 2), [broken])
    assert merged.manifest.updates == ()
    assert merged.manifest.state == project.manifest(candidate).state
    assert merged.changed == []


@pytest.mark.parametrize("fault", ["gone", "damaged", "counter"])
def test_a_state_that_is_not_whole_is_damage(world: World, tmp_path: Path, fault: str) -> None:
    project, base = with_algorithm(world, "fedadam")
    merged = merge(project, base, Place(1, 1, 1), entries(world, "client-1"))
    assert merged.document is not None
    document = merged.document.to_json()
    if fault == "counter":
        document["counters"] = {"t": -1}
    else:
        document["parts"] = {"server": world.put(b"no tensors") if fault == "damaged" else cid_of(b"absent")}
    project.store.put(encode(merged.state.weights))
    manifest = replace(merged.manifest, state=put_json(project.store, document))
    cid, again = put_manifest(project.store, manifest), Project(str(project.store.root), project.terms_cid)
    with pytest.raises(Exception, match=r"fit|hold|counters") as caught:
        dict(again.state(cid).parts)  # parts are read when they are asked for
    assert isinstance(caught.value, ObjectDamaged) or fault == "gone"


def test_a_merge_beyond_the_numbers_type_is_no_candidate(world: World) -> None:
    project, base = with_algorithm(world, "fedsgd", server_lr=100.0)
    gradient = {name: np.full_like(array, 3e38) for name, array in world.initial.items()}
    update = to_bytes({**gradient, "@batch": np.array(1)})
    entry = UpdateEntry(client="client-1", cid=world.put(update), num_examples=1, reward=0)
    project.terms = project.terms.model_copy(update={"floor_ratio": 0.0})
    merged = merge(project, base, Place(1, 1, 1), [entry])
    assert merged.manifest.refused == {"client-1": "unmergeable"}
    assert merged.manifest.weights == project.manifest(base).weights
