"""The block clock, and the marks by which a run is found again."""

import time

from foedus.core.ids import TxHash
from foedus.core.records import Event, Value
from foedus.rounds.runs import BlockClock
from foedus.rounds.view import RunView, find_run


def event(kind: str, /, **args: Value) -> Event:
    return Event(kind, args, 1, 0, TxHash("0x"), 0)


def test_the_clock_goes_on_from_the_newest_block() -> None:
    clock = BlockClock()
    assert abs(clock() - time.time()) < 5
    yesterday = int(time.time()) - 86_400
    clock.go_on_from(yesterday)
    assert 0 <= clock() - yesterday < 5


def test_the_clock_never_runs_ahead_of_the_world() -> None:
    clock = BlockClock()
    clock.go_on_from(int(time.time()) + 1000)
    assert abs(clock() - time.time()) < 5


def test_a_run_is_found_by_the_name_of_its_project() -> None:
    events = [
        event("ProjectCreated", project=1, name="a-1"),
        event("RunStarted", project=1, run=4),
        event("ProjectCreated", project=2, name="b-1"),
        event("ProjectCreated", project=3, name="a-1"),  # a stranger takes the same name later
        event("RunStarted", project=3, run=5),
    ]
    assert find_run(events, "a-1") == (1, 4)
    assert find_run(events, "b-1") is None
    assert find_run(events, "c-1") is None


def test_a_name_that_is_none_is_replaced() -> None:
    view = RunView(1, project=1)
    address = "0x" + "Ab" * 20
    view.apply(event("MemberSet", project=1, account=address, name="Eve\x1b[31m", role=2))
    assert view.clients == ("member-" + "ab" * 12,)
