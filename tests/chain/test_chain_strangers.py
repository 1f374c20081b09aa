"""What strangers send: code that logs events of ours, texts that are none, calls to elsewhere."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from chain_tools import CLIENTS, At, Chain, Clock, cid
from eth_abi.abi import encode
from eth_keys.datatypes import PrivateKey

from foedus.chain import ChainReader, EmbeddedLedger, KeyRing, audit_chain
from foedus.chain.abi import REVERT, ContractAbi, revert_reason
from foedus.chain.vm import sign_call
from foedus.core.errors import ChainDamaged
from foedus.core.records import Value

STRANGER = PrivateKey(b"\x07" * 32)
STOP = b"\x00"


def push(value: int | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    return bytes([0x5F + len(data)]) + data


def log_code(event: str, **args: Value) -> bytes:
    """EVM code that logs what the contract would log."""
    abi = ContractAbi.shipped()
    signature, kind = next((s, e) for s, e in abi.events.items() if e.name == event)
    topics, types, values = [signature], [], []
    for name, type_, indexed in zip(kind.arguments, kind.types, kind.indexed, strict=True):
        if indexed:
            word = bytes.fromhex(args[name][2:]) if type_ == "address" else args[name].to_bytes(32, "big")
            topics.append(word.rjust(32, b"\0"))
        else:
            types.append(type_)
            values.append(args[name])
    data = encode(types, values)
    code = b"".join(push(data[at : at + 32]) + push(at) + b"\x52" for at in range(0, len(data), 32))
    code += b"".join(push(topic) for topic in reversed(topics))
    return code + push(len(data)) + push(0) + bytes([0xA0 + len(topics)])


def forged_run(voters: list[str]) -> bytes:
    """Code that logs the rest of run 1, as if all had registered and voted."""
    place = {"run": 1, "round": 1, "step": 1}
    scores = {"score_ppb": 10**9, "base_score_ppb": 0}
    update = {"client": voters[0], "cid": cid("evil"), "num_examples": 10, "reward": 0, "job": "x"}
    code = log_code("RoundOpened", **place, base=cid("version-0"), deadline=2**40)
    code += log_code("Registered", **place, **update, **scores)
    code += log_code("Proposed", **place, proposer=voters[0], cid=cid("evil"), electorate=3, deadline=2**40)
    for voter in voters:
        code += log_code("Voted", run=1, round=1, voter=voter, choice=1, **scores)
    outcome = {"outcome": 4, "yes": 3, "no": 0, "abstain": 0, "electorate": 3, "version": 1}
    code += log_code("Finalized", run=1, round=1, current=cid("evil"), **outcome)
    return code + log_code("RunEnded", run=1, version=1, current=cid("evil"), reason="completed") + STOP


def send_raw(chain: Chain, to: bytes, data: bytes, nonce: int = 0) -> tuple[str, str | None]:
    """Put a stranger's transaction into a block; return its hash and error."""
    ledger = chain.ledger
    block, rows = ledger._seal(ledger._next_block(), [sign_call(STRANGER, nonce, to, data)])
    ledger._nodes.commit(rows)
    ledger._head = block.header
    (receipt,) = ledger._receipts(rows)
    assert receipt.events == tuple(e for e in ledger.events(receipt.block) if e.tx == receipt.tx)
    return receipt.tx, receipt.error


def test_logs_of_another_contract_are_no_events(at: At) -> None:
    chain = at("started")
    before = list(chain.ledger.events())
    tx, error = send_raw(chain, b"", forged_run([chain.address(client) for client in CLIENTS]))
    assert error is None
    assert list(chain.ledger.events()) == before
    assert chain.ledger.transaction(tx).receipt.events == ()
    registered = chain.register("alice")  # what comes after is numbered as if nothing had been
    assert [event.index for event in registered.events] == [0]
    chain.close()
    assert audit_chain(chain.path).events == len(before) + 1
    with closing(ChainReader.open(chain.path)) as reader:
        assert list(reader.events()) == [*before, *registered.events]


def test_logs_of_no_known_kind_disturb_nobody(at: At) -> None:
    chain = at("started")
    before = list(chain.ledger.events())
    send_raw(chain, b"", push(0) + push(0) + b"\xa0" + STOP)
    assert list(chain.ledger.events()) == before


