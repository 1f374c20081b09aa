"""`verify` accepts an honest run and names the place of any single changed byte."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.runs import finish, new_run

from foedus.chain import ChainReader
from foedus.core.errors import InvalidSpec, VerificationFailed
from foedus.core.ids import Cid
from foedus.rounds.documents import StateDocument, fetch
from foedus.rounds.home import Home
from foedus.rounds.verify import verify_run
from foedus.rounds.view import RunView, view_run
from foedus.store import DirectoryStore, get_manifest

RUN = "tiny-1"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A finished run of three rounds."""
    home = Home(tmp_path_factory.mktemp("honest"))
    finish(home, new_run(home, 3))
    return home


@pytest.fixture
def home(honest: Home, tmp_path: Path) -> Home:
    """A copy of it to tamper with."""
    shutil.copytree(honest.root, tmp_path / "home")
    return Home(tmp_path / "home")


def view(home: Home) -> RunView:
    reader = ChainReader.open(home.chain)
    try:
        return view_run(list(reader.events()), 1)
    finally:
        reader.close()


def flip(home: Home, cid: Cid) -> None:
    """Change one byte in the middle of a stored object."""
    path = home.store / "objects" / cid[-2:] / f"{cid}.car"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def change_row(home: Home, table: str, column: str, where: str = "1 = 1") -> None:
    """Change one byte of one row of the chain's database."""
    with closing(sqlite3.connect(home.chain)) as database, database:
        (value,) = database.execute(f"SELECT {column} FROM {table} WHERE {where} LIMIT 1").fetchone()  # noqa: S608
        changed = bytearray(value)
        changed[-1] ^= 1
        update = f"UPDATE {table} SET {column} = ? WHERE {column} = ?"  # noqa: S608 - names are the test's own
        assert database.execute(update, (bytes(changed), value)).rowcount == 1


def flip_weights(home: Home) -> None:
    store = DirectoryStore(home.store)
    flip(home, get_manifest(store, view(home).current).weights)


def flip_manifest(home: Home) -> None:
    flip(home, view(home).history[1][1].current)


def flip_update(home: Home) -> None:
    flip(home, view(home).history[2][0].registrations[1].cid)


def flip_vote(home: Home) -> None:
    tx = view(home).history[0][0].ballots[2].tx
    change_row(home, "transactions", "raw", f"lower(hex(hash)) = '{tx[2:]}'")


def flip_block(home: Home) -> None:
    change_row(home, "blocks", "header", "number = 7")


def flip_event(home: Home) -> None:
    change_row(home, "events", "data", "block = 9")


def flip_state(home: Home) -> None:
    change_row(home, "nodes", "value")


def test_an_honest_run_passes(honest: Home) -> None:
    seen: set[str] = set()
    summary = verify_run(honest, RUN, lambda what, done, total: seen.add(what))
    assert summary.version == 3
    assert summary.updates == 9
    assert summary.votes == 9
    assert seen == {"chain", "store", "merges"}


@pytest.mark.parametrize(
    ("tamper", "place"),
    [
        (flip_weights, "round 3, candidate, weights"),
        (flip_manifest, "round 2, candidate, manifest"),
        (flip_update, "round 3, update of client-2"),
        (flip_vote, "the chain, block"),
        (flip_block, "the chain, block 7"),
        (flip_event, "the chain"),
        (flip_state, "the chain"),
    ],
)
def test_one_changed_byte_is_found_and_named(home: Home, tamper: Callable[[Home], None], place: str) -> None:
    tamper(home)
    with pytest.raises(VerificationFailed) as caught:
        verify_run(home, RUN)
    assert caught.value.place.startswith(place)


def every_object(home: Home) -> Iterator[Cid]:
    yield from DirectoryStore(home.store).ls()


@pytest.mark.slow
def test_every_object_of_the_run_is_covered(home: Home) -> None:
    for cid in every_object(home):
        flip(home, cid)
        with pytest.raises(VerificationFailed):
            verify_run(home, RUN)
        flip(home, cid)
    verify_run(home, RUN)


def test_a_missing_object_is_named(home: Home) -> None:
    (update,) = [r for r in view(home).history[0][0].registrations if r.client == "client-1"]
    (home.store / "objects" / update.cid[-2:] / f"{update.cid}.car").unlink()
    with pytest.raises(VerificationFailed, match="update of client-1"):
        verify_run(home, RUN)


# --- what an algorithm remembers ---


@pytest.fixture(scope="module")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A finished run of two rounds whose clients have control variates."""
    home = Home(tmp_path_factory.mktemp("remembering"))
    policy = {"beta": -1.0, "epsilon": 1.0, "floor_ratio": 0.0}
    finish(home, new_run(home, 2, algorithm={"name": "scaffold"}, policy=policy))
    return home


def change(home: Home, cid: Cid) -> None:
    flip(home, cid)


def remove(home: Home, cid: Cid) -> None:
    (home.store / "objects" / cid[-2:] / f"{cid}.car").unlink()


def state_objects(home: Home, version: int) -> dict[str, Cid]:
    """What verification calls the parts of a version's state, and first the document that names them."""
    store = DirectoryStore(home.store)
    state = get_manifest(store, view(home).history[version - 1][1].current).state
    assert state is not None
    place = f"round {version}, candidate, state"
    parts = fetch(store, state, StateDocument).parts
    return {place: state, **{f"{place} of {name}": Cid(cid) for name, cid in parts.items()}}


@pytest.mark.slow
@pytest.mark.parametrize("harm", [change, remove])
@pytest.mark.parametrize("version", [1, 2])
def test_harm_to_a_state_is_found_and_named(
    remembering: Home, tmp_path: Path, harm: Callable[[Home, Cid], None], version: int
) -> None:
    objects = state_objects(remembering, version)
    whose = ["client/client-1", "client/client-2", "client/client-3", "server"]
    assert [place.rpartition(" ")[2] for place in objects] == ["state", *whose]
    for number, (place, cid) in enumerate(objects.items()):
        home = Home(tmp_path / str(number))
        shutil.copytree(remembering.root, home.root)
        harm(home, cid)
        with pytest.raises(VerificationFailed) as caught:
            verify_run(home, RUN)
        assert caught.value.place in (f"{place} {cid}", f"{place}, object {cid}")
        assert caught.value.exit_code == 3


def test_a_run_that_never_reached_the_chain_says_so(tmp_path: Path) -> None:
    home = Home(tmp_path)
    name = new_run(home, 1)
    with pytest.raises(InvalidSpec, match="Resume it first"):
        verify_run(home, name)
