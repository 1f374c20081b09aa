"""`platform`: pages of a full database, what people who watch cost, how fast the index follows.

A real server process on the loopback address, asked by one signed-in person who belongs to all projects.
"""

import asyncio
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psutil
from sqlalchemy import func, select

from benchmarks.ledger import found_run, send_all, story
from benchmarks.platform_chain import Size
from benchmarks.platform_data import LONG_RUN, Filled, fill
from benchmarks.result import CannotRun, Line, Options, at_least, at_most
from foedus.chain import EmbeddedLedger, KeyRing
from foedus.server.auth.browsers import cookie_name
from foedus.server.db import ChainEvent, RunEvent
from foedus.server.index import open_chain, rebuild
from foedus.server.platform import Platform, open_platform
from foedus.server.serve import foedus
from foedus.site.settings import read_settings

_PATIENCE_S: Final = 60.0
_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is measured. `calls`: transactions that are indexed; `watched_s`: how long people watch."""

    size: Size
    asked: int
    listeners: int
    watched_s: float
    calls: int


FULL: Final = Amount(Size(), 25, 200, 10.0, 700)
QUICK: Final = Amount(Size(3, 6, 3, 20, 60), 2, 4, 1.0, 14)


def run(options: Options) -> list[Line]:
    """Fill a platform, ask it for pages, watch a run, and let the index follow a chain."""
    amount = QUICK if options.quick else FULL
    with tempfile.TemporaryDirectory(prefix="foedus-benchmark-", dir=options.scratch) as folder:
        home = Path(folder) / "full"
        with open_platform(read_settings(home, environ={})) as platform:
            filled = fill(platform, amount.size)
            options.say("the database is full")
            with _served(home) as (where, process):
                cookies = {cookie_name(is_https=False): filled.cookie}
                with httpx.Client(base_url=where, cookies=cookies, timeout=_PATIENCE_S) as browser:
                    lines = _pages(browser, process, filled, amount, options)
                lines.append(_watching(platform, where, cookies, process, amount))
        lines.append(_following(Path(folder) / "chain", amount.calls))
    return lines


@contextmanager
def _served(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run a server; yield its address and its process."""
    environ = {**os.environ, "COLUMNS": "200"}
    command = foedus("serve", "--home", str(home), "--port", "0")
    log = home.with_name("server.log").open("w")
    with (
        log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environ) as process,
    ):
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            if found is None:
                raise CannotRun(f"the server did not start: {Path(log.name).read_text()[-500:]}")
            yield found.group(), psutil.Process(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE_S)
            finally:
                process.kill()


# --- pages ---


def _places(filled: Filled) -> Mapping[str, tuple[str, ...]]:
    """Return the pages of each kind."""
    run, project = f"/runs/{LONG_RUN}", "/projects/project-002"
    return {
        "list pages": (
            "/projects",
            "/runs",
            "/runs?sort=name",
            "/runs?q=benchmark",
            f"{project}/runs",
            "/models",
            "/chain/blocks",
            "/chain/transactions",
            "/chain/events",
            "/chain/transactions?function=vote",
            f"{run}/rounds",
            "/rewards/paid",
        ),
        "detail pages": (
            "/",
            project,
            f"{project}/members",
            f"{project}/rewards",
            "/rewards",
            run,
            f"{run}/rounds/20",
            f"/models/{filled.cid}?project=project-002",
            "/chain",
            "/chain/blocks/20",
            f"/chain/transactions/{filled.tx}",
            f"/chain/addresses/{filled.address}",
        ),
        "chain search": (
            f"/chain?q={filled.tx}",
            f"/chain?q={filled.cid}",
            f"/chain?q={filled.address}",
            "/chain?q=20",
            f"/search?q={filled.tx}",
            "/search?q=benchmark",
            "/chain/transactions?q=register",
        ),
    }


