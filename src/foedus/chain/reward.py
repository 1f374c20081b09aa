"""Algorithm 3, the reward of a registration: in integers as the contract has it, in floats as it is written.

    r = S · A · q      S = f/(1+f), f = N·m/T      A = 1 − exp(−λΔt/K)      q = exp(−λ((n−1)/n)/α)

`reward_wad` equals the contract's `reward_of` bit for bit; `RewardBook` recomputes every reward of a chain
from its events alone.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from foedus.core.records import WAD, Event

WINDOW_ROUNDS = 10
AGE_BLOCKS = 10
FASTEST_US, SLOWEST_US = 1_000, 100_000_000

_SCALE = 10**27
_GUARD = 10**9
_LN2 = 693147180559945309417232121
_SQUARINGS = 4
_TERMS = 10
_VANISHES = 42 * WAD


def exp_neg_wad(x: int) -> int:
    """Return exp(−x) for x ≥ 0 in WAD, in the contract's arithmetic."""
    if x == 0:
        return WAD
    if x >= _VANISHES:
        return 0
    halvings, y = divmod(x * _GUARD, _LN2)
    y //= 2**_SQUARINGS
    series = _SCALE
    for term in range(_TERMS, 0, -1):
        series = _SCALE - y * series // (term * _SCALE)
    for _ in range(_SQUARINGS):
        series = series * series // _SCALE
    return (series >> halvings) // _GUARD


def reward_wad(
    own: int, total: int, active: int, blocks: int, seconds: int, validators: int, propagation_us: int
) -> int:
    """Return the reward in WAD, 0 ≤ r < WAD, bit-equal to the contract.

    `own` (m) registrations of the client in the window, `total` (T) of all, `active` (N) clients with one;
    `blocks` of the run and `seconds` since the client's first of them; `validators` (n);
    median propagation in µs.
    """
    if own == 0 or total == 0 or blocks == 0:
        return 0
    share = active * own * WAD // (total + active * own)
    age = WAD - exp_neg_wad(blocks * WAD // AGE_BLOCKS)
    quiet = WAD
    if validators > 1:
        delay = min(max(propagation_us, FASTEST_US), SLOWEST_US)
        others = blocks * (validators - 1) * delay * WAD
        quiet = exp_neg_wad(others // (max(seconds, 1) * validators * 1_000_000))
    return share * age // WAD * quiet // WAD


def reward(
    m: float,
    total: float,
    active: float,
    dt: float,
    lambda_: float,
    n: int,
    alpha: float,
    age_blocks: float = 10.0,
) -> float:
    """Return Algorithm 3's reward in floats: `total` is T, `active` N, `dt` Δt in seconds, `age_blocks` K."""
    if m <= 0 or total <= 0 or dt < 0:
        return 0.0
    f = active * m / total
    waiting = (n - 1) / n
    quiet = 1.0 if waiting == 0 else (math.exp(-lambda_ * waiting / alpha) if alpha > 0 else 0.0)
    return f / (1 + f) * -math.expm1(-lambda_ * dt / age_blocks) * quiet


def optimal_rate(dt: float, n: int, alpha: float, age_blocks: float = 10.0) -> float:
    """Return λ*, the block rate of the largest reward: (1/a)·ln(1+a/b), a = Δt/K, b = ((n−1)/n)/α, n > 1."""
    a = dt / age_blocks
    b = (n - 1) / n / alpha
    return math.log1p(a / b) / a


@dataclass
class _RunBook:
    """Registrations of a run in the window: client → round → beat and time of the first in that round.

    A run's beats count the blocks that hold an event of it: what happens elsewhere on the chain ages nobody.
    """

    project: int
    steps: int
    round: int = 0
    clients: dict[str, dict[int, tuple[int, int]]] = field(default_factory=dict)
    total: int = 0
    beats: int = 0
    last_block: int = -1

    def beat(self, block: int) -> None:
        """Count the block, once; of every event of the run, before anything else."""
        if block != self.last_block:
            self.last_block = block
            self.beats += 1

    def attend(self, event: Event) -> dict[int, tuple[int, int]]:
        """Count the registration, once per client and round, and return what the client has in the window."""
        now = int(event.args["round"])
        if now != self.round:
            self._move_to(now)
        mine = self.clients.setdefault(str(event.args["client"]), {})
        if now not in mine:
            mine[now] = (self.beats, event.block_time)
            self.total += 1
        return mine

    def _move_to(self, now: int) -> None:
        oldest = now - WINDOW_ROUNDS + 1
        kept = {
            client: {number: stamp for number, stamp in rounds.items() if number >= oldest}
            for client, rounds in self.clients.items()
        }
        self.clients = {client: rounds for client, rounds in kept.items() if rounds}
        self.total = sum(map(len, self.clients.values()))
        self.round = now


class RewardBook:
    """Replays a chain's events in order and says what each registration must have earned."""

    def __init__(self) -> None:
        self._validators = 1
        self._medians: dict[int, int] = {}
        self._runs: dict[int, _RunBook] = {}

    def observe(self, event: Event) -> int | None:
        """Take in the next event; for a `Registered` return the reward the contract owes, else None."""
        args = event.args
        if event.name == "RunStarted":
            self._runs[int(args["run"])] = _RunBook(int(args["project"]), int(args["steps"]))
        if "run" in args:
            self._runs[int(args["run"])].beat(event.block)
        if event.name == "ValidatorsSet":
            self._validators = int(args["validators"])
        elif event.name == "PropagationReported":
            self._medians[int(args["project"])] = int(args["median"])
        elif event.name == "Registered":
            return self._registered(event)
        return None

    def _registered(self, event: Event) -> int:
        book = self._runs[int(event.args["run"])]
        if int(event.args["step"]) < book.steps:
            return 0
        mine = book.attend(event)
        beat, time = mine[min(mine)]
        return reward_wad(
            own=len(mine),
            total=book.total,
            active=len(book.clients),
            blocks=book.beats - beat,
            seconds=event.block_time - time,
            validators=self._validators,
            propagation_us=self._medians.get(book.project, 0),
        )


def wrong_rewards(events: Iterable[Event]) -> list[tuple[Event, int]]:
    """Return every `Registered` and `RewardPaid` whose amount is wrong, with the right one, in order."""
    book = RewardBook()
    owed: dict[tuple[object, ...], int] = {}
    wrong = []
    for event in events:
        right = book.observe(event)
        if right is not None:
            owed[event.args["run"], event.args["round"], event.args["client"]] = right
            said = event.args["reward"]
        elif event.name == "RewardPaid":
            right = owed.get((event.args["run"], event.args["round"], event.args["client"]), 0)
            said = event.args["amount"]
        else:
            continue
        if said != right:
            wrong.append((event, right))
    return wrong
