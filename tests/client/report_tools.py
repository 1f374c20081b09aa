"""Summaries made up for tests of the report: of any length, with any names."""

import math

from foedus.rounds.spec import RunSpec
from foedus.rounds.summary import (
    BlockSummary,
    ClientRound,
    DataSummary,
    Figures,
    MemberSummary,
    RoundSummary,
    RunSummary,
    Training,
    VersionSummary,
    Vote,
)

HOSTILE = """</script><img src=x onerror=alert(1)>"'&{{7*7}}$_{\u2028"""


def cid(number: int) -> str:
    return f"bafkrei{number:052d}"


def made_up(
    rounds: int, clients: tuple[str, ...] = ("client-1", "client-2", "client-3"), text: str = ""
) -> RunSummary:
    """A run in which each fifth round is rejected and in each seventh all clients decline."""
    made = tuple(_round(number, clients, text) for number in range(1, rounds + 1))
    version = rounds - rounds // 5
    return RunSummary(
        name="demo-1",
        state=text or "completed",
        settings=RunSpec().model_dump(mode="json"),
        rounds_planned=rounds,
        data=DataSummary(text or "digits", 10, {c: tuple(range(10)) for c in clients}),
        project=1,
        run=1,
        terms=cid(1),
        version=version,
        current=cid(2),
        started_at=1_790_000_000,
        changed_at=1_790_000_000 + 10 * rounds,
        members=tuple(MemberSummary(c, f"0x{i:040x}", "member") for i, c in enumerate(clients)),
        rounds=made,
        blocks=tuple(
            BlockSummary(
                n, 1_790_000_000 + n, f"0x{n:064x}", (f"0x{n:064x}",), (text or f"round {n} opened",)
            )
            for n in range(3 * rounds)
        ),
        lineage=tuple(
            VersionSummary(
                v, cid(v), cid(v + 1), None, v or None, {c: 1 / len(clients) for c in clients}, {}, None
            )
            for v in range(version, -1, -1)
        ),
        lineage_fault=text,
    )


def _round(number: int, clients: tuple[str, ...], text: str) -> RoundSummary:
    phase = "rejected" if number % 5 == 0 else "accepted"
    quality = 1 - math.exp(-number / 30)
    return RoundSummary(
        number=number,
        phase=phase,
        version=number - number // 5,
        base=cid(number),
        candidate=cid(number + 1),
        proposer=clients[number % len(clients)],
        electorate=len(clients),
        opened_block=3 * number,
        opened_at=1_790_000_000 + 10 * number,
        ended_block=3 * number + 2,
        ended_at=1_790_000_000 + 10 * number + 9,
        clients=tuple(_entry(number, client, quality, text) for client in clients),
        test=Figures(2 - quality, quality, quality, 500),
    )


def _entry(number: int, client: str, quality: float, text: str) -> ClientRound:
    figures = Figures(2 - quality, quality / 2, quality, 100)
    training = Training((2 - quality,), figures, figures, figures, figures, True, 0.5, 1.25)
    if number % 7 == 0:
        return ClientRound(client, "declined", text or "gate: 0.1 against 0.2", training=training)
    return ClientRound(
        client=client,
        state="registered",
        cid=cid(number),
        num_examples=1000,
        score=quality / 2,
        base_score=quality / 2,
        tx=f"0x{number:064x}",
        block=3 * number,
        reward=quality,
        paid=quality,
        weight=1 / 3,
        refused=text,
        training=training,
        merge=figures,
        merge_seconds=0.5,
        vote=Vote("no" if number % 5 == 0 else "yes", quality, quality, f"0x{number:064x}", 3 * number + 2),
    )