def _pages(
    browser: httpx.Client, process: psutil.Process, filled: Filled, amount: Amount, options: Options
) -> list[Line]:
    lines = []
    for kind, places in _places(filled).items():
        found, most_busy = {}, 0.0
        for place in places:
            busy = _busy(process)
            found[place] = _asked(browser, place, amount.asked)
            busy = (_busy(process) - busy) / (amount.asked + 1)
            most_busy = max(most_busy, busy)
            options.say(f"{place[:60]}: p95 {_p95(found[place]) * 1000:.0f} ms, busy {busy * 1000:.0f} ms")
        slowest = max(found, key=lambda place: _p95(found[place]))
        note = f"{slowest[:40]}; the server is busy for {most_busy * 1000:.0f} ms at most"
        lines.append(_line(f"{kind}: slowest p95", _p95(found[slowest]), 100, note))
    lists = _places(filled)["list pages"] * amount.asked
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        seconds = list(threads.map(lambda place: _seconds(browser, place), lists))
    lines.append(_line(f"list pages, {_AT_ONCE} at once: p95", _p95(seconds), None, "they share the cores"))
    curves = f"/runs/{LONG_RUN}/curves"
    rounds = f"of {amount.size.long} rounds"
    lines.append(_line(f"curves {rounds}: p95", _p95(_asked(browser, curves, amount.asked)), 150, ""))
    kilobytes = len(browser.get(curves).content) / 1000
    lines.append(Line(f"platform: curves {rounds}: size", kilobytes, "kB", at_most(200), "uncompressed"))
    return lines


def _line(what: str, seconds: float, most_ms: float | None, note: str) -> Line:
    target = None if most_ms is None else at_most(most_ms)
    return Line(f"platform: {what}", seconds * 1000, "ms", target, note)


def _asked(browser: httpx.Client, place: str, times: int) -> list[float]:
    _seconds(browser, place)  # templates are read, the database's pages are in memory
    return [_seconds(browser, place) for _ in range(times)]


def _seconds(browser: httpx.Client, place: str) -> float:
    began = time.perf_counter()
    answer = browser.get(place)
    took = time.perf_counter() - began
    if answer.status_code not in (200, 303):
        raise CannotRun(f"{place} was answered by {answer.status_code}")
    return took


def _p95(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20, method="inclusive")[-1]


# --- people who watch ---


def _watching(
    platform: Platform, where: str, cookies: dict[str, str], process: psutil.Process, amount: Amount
) -> Line:
    """Let many watch one run in which something happens each second."""
    told, cores = asyncio.run(_watched(platform, where, cookies, process, amount))
    note = f"an event a second; {told} messages in {amount.watched_s:g} s"
    return Line(f"platform: {amount.listeners} people watch a run", cores, "cores", at_most(1.0), note)


async def _watched(
    platform: Platform, where: str, cookies: dict[str, str], process: psutil.Process, amount: Amount
) -> tuple[int, float]:
    told, listening = 0, 0
    all_told = asyncio.Event()

    async def listen(client: httpx.AsyncClient) -> None:
        nonlocal told, listening
        async with client.stream("GET", f"/runs/{LONG_RUN}/stream") as answer:
            listening += answer.status_code == 200
            async for line in answer.aiter_lines():
                told += line.startswith("id:")
                if told == amount.listeners:
                    all_told.set()

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=where, cookies=cookies, timeout=_PATIENCE_S, limits=limits
    ) as client:
        listeners = [asyncio.create_task(listen(client)) for _ in range(amount.listeners)]
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await all_told.wait()
            told = 0
            busy, began = _busy(process), time.perf_counter()
            while time.perf_counter() < began + amount.watched_s:
                await asyncio.to_thread(_happen, platform)
                await asyncio.sleep(1)
            cores = (_busy(process) - busy) / (time.perf_counter() - began)
        finally:
            for one in listeners:
                one.cancel()
            await asyncio.gather(*listeners, return_exceptions=True)
    if listening < amount.listeners or not told:
        raise CannotRun(f"only {listening} streams were opened, which told {told} messages")
    return told, cores


def _busy(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _happen(platform: Platform) -> None:
    with platform.writing() as db:
        db.add(RunEvent(run_id=1, kind="train", round=1, client="client-1", values={}))


# --- the index ---


def _following(home: Path, calls: int) -> Line:
    """Write the index of a chain that has a run of three clients."""
    with open_platform(read_settings(home, environ={})) as platform:
        ledger = EmbeddedLedger(platform.home.chain, KeyRing(home / "benchmark-keys"))
        try:
            found_run(ledger)
            transactions = story()
            send_all(ledger, iter([next(transactions) for _ in range(calls)]), 1)
        finally:
            ledger.close()
        with open_chain(platform):  # read once: the files are in memory
            began, busy = time.perf_counter(), time.process_time()
            rebuild(platform)
            took, busy = time.perf_counter() - began, time.process_time() - busy
        with platform.reading() as db:
            events = db.scalar(select(func.count()).select_from(ChainEvent)) or 0
    note = f"{events} events; {events / busy:.0f} per second of a core that is busy with it"
    return Line("platform: index of the chain", events / took, "events/s", at_least(500), note)
