"""A chain to play on: three clients, a lead who does not train, and a clock that stands still until told."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from foedus.chain import EmbeddedLedger, KeyRing
from foedus.core.records import Call, Choice, GateMode, Receipt, Role, Rules, Value
from shared import case_file

CLIENTS = ("alice", "bob", "carol")
PASS = 800_000_000
BASE = 700_000_000
RULES = Rules(
    rounds=3,
    steps=1,
    threshold=3,
    deadline_s=100,
    vote_s=50,
    gate_mode=GateMode.MARGIN,
    beta_ppb=10_000_000,
    epsilon_ppb=20_000_000,
)


def cid(name: str) -> str:
    """A text that the contract takes for a CID."""
    return f"baf{name:-<56}"


def chain_cases() -> dict[str, dict]:
    """The published cases about the chain, by id."""
    cases = json.loads(case_file("chain.json").read_text())["cases"]
    return {case["id"]: case for case in cases}


class Clock:
    """A clock that only tests move."""

    def __init__(self, now: float = 1_700_000_000.9) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Chain:
    """A ledger with short words for what tests do with it."""

    def __init__(self, folder: Path, keys: KeyRing | None = None, clock: Clock | None = None) -> None:
        self.folder = folder
        self.path = folder / "chain.sqlite"
        self.clock = clock or Clock()
        self.keys = keys or KeyRing(folder / "keys")
        self.ledger = EmbeddedLedger(self.path, self.keys, self.clock)

    def close(self) -> None:
        self.ledger.close()

    def try_(self, sender: str, function: str, *args: Value) -> Receipt:
        return self.ledger.send([Call(sender, function, args)])[0]

    def do(self, sender: str, function: str, *args: Value) -> Receipt:
        receipt = self.try_(sender, function, *args)
        assert receipt.error is None, f"{function}: {receipt.error}"
        return receipt

    def view(self, function: str, *args: Value) -> Value | tuple[Value, ...]:
        return self.ledger.call(function, *args)

    def address(self, account: str) -> str:
        return self.ledger.address_of(account)

    # --- the usual calls ---

    def found(self, clients: Sequence[str] = CLIENTS) -> None:
        self.do("lead", "create_project", "lungs", "terms")
        for client in clients:
            self.enrol(client)

    def enrol(self, account: str, role: Role = Role.MEMBER) -> Receipt:
        return self.do("lead", "set_member", 1, self.address(account), account, role)

    def start(self, rules: Rules = RULES) -> Receipt:
        return self.do("lead", *start_args(rules))

    def base(self, run: int = 1) -> str:
        events = [e for e in self.ledger.events() if e.name == "RoundOpened" and e.args["run"] == run]
        return str(events[-1].args["base"])

    def place(self, run: int = 1) -> tuple[int, int]:
        round_, step, *_ = self.view("round_of", run)
        return round_, step

    def register(self, client: str, name: str = "", score: int = PASS, base_score: int = BASE) -> Receipt:
        round_, step = self.place()
        update = cid(name or f"update-{round_}-{step}-{client}")
        return self.do(client, "register", 1, round_, step, self.base(), update, 10, score, base_score, "job")

    def decline(self, client: str) -> Receipt:
        return self.do(client, "decline", 1, *self.place(), "gate")

    def propose(self, client: str, name: str = "") -> Receipt:
        round_, step = self.place()
        return self.do(client, "propose", 1, round_, step, cid(name or f"candidate-{round_}-{step}"))

    def vote(self, client: str, choice: Choice = Choice.YES) -> Receipt:
        return self.do(client, "vote", 1, self.place()[0], choice, PASS, BASE)

    def turn(self) -> str:
        address = self.view("turn_of", 1)
        return next(c for c in (*CLIENTS, "lead", "dave") if self.address(c) == address)

    def accept_round(self, clients: Sequence[str] = CLIENTS) -> Receipt:
        for client in clients:
            self.register(client)
        self.propose(self.turn())
        return [self.vote(client) for client in CLIENTS][-1]


At = Callable[[str], Chain]
"""The fixture `at`: a fresh chain in the situation of this name."""


def start_args(rules: Rules = RULES) -> tuple[str, *tuple[Value, ...]]:
    return (
        "start_run",
        1,
        cid("run-terms"),
        cid("version-0"),
        rules.rounds,
        rules.steps,
        rules.threshold,
        rules.deadline_s,
        rules.vote_s,
        int(rules.gate_mode),
        rules.beta_ppb,
        rules.epsilon_ppb,
    )


def names(receipt: Receipt) -> list[str]:
    return [event.name for event in receipt.events]


def copy_of(chain_folder: Path, target: Path) -> Path:
    shutil.copytree(chain_folder, target, dirs_exist_ok=True)
    return target
