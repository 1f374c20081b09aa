"""What the driver does when the chain refuses, tasks fail and outputs are not what they should be."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.rounds.fakes import CLIENTS, NOW, FakeLauncher, FakeLedger, address, opening

from foedus.core.canonical import canonical_json
from foedus.core.errors import FoedusError, Reverted, StorageFull, TaskFailed
from foedus.core.ids import ClientId
from foedus.core.records import Call, JobSpec, Resources, Value
from foedus.launch import JobFolder
from foedus.rounds.driver import Driver, World
from foedus.rounds.effects import Member
from foedus.rounds.outbox import Outbox
from foedus.rounds.progress import Progress
from foedus.rounds.view import RunView
from foedus.store import DirectoryStore, cid_of

SCORES = {"loss": 0.5, "f1": 0.5, "accuracy": 0.5, "examples": 5}
UPDATE = b"weights of an update"
CANDIDATE = {"weights": cid_of(b"merged weights")}


def train_result(update: bytes = UPDATE) -> dict[str, object]:
    return {
        "kind": "train",
        "update": cid_of(update),
        "num_examples": 10,
        "steps": 1,
        "train_loss": [0.5],
        "penalty": 0.0,
        "local": SCORES,
        "base": SCORES,
        "shared_local": SCORES,
        "shared_base": SCORES,
        "is_above_floor": True,
        "update_norm": 1.0,
        "seconds": 0.1,
    }


def merge_result(kind: str) -> dict[str, object]:
    return {
        "kind": kind,
        "candidate": cid_of(canonical_json(CANDIDATE)),
        "manifest": CANDIDATE,
        "state": None,
        "parts": [],
        "refused": {},
        "is_empty": False,
        "is_scored": True,
        "local": SCORES,
        "base": SCORES,
        "test": SCORES if kind == "aggregate" else None,
        "seconds": 0.1,
    }


def honest_work(spec: JobSpec) -> Mapping[str, object]:
    """Finish a task with outputs that fit its result; each client's update is its own."""
    folder = JobFolder(Path(spec.folder))
    if spec.application == "FL_TRAIN":
        update = UPDATE + spec.affinity.encode()
        folder.write_update([update])
        return train_result(update)
    if spec.application == "FL_AGGREGATE":
        folder.write_update([b"merged weights"])
        return merge_result("aggregate")
    return merge_result("verify")


class Contract:
    """Answers like the contract in a run of one round; `refuse` gives reasons by (function, sender)."""

    def __init__(self, refuse: Mapping[tuple[str, str], str] | None = None) -> None:
        self.refuse = dict(refuse or {})
        self.answers = 0
        self.votes = 0

    def __call__(self, call: Call) -> str | list[tuple[str, dict[str, Value]]]:
        reason = self.refuse.get((call.function, call.sender))
        if reason is not None:
            return reason
        handler = getattr(self, call.function)
        return handler(call, *call.args)

    def close_when_complete(self) -> list[tuple[str, dict[str, Value]]]:
        self.answers += 1
        if self.answers < 3:
            return []
        return [("StepClosed", {"run": 1, "round": 1, "step": 1, "registrations": 3, "declines": 0})]

    def register(
        self, call: Call, run: Value, number: Value, step: Value, base: Value, cid: Value, *rest: Value
    ) -> list[tuple[str, dict[str, Value]]]:
        names = ("num_examples", "score_ppb", "base_score_ppb", "job")
        args = {"run": run, "round": number, "step": step, "client": address(call.sender), "cid": cid}
        event = ("Registered", {**args, **dict(zip(names, rest, strict=True)), "reward": 0})
        return [event, *self.close_when_complete()]

    def decline(
        self, call: Call, run: Value, number: Value, step: Value, reason: Value
    ) -> list[tuple[str, dict[str, Value]]]:
        args = {"run": run, "round": number, "step": step, "client": address(call.sender), "reason": reason}
        return [("Declined", args), *self.close_when_complete()]

    def propose(
        self, call: Call, run: Value, number: Value, step: Value, cid: Value
    ) -> list[tuple[str, dict[str, Value]]]:
        args = {"run": run, "round": number, "step": step, "proposer": address(call.sender), "cid": cid}
        return [("Proposed", {**args, "electorate": 3, "deadline": NOW + 20})]

    def vote(
        self, call: Call, run: Value, number: Value, choice: Value, score: Value, base: Value
    ) -> list[tuple[str, dict[str, Value]]]:
        self.votes += 1
        args = {"run": run, "round": number, "voter": address(call.sender)}
        voted = ("Voted", {**args, "choice": choice, "score_ppb": score, "base_score_ppb": base})
        return [voted] if self.votes < 3 else [voted, *ENDING]


ENDING: list[tuple[str, dict[str, Value]]] = [
    ("Finalized", {"run": 1, "round": 1, "outcome": 4, "version": 1, "current": "c"}),
    ("RewardPaid", {"run": 1, "round": 1, "client": address("client-1"), "amount": 5}),
    ("RunEnded", {"run": 1, "version": 1, "current": "c", "reason": "completed"}),
]


