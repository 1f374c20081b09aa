"""Bytes of a comparison: updates, models, and what algorithms remember, each as the store holds it."""

from dataclasses import replace
from pathlib import Path

import pytest
from client_tools import TINY, call, write_spec

from foedus.client.compare.traffic import Traffic
from foedus.client.status import chain_events
from foedus.core.ids import Cid, TxHash
from foedus.core.records import Event
from foedus.rounds.documents import StateDocument, fetch, publish
from foedus.rounds.home import Home
from foedus.rounds.summary import summarise_run
from foedus.store import AlgorithmRef, DirectoryStore, ModelManifest, get_manifest, put_json

MEMBERS = 3


class Told:
    """A store, and a chain that tells of models which were proposed."""

    def __init__(self, folder: Path) -> None:
        self.store = DirectoryStore(folder)
        self.events: list[Event] = []
        first = ModelManifest(0, self.put(1), self.put(10), None, AlgorithmRef("scaffold", {}))
        self.version0 = put_json(self.store, first.to_json())

    def put(self, size: int, fill: str = "x") -> Cid:
        return self.store.put(fill.encode() * size)

    def document(self, **parts: Cid) -> Cid:
        names = {name if name == "server" else f"client/{name}": str(cid) for name, cid in parts.items()}
        return publish(self.store, StateDocument(counters={}, parts=names))

    def propose(self, number: int, base: Cid, weights: Cid, state: Cid | None) -> Cid:
        manifest = replace(
            get_manifest(self.store, self.version0), version=number, base=base, weights=weights, state=state
        )
        cid = put_json(self.store, manifest.to_json())
        args = {"run": 1, "round": number, "cid": cid, "electorate": MEMBERS}
        self.events.append(Event("Proposed", args, number, 0, TxHash("0x"), 0))
        return cid

    def bytes(self) -> dict[int, int | None]:
        return Traffic(self.store).by_round(self.events, 1)


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_a_state_counts_with_its_document_and_the_parts_that_changed(told: Told) -> None:
    server, a, b = told.put(100), told.put(20, "a"), told.put(30, "b")
    new_server, new_a = told.put(101), told.put(21, "a")
    first = told.document(server=server, a=a, b=b)
    second = told.document(server=new_server, a=new_a, b=b)

    one = told.propose(1, told.version0, told.put(11), first)
    two = told.propose(2, one, told.put(12), second)
    told.propose(3, two, told.put(13), second)

    assert told.bytes() == {
        1: MEMBERS * (11 + told.store.size(first) + 100 + 20 + 30),
        2: MEMBERS * (12 + told.store.size(second) + 101 + 21),
        3: MEMBERS * (13 + told.store.size(second)),
    }


def test_equal_parts_of_several_clients_are_one_object(told: Told) -> None:
    state = told.document(a=told.put(20), b=told.put(20))
    told.propose(1, told.version0, told.put(11), state)

    assert told.bytes() == {1: MEMBERS * (11 + told.store.size(state) + 20)}


def test_a_part_that_the_store_lacks_leaves_the_round_unknown(told: Told) -> None:
    part = told.put(20)
    told.propose(1, told.version0, told.put(11), told.document(server=part))
    (told.store.root / "objects" / part[-2:] / f"{part}.car").unlink()

    assert told.bytes() == {1: None}


def test_a_model_without_a_state_counts_its_weights(told: Told) -> None:
    told.propose(1, told.version0, told.put(11), None)

    assert told.bytes() == {1: MEMBERS * 11}


@pytest.mark.slow
def test_control_variates_are_counted_in_a_real_run(tmp_path: Path) -> None:
    """Both clients of SCAFFOLD take part in every round, so all of its parts change in each."""
    spec = write_spec(tmp_path, TINY + "[algorithm]\nname = 'scaffold'")
    home = Home(tmp_path / "home")
    assert call("run", spec, "--home", home.root).exit_code == 0
    run, store = summarise_run(home, "tiny-1"), DirectoryStore(home.store)
    assert run.run is not None
    found = Traffic.of(home).by_round(chain_events(home), run.run)

    for one in run.rounds:
        manifest = get_manifest(store, Cid(str(one.candidate)))
        assert manifest.state is not None
        parts = fetch(store, manifest.state, StateDocument).parts
        assert set(parts) == {"server", "client/client-1", "client/client-2"}
        updates = sum(store.size(Cid(str(entry.cid))) for entry in one.clients if entry.cid)
        state = store.size(manifest.state) + sum(store.size(Cid(cid)) for cid in parts.values())
        assert state > 2 * store.size(manifest.weights)
        assert found[one.number] == updates + 2 * (store.size(manifest.weights) + state)
