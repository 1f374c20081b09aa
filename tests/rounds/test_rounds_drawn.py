"""A round with a drawn share of the clients: who is called up, and that nobody waits for those who cannot."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.rounds.fakes import CLIENTS, NOW, TERMS, FakeLauncher, FakeLedger, opening
from tests.rounds.test_rounds_driver import Contract, honest_work

from foedus.core.ids import ClientId
from foedus.core.records import JobSpec, Phase, Resources, Value
from foedus.rounds.driver import Driver, World
from foedus.rounds.effects import Member
from foedus.rounds.sampling import draw_order
from foedus.rounds.view import RunView
from foedus.store import DirectoryStore

ORDER = draw_order([ClientId(name) for name in CLIENTS], TERMS, 1)


class Impatient(Contract):
    """Closes the step when as many updates are registered as clients are drawn."""

    def __init__(self, threshold: int) -> None:
        super().__init__()
        self.threshold = threshold
        self.registered = 0

    def register(self, *args: Value) -> list[tuple[str, dict[str, Value]]]:  # type: ignore[override]
        self.registered += 1
        return super().register(*args)  # type: ignore[arg-type]

    def close_when_complete(self) -> list[tuple[str, dict[str, Value]]]:
        if self.registered < self.threshold:
            return []
        closed: dict[str, Value] = {
            "run": 1,
            "round": 1,
            "step": 1,
            "registrations": self.registered,
            "declines": 0,
        }
        return [("StepClosed", closed)]


class Round:
    """A round of three clients in which the training of some fails, and the clock stands still."""

    def __init__(self, path: Path, draws: int, failing: set[ClientId]) -> None:
        self.trained: list[str] = []
        self.failing = failing
        self.ledger = FakeLedger(opening(threshold=draws, vote_s=1000), Impatient(draws))
        store = DirectoryStore(path / "store")
        (path / "run").mkdir()
        self.driver = Driver(
            World(store, store.root, self.ledger, FakeLauncher(self.work)),
            RunView(1, project=1),
            [Member(ClientId(name), name, path / name) for name in CLIENTS],
            path / "run",
            lambda application: Resources(),
            clock=lambda: NOW,
            fraction=draws / len(CLIENTS),
        )

    def work(self, spec: JobSpec) -> Mapping[str, object] | str:
        if spec.application == "FL_TRAIN":
            self.trained.append(spec.affinity)
            if spec.affinity in self.failing:
                return "its dataset is damaged"
        return honest_work(spec)

    def senders(self, function: str) -> list[str]:
        return [call.sender for block in self.ledger.sent for call in block if call.function == function]


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver sleeps only when it can do nothing before a deadline."""

    def fail(seconds: float) -> None:
        pytest.fail("the round waits for its deadline")

    monkeypatch.setattr("foedus.rounds.driver.time.sleep", fail)


@pytest.mark.parametrize(
    ("draws", "failing"),
    [
        (1, []),
        (1, [0]),
        (1, [0, 1]),
        (2, []),
        (2, [0]),
        (2, [1]),
        (3, []),
    ],
)
def test_who_fails_is_replaced_by_the_next_in_order_and_nobody_else_trains(
    tmp_path: Path, draws: int, failing: list[int]
) -> None:
    unlucky = {ORDER[place] for place in failing}
    one = Round(tmp_path, draws, unlucky)

    view = one.driver.drive()

    called = ORDER[: draws + len(failing)]
    assert sorted(one.trained) == sorted(called)
    assert sorted(one.senders("decline")) == sorted(unlucky)
    assert sorted(one.senders("register")) == sorted(set(called) - unlucky)
    assert view.outcome is not None
    assert view.outcome.phase is Phase.ACCEPTED
    assert one.senders("close") == one.senders("finalize") == []
    assert one.senders("vote") == list(CLIENTS)  # also those who did not train


def test_nobody_is_called_up_before_one_has_failed(tmp_path: Path) -> None:
    one = Round(tmp_path, 1, {ORDER[0]})

    one.driver.drive()

    assert one.trained == [ORDER[0], ORDER[1]]  # one after the other, as the order says
    functions = [[(call.function, call.sender) for call in block] for block in one.ledger.sent]
    assert functions[:2] == [[("decline", ORDER[0])], [("register", ORDER[1])]]
