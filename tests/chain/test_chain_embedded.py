"""The embedded ledger: durability, one owner, time, readers, and what it refuses to open."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest
from chain_tools import CLIENTS, PASS, At, Chain, Clock, copy_of, names

from foedus.chain import ChainReader, EmbeddedLedger, KeyRing, audit_chain
from foedus.chain.files import check_filesystem, filesystem_of
from foedus.chain.sqlite import connect
from foedus.core.errors import ChainDamaged, HomeInUse, InvalidSpec, Reverted, StorageFull
from foedus.core.records import Call


def test_calls_of_one_send_share_a_block_and_a_refusal_stops_nobody(at: At) -> None:
    chain = at("founded")
    before = chain.ledger.head()
    calls = [Call("lead", "create_project", (name, "t")) for name in ("a", "", "b")]
    receipts = chain.ledger.send(calls)
    head = chain.ledger.head()
    assert [r.error for r in receipts] == [None, "Foedus: a project needs a name", None]
    assert {r.block for r in receipts} == {before.number + 1} == {head.number}
    assert head.parent == before.hash
    assert head.transactions == tuple(r.tx for r in receipts)
    assert head.gas_used == sum(r.gas_used for r in receipts)
    assert [r.events[0].index for r in receipts if r.events] == [0, 1]


def test_nothing_is_sent_when_one_call_does_not_fit(at: At) -> None:
    chain = at("founded")
    before = chain.ledger.head()
    for bad in [("no_such", ()), ("close", (1,)), ("close", (1, 1, "x")), ("close", (1, 1, -1))]:
        with pytest.raises(InvalidSpec):
            chain.ledger.send([Call("lead", "create_project", ("a", "t")), Call("lead", *bad)])
    assert chain.ledger.send([]) == []
    assert chain.ledger.head() == before


def test_a_long_send_is_split_into_blocks(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foedus.chain.embedded.CALLS_PER_BLOCK", 2)
    chain = at("blank")
    receipts = chain.ledger.send([Call("lead", "create_project", (f"p{i}", "t")) for i in range(5)])
    first = receipts[0].block
    assert [r.block - first for r in receipts] == [0, 0, 1, 1, 2]
    assert [r.events[0].args["project"] for r in receipts] == [1, 2, 3, 4, 5]


def test_block_times_never_fall_and_may_stand_still(at: At) -> None:
    chain = at("founded")
    times = []
    for step in (0, 0, 5, -100, 1):
        chain.clock.now += step
        times.append(chain.do("lead", "create_project", "p", "t").block_time)
    now = 1_700_000_000
    assert times == [now, now, now + 5, now + 5, now + 5]
    assert [block.timestamp for block in chain.ledger.blocks()] == sorted(
        block.timestamp for block in chain.ledger.blocks()
    )


def test_views_see_the_present_time_and_refusals_say_why(at: At) -> None:
    chain = at("aggregating")
    assert chain.turn() == "alice"
    chain.clock.now += 50
    assert chain.turn() == "bob"
    with pytest.raises(Reverted, match="above 1"):
        chain.view("passes_gate", 0, 10**9 + 1, 0, 0)
    with pytest.raises(Reverted, match="no reason"):
        chain.view("reward_of", 2**255, 2**255, 2**255, 2**255, 2**255, 2**255, 2**255)


def test_a_reopened_chain_goes_on_where_it_was(at: At) -> None:
    chain = at("registered")
    head, events = chain.ledger.head(), list(chain.ledger.events())
    chain.close()
    again = Chain(chain.folder, chain.keys)
    assert again.ledger.head() == head
    assert list(again.ledger.events()) == events
    assert names(again.register("carol")) == ["Registered", "StepClosed"]
    assert next(again.ledger.events(head.number + 1)).name == "Registered"
    again.close()


def test_transactions_are_decoded_for_an_explorer(at: At) -> None:
    chain = at("started")
    receipt = chain.register("bob")
    found = chain.ledger.transaction(receipt.tx)
    assert found.sender == chain.address("bob")
    assert found.function == "register"
    assert found.args["score_ppb"] == PASS
    assert found.receipt == receipt
    assert chain.ledger.transaction("0x" + "0" * 64) is None
    deployment = next(iter(chain.ledger.blocks(1, 2))).transactions[0]
    assert chain.ledger.transaction(deployment).function == ""
    refused = chain.try_("bob", "close", 1, 1, 1)
    assert chain.ledger.transaction(refused.tx).receipt.error == "Foedus: the deadline has not passed"


def test_others_read_while_the_owner_writes(at: At) -> None:
    chain = at("started")
    with closing(EmbeddedLedger.open_readonly(chain.path)) as reader:
        before = reader.head()
        chain.register("bob")
        assert reader.head().number == before.number + 1
        assert [e.name for e in reader.events(before.number + 1)] == ["Registered"]


def test_only_one_process_owns_a_chain(at: At) -> None:
    chain = at("blank")
    with pytest.raises(HomeInUse) as caught:
        Chain(chain.folder, chain.keys)
    assert "stop it" in caught.value.hint
    script = (
        "import sys; from pathlib import Path; from foedus.chain import EmbeddedLedger, KeyRing;"
        "EmbeddedLedger(Path(sys.argv[1]), KeyRing(Path(sys.argv[2])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, chain.path, chain.folder / "keys"], capture_output=True, text=True
    )
    assert "HomeInUse" in done.stderr
    chain.close()
    Chain(chain.folder, chain.keys).close()


def test_a_chain_with_another_contract_is_refused(at: At) -> None:
    chain = at("blank")
    chain.ledger._abi.bytecode += b"\0"
    with pytest.raises(InvalidSpec, match="another version"):
        chain.ledger._find_contract()


def test_files_that_are_no_chain_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "chain.sqlite"
    path.write_bytes(b"not a database, certainly" * 100)
    for open_ in (lambda: EmbeddedLedger(path, KeyRing(tmp_path / "keys")), lambda: ChainReader.open(path)):
        with pytest.raises(ChainDamaged):
            open_()
    with pytest.raises(ChainDamaged):
        ChainReader.open(tmp_path / "missing.sqlite")


def test_a_file_without_a_chain_is_no_chain_yet(tmp_path: Path) -> None:
    """Nothing written yet, or the tables alone: a writer was killed before its first block."""
    path = tmp_path / "chain.sqlite"
    path.touch()
    with pytest.raises(ChainDamaged, match="holds no chain yet"):
        ChainReader.open(path)
    connect(path).close()
    with pytest.raises(ChainDamaged, match="holds no chain yet"):
        ChainReader.open(path)
    Chain(tmp_path).close()
    with closing(ChainReader.open(path)) as reader:
        assert reader.head().number == 1


def test_a_chain_with_a_damaged_head_is_refused(at: At) -> None:
    chain = at("blank")
    chain.close()
    with closing(sqlite3.connect(chain.path)) as db, db:
        db.execute("UPDATE blocks SET header = x'00' WHERE number = 1")
    with pytest.raises(ChainDamaged):
        Chain(chain.folder, chain.keys)


def test_a_full_disk_leaves_the_chain_as_it_was(at: At) -> None:
    chain = at("started")
    head = chain.ledger.head()
    pages = chain.ledger._db.execute("PRAGMA page_count").fetchone()[0]
    chain.ledger._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageFull):
        chain.register("alice")
    chain.ledger._db.execute("PRAGMA max_page_count=1000000")
    assert chain.ledger.head() == head
    assert names(chain.register("alice")) == ["Registered"]
    chain.close()
    audit_chain(chain.path)


def test_an_error_while_sealing_leaves_the_chain_as_it_was(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = at("started")
    head = chain.ledger.head()

    def fail(*args: object) -> None:
        raise RuntimeError("boom")

    with monkeypatch.context() as patch:
        patch.setattr("foedus.chain.vm._root", fail)
        with pytest.raises(RuntimeError, match="boom"):
            chain.register("alice")
    assert chain.ledger.head() == head
    chain.register("alice")
    chain.close()
    audit_chain(chain.path)


def test_a_small_cache_of_nodes_changes_nothing(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foedus.chain.sqlite.KEPT_NODES", 1)
    chain = at("started")
    for client in CLIENTS:
        chain.register(client)
    chain.close()
    audit_chain(chain.path)


def test_an_unexpected_failure_of_the_database_is_not_hidden(at: At) -> None:
    chain = at("started")
    chain.ledger._db.execute("DROP TABLE events")
    with pytest.raises(sqlite3.OperationalError, match="events"):
        chain.register("alice")


CRASHER = """
    import sys
    from pathlib import Path
    from foedus.chain import EmbeddedLedger, KeyRing
    from foedus.core.records import Call
    folder = Path(sys.argv[1])
    ledger = EmbeddedLedger(folder / "chain.sqlite", KeyRing(folder / "keys"))
    for i in range(10_000):
        receipts = ledger.send([Call("lead", "create_project", (f"p{i}", "t")) for _ in range(3)])
        sys.stdout.write(" ".join(r.tx for r in receipts) + "\\n")
        sys.stdout.flush()
