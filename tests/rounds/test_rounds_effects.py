"""What a client's tasks are told: where they start from, and which of its own memories they go on from."""

from pathlib import Path

from tests.rounds.fakes import BASE, CLIENTS, NOW, address, opening

from foedus.core.ids import Cid, ClientId, TxHash
from foedus.core.records import Event, Phase, TaskKind, Value
from foedus.rounds.documents import MergeOrder, TrainOrder
from foedus.rounds.effects import Member, order_for
from foedus.rounds.view import RunView
from foedus.store import cid_of

ME = Member(ClientId(CLIENTS[0]), CLIENTS[0], Path("/data/own"))
JOBS = Path("/run/jobs")
FIRST, SECOND = cid_of(b"first"), cid_of(b"second")


def view(*events: tuple[str, dict[str, Value]], steps: int = 1) -> RunView:
    run = RunView(1, project=1)
    for name, args in [*opening(3, steps=steps), *events]:
        run.apply(Event(name, args, 1, NOW, TxHash("0x"), 0))
    return run


def registered(number: int, step: int = 1, client: str = CLIENTS[0]) -> tuple[str, dict[str, Value]]:
    numbers = {"num_examples": 1, "score_ppb": 0, "base_score_ppb": 0, "reward": 0}
    args = {"run": 1, "round": number, "step": step, "client": address(client), "cid": FIRST, **numbers}
    return "Registered", args


def ended(number: int, phase: Phase, current: Cid, version: int) -> list[tuple[str, dict[str, Value]]]:
    outcome = {"run": 1, "round": number, "outcome": int(phase), "version": version, "current": current}
    opened = {"run": 1, "round": number + 1, "step": 1, "base": current, "deadline": NOW + 100}
    return [("Finalized", outcome), ("RoundOpened", opened)]


def train_order(run: RunView) -> TrainOrder:
    order = order_for(TaskKind.TRAIN, run, ME, Path("/store"), JOBS)
    assert isinstance(order, TrainOrder)
    return order


def test_the_first_turn_has_no_memory() -> None:
    order = train_order(view())
    assert order.memory is None
    assert (order.base, order.current) == (BASE, BASE)


def test_an_accepted_round_is_remembered() -> None:
    run = view(registered(1), *ended(1, Phase.ACCEPTED, FIRST, 1))
    assert train_order(run).memory == "/run/jobs/r00001.1/client-1.train"


def test_a_rejected_round_leaves_the_memory_of_the_one_before() -> None:
    accepted = [registered(1), *ended(1, Phase.ACCEPTED, FIRST, 1)]
    run = view(*accepted, registered(2), *ended(2, Phase.REJECTED, FIRST, 1))
    assert train_order(run).memory == "/run/jobs/r00001.1/client-1.train"


def test_a_round_without_the_client_leaves_its_memory() -> None:
    accepted = [registered(1), *ended(1, Phase.ACCEPTED, FIRST, 1)]
    run = view(*accepted, registered(2, client=CLIENTS[1]), *ended(2, Phase.ACCEPTED, SECOND, 2))
    assert train_order(run).memory == "/run/jobs/r00001.1/client-1.train"


def test_between_exchanges_the_client_goes_on_from_the_exchange_before() -> None:
    opened = {"run": 1, "round": 1, "step": 2, "base": FIRST, "deadline": NOW + 100}
    run = view(registered(1), ("RoundOpened", opened), steps=3)
    order = train_order(run)
    assert order.memory == "/run/jobs/r00001.1/client-1.train"
    assert (order.base, order.current) == (FIRST, BASE)


def test_a_merge_knows_the_memory_before_and_after() -> None:
    run = view(registered(1), *ended(1, Phase.ACCEPTED, FIRST, 1), registered(2))
    order = order_for(TaskKind.VERIFY, run, ME, Path("/store"), JOBS)
    assert isinstance(order, MergeOrder)
    assert order.memory == "/run/jobs/r00001.1/client-1.train"
    assert order.new_memory == "/run/jobs/r00002.1/client-1.train"
    assert (order.round, order.step, order.version) == (2, 1, 2)