class Setting:
    """A driver of three clients over fakes."""

    def __init__(self, path: Path, contract: Contract, launcher: FakeLauncher | None = None) -> None:
        self.store = DirectoryStore(path / "store")
        self.ledger = FakeLedger(opening(vote_s=1000), contract)
        self.launcher = launcher or FakeLauncher(honest_work)
        self.seen: list[Progress] = []
        self.now = NOW
        self.path = path
        (path / "run").mkdir()
        self.driver = self.new_driver()

    def new_driver(self) -> Driver:
        members = [Member(ClientId(name), name, self.path / name) for name in CLIENTS]
        return Driver(
            World(self.store, self.path / "store", self.ledger, self.launcher),
            RunView(1, project=1),
            members,
            self.path / "run",
            lambda application: Resources(),
            self.seen.append,
            lambda: self.now,
        )

    def told(self, what: str) -> list[Progress]:
        return [progress for progress in self.seen if progress.what == what]


def test_one_round_takes_three_blocks_in_client_order(tmp_path: Path) -> None:
    setting = Setting(tmp_path, Contract())
    view = setting.driver.drive()
    assert view.ended == "completed"
    sent = [[(call.function, call.sender) for call in block] for block in setting.ledger.sent]
    assert sent == [
        [("register", name) for name in CLIENTS],
        [("propose", "client-1")],
        [("vote", name) for name in CLIENTS],
    ]
    assert view.outcome is not None
    assert view.outcome.rewards == {"client-1": 5}


def test_a_refused_registration_becomes_a_decline(tmp_path: Path) -> None:
    setting = Setting(tmp_path, Contract({("register", "client-2"): "Foedus: no"}))
    assert setting.driver.drive().ended
    (declined,) = setting.told("declined")
    assert declined.client == "client-2"
    assert declined.values["reason"] == "task failed: Foedus: no"


def test_a_failed_task_becomes_a_decline_with_its_cause(tmp_path: Path) -> None:
    def work(spec: JobSpec) -> Mapping[str, object] | str:
        is_unlucky = spec.affinity == "client-3" and spec.application == "FL_TRAIN"
        return "killed by signal 9" if is_unlucky else honest_work(spec)

    setting = Setting(tmp_path, Contract(), FakeLauncher(work))
    assert setting.driver.drive().ended
    assert [p.values["reason"] for p in setting.told("declined")] == ["task failed: killed by signal 9"]
    assert setting.told("task-failed")[0].client == "client-3"


def test_an_update_that_is_not_what_its_result_says_is_not_registered(tmp_path: Path) -> None:
    def work(spec: JobSpec) -> Mapping[str, object]:
        result = honest_work(spec)
        if spec.application == "FL_TRAIN" and spec.affinity == "client-1":
            JobFolder(Path(spec.folder)).write_update([b"something else"])
        return result

    setting = Setting(tmp_path, Contract(), FakeLauncher(work))
    assert setting.driver.drive().ended
    assert [p.client for p in setting.told("declined")] == ["client-1"]


@pytest.mark.parametrize("broken", [{"kind": "train"}, {**train_result(), "num_examples": -1}])
def test_an_unusable_result_is_a_failed_task(tmp_path: Path, broken: dict[str, object]) -> None:
    def work(spec: JobSpec) -> Mapping[str, object]:
        is_broken = spec.application == "FL_TRAIN" and spec.affinity == "client-2"
        return broken if is_broken else honest_work(spec)

    setting = Setting(tmp_path, Contract(), FakeLauncher(work))
    assert setting.driver.drive().ended
    assert [p.client for p in setting.told("declined")] == ["client-2"]


def test_a_merge_that_was_changed_from_outside_stops_the_run(tmp_path: Path) -> None:
    def work(spec: JobSpec) -> Mapping[str, object]:
        result = honest_work(spec)
        if spec.application == "FL_AGGREGATE":
            JobFolder(Path(spec.folder)).write_update([b"other weights"])
        return result

    setting = Setting(tmp_path, Contract(), FakeLauncher(work))
    with pytest.raises(FoedusError, match="left other files"):
        setting.driver.drive()


def test_a_full_disk_in_a_task_stops_the_run(tmp_path: Path) -> None:
    def work(spec: JobSpec) -> str:
        JobFolder(Path(spec.folder)).fail(StorageFull("no space is left", "make room"))
        return "no space is left"

    setting = Setting(tmp_path, Contract(), FakeLauncher(work))
    with pytest.raises(StorageFull, match="make room"):
        setting.driver.drive()
    assert setting.ledger.sent == []


def test_what_the_chain_never_accepts_stops_the_run(tmp_path: Path) -> None:
    refusals = {("register", "client-2"): "Foedus: no", ("decline", "client-2"): "Foedus: never"}
    setting = Setting(tmp_path, Contract(refusals))
    with pytest.raises(Reverted, match="never"):
        setting.driver.drive()
    assert len(setting.told("refused")) == 4


