"""What every ledger backend does. A backend is a function from a folder to an open ledger."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from foedus.chain import EmbeddedLedger, KeyRing
from foedus.core.errors import InvalidSpec, Reverted
from foedus.core.protocols import Ledger
from foedus.core.records import Call


def embedded(folder: Path) -> EmbeddedLedger:
    return EmbeddedLedger(folder / "chain.sqlite", KeyRing(folder / "keys"))


@pytest.fixture(params=[embedded], ids=lambda backend: backend.__name__)
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], closing[Ledger]]:
    return lambda: closing(request.param(tmp_path))


@pytest.fixture
def ledger(reopen: Callable[[], closing[Ledger]]) -> Iterator[Ledger]:
    with reopen() as opened:
        yield opened


def create(name: str = "lungs") -> Call:
    return Call("lead", "create_project", (name, "terms"))


def test_an_account_has_one_checksummed_address(ledger: Ledger) -> None:
    address = ledger.address_of("lead")
    assert address == ledger.address_of("lead") != ledger.address_of("other")
    assert address.startswith("0x")
    assert address != address.lower()
    assert len(address) == 42


def test_a_receipt_tells_block_events_and_gas(ledger: Ledger) -> None:
    (receipt,) = ledger.send([create()])
    head = ledger.head()
    assert receipt.error is None
    assert (receipt.block, receipt.block_time) == (head.number, head.timestamp)
    assert receipt.gas_used > 21_000
    assert head.transactions == (receipt.tx,)
    (event,) = receipt.events
    assert event.name == "ProjectCreated"
    assert dict(event.args) == {
        "project": 1,
        "lead": ledger.address_of("lead"),
        "name": "lungs",
        "terms": "terms",
    }
    assert (event.block, event.block_time, event.tx) == (receipt.block, receipt.block_time, receipt.tx)


def test_calls_take_effect_in_order(ledger: Ledger) -> None:
    receipts = ledger.send([create("a"), create("b"), create("c")])
    assert [r.events[0].args["project"] for r in receipts] == [1, 2, 3]


def test_a_refused_call_is_a_receipt_and_stops_nobody(ledger: Ledger) -> None:
    refused, fine = ledger.send([create(""), create()])
    assert refused.error == "Foedus: a project needs a name"
    assert refused.events == ()
    assert fine.error is None


def test_sending_nothing_does_nothing(ledger: Ledger) -> None:
    before = ledger.head()
    assert ledger.send([]) == []
    assert ledger.head() == before


def test_a_call_of_wrong_form_is_refused_before_anything_is_sent(ledger: Ledger) -> None:
    before = ledger.head()
    with pytest.raises(InvalidSpec):
        ledger.send([create(), Call("lead", "no_such_function")])
    assert ledger.head() == before


def test_views_return_one_value_or_several(ledger: Ledger) -> None:
    assert ledger.call("project_count") == 0
    ledger.send([create()])
    assert ledger.call("project_count") == 1
    assert ledger.call("lead_of", 1) == ledger.address_of("lead")
    assert ledger.call("round_of", 1) == (0, 0, 0, 0, 0, 0)
    assert ledger.call("is_accepted", 3, 0, 0, 3) is True


def test_a_refused_view_raises_the_reason(ledger: Ledger) -> None:
    with pytest.raises(Reverted) as caught:
        ledger.call("passes_gate", 0, 10**9 + 1, 0, 0)
    assert caught.value.reason == "Foedus: a score is above 1"


def test_events_come_in_chain_order_from_a_block_on(ledger: Ledger) -> None:
    receipts = [receipt for _ in range(3) for receipt in ledger.send([create(), create()])]
    expected = [event for receipt in receipts for event in receipt.events]
    assert list(ledger.events()) == expected
    assert list(ledger.events(receipts[2].block)) == expected[2:]
    assert list(ledger.events(ledger.head().number + 1)) == []


def test_what_a_receipt_says_survives_closing(reopen: Callable[[], closing[Ledger]]) -> None:
    with reopen() as ledger:
        receipts = ledger.send([create(), create("")])
        head = ledger.head()
    with reopen() as ledger:
        assert ledger.head() == head
        assert list(ledger.events()) == list(receipts[0].events)
        assert ledger.call("project_count") == 1
        assert ledger.send([create()])[0].events[0].args["project"] == 2