"""


@pytest.mark.slow
def test_kill_nine_loses_no_receipt_and_leaves_no_half_block(
    situations: dict[str, Path], tmp_path: Path
) -> None:
    folder = copy_of(situations["second"], tmp_path / "home")
    acknowledged = []
    for lines in (1, 2, 4, 7):
        worker = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CRASHER), folder], stdout=subprocess.PIPE, text=True
        )
        for _ in range(lines):
            acknowledged += worker.stdout.readline().split()
        os.kill(worker.pid, signal.SIGKILL)
        rest, _ = worker.communicate()
        acknowledged += [tx for line in rest.splitlines() for tx in line.split() if len(line) == 3 * 67 - 1]
    with closing(ChainReader.open(folder / "chain.sqlite")) as reader:
        stored = {tx for block in reader.blocks(14) for tx in block.transactions}
        assert set(acknowledged) <= stored
        assert all(len(block.transactions) == 3 for block in reader.blocks(14))
    report = audit_chain(folder / "chain.sqlite")
    assert report.transactions > len(acknowledged)


@pytest.mark.parametrize(
    ("mounts", "path", "kind"),
    [
        ("/dev/a / ext4 rw 0 0\nhost:/h /home nfs4 rw 0 0", "/home/me/chain.sqlite", "nfs4"),
        ("/dev/a / ext4 rw 0 0\nhost:/h /home nfs4 rw 0 0", "/homely/chain.sqlite", "ext4"),
        ("/dev/a / ext4 rw 0 0\nx /my\\040scratch lustre rw 0 0", "/my scratch/c", "lustre"),
        ("", "/home", ""),
    ],
)
def test_the_file_system_is_that_of_the_deepest_mount(mounts: str, path: str, kind: str) -> None:
    assert filesystem_of(Path(path), mounts) == kind


def test_network_file_systems_are_refused_with_a_hint(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"gpfs0 {tmp_path} gpfs rw 0 0\n")
    with pytest.raises(InvalidSpec, match="gpfs") as caught:
        check_filesystem(tmp_path / "chain.sqlite", mounts)
    assert "FOEDUS_HOME" in caught.value.hint
    check_filesystem(tmp_path / "chain.sqlite", tmp_path / "no-such-file")


def test_the_default_clock_is_the_world_s(tmp_path: Path) -> None:
    with closing(EmbeddedLedger(tmp_path / "chain.sqlite", KeyRing(tmp_path / "keys"))) as ledger:
        assert ledger.head().timestamp > Clock().now
        assert ledger.call("project_count") == 0