def test_a_member_whose_vote_is_refused_leaves_it_to_the_others(tmp_path: Path) -> None:
    setting = Setting(tmp_path, Contract({("vote", "client-2"): "Foedus: only clients may do this"}))
    with pytest.raises(StopDriving):
        run_until(setting, "refused")
    assert [call.function for call in setting.ledger.sent[-1]] == ["vote"] * 3


def test_a_ballot_whose_votes_came_too_late_is_counted(tmp_path: Path) -> None:
    contract = Contract({("vote", name): "Foedus: the deadline has passed" for name in CLIENTS})

    def finalize(call: Call, *args: Value) -> list[tuple[str, dict[str, Value]]]:
        return ENDING

    contract.finalize = finalize  # type: ignore[attr-defined]  # the fake answers by name
    setting = Setting(tmp_path, contract)

    def time_passes(progress: Progress) -> None:
        if progress.what == "refused":
            setting.now = NOW + 2000

    setting.driver._observer = time_passes
    assert setting.driver.drive().ended
    assert [call.function for call in setting.ledger.sent[-1]] == ["finalize"]


def test_a_merge_that_fails_for_everybody_here_stops_the_run(tmp_path: Path) -> None:
    def work(spec: JobSpec) -> Mapping[str, object] | str:
        return "the test set is damaged" if spec.application == "FL_AGGREGATE" else honest_work(spec)

    setting = Setting(tmp_path, Contract(), FakeLauncher(work))
    with pytest.raises(TaskFailed, match="the test set is damaged"):
        setting.driver.drive()


def test_a_cluster_that_runs_nobody_s_training_stops_the_run_and_the_round_stays_open(tmp_path: Path) -> None:
    is_broken = True

    def work(spec: JobSpec) -> Mapping[str, object] | str:
        return "no such partition" if is_broken and spec.application == "FL_TRAIN" else honest_work(spec)

    setting = Setting(tmp_path, Contract(), FakeLauncher(work))
    with pytest.raises(TaskFailed, match="no client could train in round 1: no such partition"):
        setting.driver.drive()
    assert setting.ledger.sent == []
    is_broken = False
    setting.driver = setting.new_driver()
    assert setting.driver.drive().ended == "completed"
    assert [call.function for call in setting.ledger.sent[0]] == ["register"] * 3


def test_where_training_itself_fails_everywhere_all_decline(tmp_path: Path) -> None:
    def work(spec: JobSpec) -> Mapping[str, object] | str:
        if spec.application != "FL_TRAIN":
            return honest_work(spec)
        JobFolder(Path(spec.folder)).fail(TaskFailed("training diverged"))
        return "training diverged"

    setting = Setting(tmp_path, Contract(), FakeLauncher(work))
    with pytest.raises(StopDriving):
        run_until(setting, "declined")
    assert [call.function for call in setting.ledger.sent[0]] == ["decline"] * 3


def test_an_interrupted_process_finds_out_what_it_had_done(tmp_path: Path) -> None:
    setting = Setting(tmp_path, Contract())
    with pytest.raises(StopDriving):
        run_until(setting, "registered")
    outbox = Outbox(tmp_path / "run" / "outbox.sqlite")
    outbox.plan(["1/1/1/client-1/register", "1/1/1/client-1/propose"])
    outbox.close()
    setting.driver = setting.new_driver()
    assert setting.driver.drive().ended
    assert [len(block) for block in setting.ledger.sent] == [3, 1, 3]


def test_a_straggler_is_cancelled_at_the_deadline(tmp_path: Path) -> None:
    contract = Contract()

    def work(spec: JobSpec) -> Mapping[str, object] | None:
        if spec.application == "FL_TRAIN" and spec.affinity == "client-2":
            setting.now = NOW + 95  # close to the deadline: the others wait no longer
            return None
        return honest_work(spec)

    def close(call: Call, *args: Value) -> list[tuple[str, dict[str, Value]]]:
        return [("StepClosed", {"run": 1, "round": 1, "step": 1, "registrations": 2, "declines": 0})]

    def register(call: Call, *args: Value) -> list[tuple[str, dict[str, Value]]]:
        setting.now = NOW + 101
        return Contract.register(contract, call, *args)

    contract.close, contract.register = close, register  # type: ignore[attr-defined,method-assign]
    setting = Setting(tmp_path, contract, FakeLauncher(work))
    setting.launcher.work = work
    with pytest.raises(StopDriving):
        run_until(setting, "proposed")
    assert [call.function for call in setting.ledger.sent[0]] == ["register", "register"]
    assert setting.launcher.cancelled == ["run/r00001.1/client-2/train"]


class StopDriving(Exception):
    """Ends a test's run in the middle."""


def run_until(setting: Setting, what: str) -> None:
    def stop(progress: Progress) -> None:
        setting.seen.append(progress)
        if progress.what == what:
            raise StopDriving

    setting.driver._observer = stop
    setting.driver.drive()
