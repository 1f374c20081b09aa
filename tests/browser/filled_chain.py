"""The index of a small chain: a run of two accepted rounds by two clients."""

from sqlalchemy.orm import Session

from foedus.core.records import Choice, Phase
from foedus.server.db import (
    ChainAnswer,
    ChainBlock,
    ChainEvent,
    ChainHead,
    ChainMember,
    ChainRound,
    ChainRun,
    ChainStanding,
    ChainTransaction,
    ChainVersion,
    ChainVote,
)
from foedus.server.index.standings import ALL_RUNS, as_text
from foedus.store.cid import RAW, cid_bytes, cid_text

ROUNDS = 2
_CLIENTS = ("alice", "bob")


def cid(number: int) -> str:
    """Return a CID for a number; nothing has it."""
    return cid_text(cid_bytes(RAW, number.to_bytes(32, "big")))


def tx(number: int) -> str:
    """Return a transaction's hash for its number."""
    return f"0x{number:064x}"


def address(client: str) -> str:
    """Return a client's address."""
    return "0x" + client.encode().hex().rjust(40, "0")


def fill_chain(db: Session, project: int, run: int, name: str, now: int) -> None:
    """Write the rows. `project` and `run` are numbers on the chain; `now` is the newest block's time."""
    db.add_all(ChainMember(project=project, address=address(one), name=one, role=1) for one in _CLIENTS)
    db.add(
        ChainRun(
            run=run,
            project=project,
            name=name,
            terms=cid(900),
            version0=cid(100),
            rules={},
            round=ROUNDS + 1,
            version=ROUNDS,
            current=cid(100 + ROUNDS),
            ended_rounds=ROUNDS,
            started_at=now - 600,
        )
    )
    block = 1
    db.add(_version(run, 0, block, now - 600))
    for number in range(1, ROUNDS + 1):
        time = now - 600 + 200 * number
        for position, client in enumerate(_CLIENTS, 1):
            update = cid(10 * number + position)
            _call(db, block, client, "register", {"run": run, "cid": update}, (project, run, time))
            db.add(
                ChainAnswer(
                    run=run,
                    round=number,
                    step=1,
                    client=client,
                    cid=update,
                    num_examples=600 * position,
                    num_shared=240 * (position - 1),
                    score_ppb=700_000_000 + 60_000_000 * number,
                    base_score_ppb=700_000_000,
                    reward=str(4 * 10**17 * position),
                    paid=str(4 * 10**17 * position),
                    paid_at=time,
                    paid_place=10 * number + position,
                    paid_tx=tx(block),
                    time=time,
                    tx=tx(block),
                )
            )
            db.add(
                ChainVote(
                    run=run,
                    round=number,
                    client=client,
                    choice=Choice.YES,
                    score_ppb=800_000_000,
                    base_score_ppb=700_000_000,
                    time=time,
                    tx=tx(block),
                )
            )
            block += 1
        db.add(_round(run, number, block - 1, time))
        db.add(_version(run, number, block - 1, time))
    for place in (run, ALL_RUNS):
        for position, client in enumerate(_CLIENTS, 1):
            theirs = ChainStanding(project=project, run=place, client=client, points="", recent={})
            theirs.points = as_text(4 * 10**17 * position * ROUNDS)
            theirs.registrations = theirs.paid = theirs.votes = theirs.answered = ROUNDS
            theirs.recent = {f"{run}/{number}/1": 0.4 * position for number in range(1, ROUNDS + 1)}
            db.add(theirs)
    db.add(ChainHead(id=1, block=block - 1))


def _call(
    db: Session, block: int, client: str, function: str, args: dict[str, object], about: tuple[int, int, int]
) -> None:
    project, run, time = about
    db.add(
        ChainBlock(
            number=block,
            hash=tx(1000 + block),
            parent=tx(999 + block),
            time=time,
            gas_used=90_000,
            state_root=tx(5000 + block),
            transactions=1,
        )
    )
    db.add(
        ChainTransaction(
            block=block,
            position=0,
            hash=tx(block),
            sender=address(client),
            function=function,
            args=args,
            run=run,
            project=project,
            gas_used=90_000,
            time=time,
        )
    )
    db.add(
        ChainEvent(
            block=block,
            position=0,
            tx=tx(block),
            name="Registered",
            args=args,
            run=run,
            project=project,
            address=address(client),
            cid=str(args["cid"]),
            time=time,
        )
    )


def _round(run: int, number: int, block: int, time: int) -> ChainRound:
    return ChainRound(
        run=run,
        number=number,
        step=1,
        phase=Phase.ACCEPTED,
        base=cid(99 + number),
        candidate=cid(100 + number),
        proposer="alice",
        electorate=2,
        beta_ppb=0,
        opened_at=time - 100,
        closed_at=time - 50,
        proposed_at=time - 20,
        ended_at=time,
        deadline=time + 60,
        opened_block=max(1, block - 1),
        ended_tx=tx(block),
    )


def _version(run: int, version: int, block: int, time: int) -> ChainVersion:
    return ChainVersion(
        run=run,
        version=version,
        cid=cid(100 + version),
        round=version,
        score_ppb=700_000_000 + 60_000_000 * version if version else None,
        time=time,
        tx=tx(block),
    )
