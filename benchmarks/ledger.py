"""`ledger`: transactions per second of the embedded chain, one a block and twenty, and against py-evm alone.

The transactions are a run's: three clients register, one proposes, three vote, round after round.
"""

import hashlib
import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.bare_evm import BareChain, stored_blocks
from benchmarks.result import Line, Options, at_least, median
from foedus.chain import EmbeddedLedger, KeyRing
from foedus.chain.vm import BLOCK_GAS, CHAIN_ID
from foedus.core.records import Call, Choice, GateMode, Role

CLIENTS = ("client-1", "client-2", "client-3")
REPEATS = 5
PER_REPEAT = 140  # 20 rounds of 7 transactions; also 7 blocks of 20
BATCH = 20
_DAY_S = 86_400


def run(options: Options) -> list[Line]:
    """Measure the ledger and the yardstick by turns, on the same transactions."""
    repeats, amount = (2, 20) if options.quick else (REPEATS, PER_REPEAT)
    with tempfile.TemporaryDirectory(prefix="foedus-benchmark-", dir=options.scratch) as folder:
        path = Path(folder) / "chain.sqlite"
        ledger = EmbeddedLedger(path, KeyRing(Path(folder) / "keys"))
        try:
            times = _measure(ledger, path, repeats, amount)
        finally:
            ledger.close()
    lines = []
    for per_block, target in ((1, 70), (BATCH, 130)):
        ours, bare = times[per_block]
        what = "one a block" if per_block == 1 else f"{per_block} a block"
        ratio = median([b / o for o, b in zip(ours, bare, strict=True)])
        lines += [
            Line(f"ledger: {what}", amount / median(ours), "tx/s", at_least(target)),
            Line(
                f"ledger: {what} ÷ py-evm in memory", ratio, "×", at_least(0.7), "same transactions and state"
            ),
            Line(f"ledger: py-evm in memory, {what}", amount / median(bare), "tx/s"),
        ]
    return lines


def _measure(
    ledger: EmbeddedLedger, path: Path, repeats: int, amount: int
) -> dict[int, tuple[list[float], list[float]]]:
    bare = BareChain(CHAIN_ID, BLOCK_GAS)
    found_run(ledger)
    calls = story()
    send_all(ledger, itertools.islice(calls, 21), 1)  # warm
    bare.execute(stored_blocks(path, 1))
    times: dict[int, tuple[list[float], list[float]]] = {1: ([], []), BATCH: ([], [])}
    for _ in range(repeats):
        for per_block, (ours, others) in times.items():
            first = ledger.head().number + 1
            ours.append(send_all(ledger, itertools.islice(calls, amount), per_block))
            others.append(bare.execute(stored_blocks(path, first)))
    assert "0x" + bare.head.state_root.hex() == ledger.head().state_root, "both came to the same state"
    return times


def send_all(ledger: EmbeddedLedger, calls: Iterator[Call], per_block: int) -> float:
    """Send all calls, so many a block, and return the seconds it took."""
    listed = list(calls)
    began = time.perf_counter()
    for start in range(0, len(listed), per_block):
        _require_done(ledger, listed[start : start + per_block])
    return time.perf_counter() - began


def _require_done(ledger: EmbeddedLedger, calls: Sequence[Call]) -> None:
    for receipt in ledger.send(calls):
        assert receipt.error is None, receipt.error


def found_run(ledger: EmbeddedLedger) -> None:
    """Make a project with three members and start run 1 in it, of more rounds than anybody will play."""
    lead = CLIENTS[0]
    _require_done(ledger, [Call(lead, "create_project", ("benchmark", text_id("terms")))])
    for client in CLIENTS:
        role = int(Role.LEAD if client == lead else Role.MEMBER)
        _require_done(ledger, [Call(lead, "set_member", (1, ledger.address_of(client), client, role))])
    rules = (100_000, 1, len(CLIENTS), _DAY_S, _DAY_S, int(GateMode.MARGIN), 0, 0)
    _require_done(ledger, [Call(lead, "start_run", (1, text_id("terms"), text_id("version 0"), *rules))])


def story() -> Iterator[Call]:
    """Yield the transactions of accepted rounds without end."""
    scores = (800_000_000, 700_000_000)
    base = text_id("version 0")
    for number in itertools.count(1):
        for client in CLIENTS:
            update = text_id(f"update {number} {client}")
            yield Call(client, "register", (1, number, 1, base, update, 500, *scores, f"job-{number}"))
        base = text_id(f"version {number}")
        yield Call(CLIENTS[(number - 1) % len(CLIENTS)], "propose", (1, number, 1, base))
        for client in CLIENTS:
            yield Call(client, "vote", (1, number, int(Choice.YES), *scores))


def text_id(what: str) -> str:
    """Return a text as long as a CID."""
    return "bafkrei" + hashlib.sha256(what.encode()).hexdigest()[:52]