def test_forged_events_put_into_the_file_are_found(at: At) -> None:
    chain = at("started")
    send_raw(chain, b"", forged_run([chain.address(client) for client in CLIENTS]))
    head = chain.ledger.head().number
    chain.close()
    with closing(EmbeddedLedger(chain.path, chain.keys, chain.clock)) as ledger:
        ledger._db.execute(
            "INSERT INTO events SELECT ?, 0, 0, topics, data FROM events WHERE block = 2", (head,)
        )
    with pytest.raises(ChainDamaged) as caught:
        audit_chain(chain.path)
    assert caught.value.place == f"block {head}"


def other_bytes(patch: pytest.MonkeyPatch) -> None:
    abi = ContractAbi.shipped()
    abi.bytecode += b"\0"
    patch.setattr(ContractAbi, "shipped", classmethod(lambda cls: abi))


def forging_bytes(patch: pytest.MonkeyPatch) -> None:
    abi = ContractAbi.shipped()
    abi.bytecode = forged_run(["0x" + "01" * 20] * 3)
    patch.setattr(ContractAbi, "shipped", classmethod(lambda cls: abi))


def no_creation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("foedus.chain.embedded.CREATE", b"\1" * 20)


def failed_creation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("foedus.chain.vm.GAS_PER_CALL", 1_000_000)


@pytest.mark.parametrize("make", [other_bytes, forging_bytes, no_creation, failed_creation])
def test_a_chain_of_another_contract_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[pytest.MonkeyPatch], None]
) -> None:
    path = tmp_path / "chain.sqlite"
    with monkeypatch.context() as patch:
        make(patch)
        EmbeddedLedger(path, KeyRing(tmp_path / "keys"), Clock()).close()
    with pytest.raises(ChainDamaged, match="does not deploy") as caught:
        audit_chain(path)
    assert caught.value.place == "block 1"


def test_a_text_that_is_not_utf8_is_shown_with_escapes(at: At) -> None:
    chain = at("founded")
    call = chain.ledger._abi.encode_call("create_project", ("ZZ", "terms"))
    tx, error = send_raw(chain, chain.ledger._contract, call.replace(b"ZZ", b"\xff\xfe"))
    assert error is None
    assert list(chain.ledger.events())[-1].args["name"] == "\\xff\\xfe"
    shown = chain.ledger.transaction(tx)
    assert (shown.function, shown.args["name"]) == ("create_project", "\\xff\\xfe")
    chain.close()
    audit_chain(chain.path)


def test_what_is_no_call_of_the_contract_is_shown_as_none(at: At) -> None:
    chain = at("founded")
    assert chain.ledger._reader._contract() == chain.ledger._contract
    call = chain.ledger._abi.encode_call("create_project", ("x", "terms"))
    elsewhere, _ = send_raw(chain, b"\1" * 20, call)
    garbage, error = send_raw(chain, chain.ledger._contract, call[:4] + b"\xff" * 64, nonce=1)
    assert error == "the contract gave no reason"
    for tx in (elsewhere, garbage):
        shown = chain.ledger.transaction(tx)
        assert (shown.function, shown.args) == ("", {})


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (REVERT + encode(["bytes"], [b"no \xff"]), "no \\xff"),
        (REVERT + b"\xff" * 64, "the contract gave no reason"),
        (REVERT + encode(["uint256", "uint256"], [32, 2**255]), "the contract gave no reason"),
        (REVERT, "the contract gave no reason"),
        (b"", "the contract gave no reason"),
    ],
)
def test_a_reason_may_be_any_bytes(output: bytes, reason: str) -> None:
    assert revert_reason(output) == reason


def test_an_unreadable_deployment_is_damage(at: At) -> None:
    chain = at("blank")
    for raw in (
        b"\x05",
        b"",
        b"\xc0",
        chain.ledger._db.execute("SELECT raw FROM transactions").fetchone()[0][:-1],
    ):
        chain.ledger._db.execute("UPDATE transactions SET raw = ? WHERE block = 1", (raw,))
        with pytest.raises(ChainDamaged):
            chain.ledger._find_contract()


def test_a_registered_candidate_can_still_be_proposed(at: At) -> None:
    """Nobody blocks a round by registering the candidate that is to come; rounds may give equal ones."""
    chain = at("started")
    chain.register("alice", "the-candidate")
    chain.decline("bob")
    chain.register("carol")
    for _ in range(2):
        chain.propose(chain.turn(), "the-candidate")
        for client in CLIENTS:
            chain.vote(client)
        assert chain.base() == cid("the-candidate")
        for client in CLIENTS:
            chain.register(client)
    assert chain.view("is_seen", 1, cid("the-candidate")) is True
