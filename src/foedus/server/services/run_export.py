"""A run as one file to take away: a ZIP of its spec, and of all its numbers as CSV."""

import json
import math
from collections.abc import Iterator, Mapping
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from sqlalchemy import String, case, cast, select
from sqlalchemy.orm import Session

from foedus.core.records import SCORE_SCALE, Choice
from foedus.server.auth.actors import Actor
from foedus.server.db import ChainAnswer, ChainVersion, ChainVote, Run, RunEvent
from foedus.server.listing import Column, Listing, Query, as_csv, export
from foedus.server.services.numbers import number_listing
from foedus.server.services.rewards import leaderboard
from foedus.server.services.rounds import round_listing
from foedus.server.services.runs import as_json

_IN_MEMORY: Final = 8 << 20
_CHUNK: Final = 1 << 16


def run_export(db: Session, actor: Actor, run: Run) -> Iterator[bytes]:
    """Return the chunks of the run's ZIP; all that is read of the database is read before the first of them.

    It holds `run.json`, `spec.toml`, and as CSV `rounds`, `registrations`, `votes`, `numbers`, `versions`,
    `events` and `rewards`, each up to 100,000 rows.
    """
    file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed with the last chunk
    try:
        with ZipFile(file, "w", ZIP_DEFLATED) as archive:
            for name, text in _contents(db, actor, run):
                about = ZipInfo(f"{run.name}/{name}", run.created_at.timetuple()[:6])
                about.compress_type = ZIP_DEFLATED
                archive.writestr(about, text)
    except BaseException:
        file.close()
        raise
    return _chunks(file)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        yield from iter(lambda: file.read(_CHUNK), b"")


def _contents(db: Session, actor: Actor, run: Run) -> Iterator[tuple[str, str]]:
    yield "run.json", json.dumps(as_json(run), indent=2, ensure_ascii=False) + "\n"
    yield "spec.toml", spec_toml({**run.spec, "name": run.name[:32]})
    listings = {
        "rounds": round_listing(run),
        "registrations": registration_listing(run),
        "votes": vote_listing(run),
        "numbers": number_listing(run),
        "versions": version_listing(run),
        "events": event_listing(run),
    }
    if run.chain_run is not None:
        listings["rewards"] = leaderboard(db, actor, run.project.slug, run.name).listing
    for name, listing in listings.items():
        yield f"{name}.csv", as_csv(listing, export(db, listing, Query.of({}, listing)))


def registration_listing(run: Run) -> Listing:
    """Return the list of what clients answered: updates by CID, or why they declined."""
    place = cast(ChainAnswer.round * 1000 + ChainAnswer.step, String) + ":" + ChainAnswer.client
    return Listing(
        "Registrations",
        (
            Column("round", "Round", ChainAnswer.round, "number"),
            Column("step", "Step", ChainAnswer.step, "number"),
            Column("client", "Client", ChainAnswer.client),
            Column("cid", "Update", ChainAnswer.cid, "id"),
            Column("reason", "Declined because", ChainAnswer.reason),
            Column("num_examples", "Examples", ChainAnswer.num_examples, "number"),
            Column("num_shared", "Of them shared", ChainAnswer.num_shared, "number"),
            Column("score", "Score", ChainAnswer.score_ppb / SCORE_SCALE, "score"),
            Column("base_score", "Base", ChainAnswer.base_score_ppb / SCORE_SCALE, "score"),
            Column("paid", "Points", ChainAnswer.paid, "points", is_sortable=False),
            Column("time", "Registered", ChainAnswer.time, "time"),
            Column("tx", "Transaction", ChainAnswer.tx, "id"),
        ),
        select().select_from(ChainAnswer).where(ChainAnswer.run == (run.chain_run or 0)),
        place,
        "round",
    )


def vote_listing(run: Run) -> Listing:
    """Return the list of the votes in a run."""
    word = case({int(one): one.name.lower() for one in Choice}, value=ChainVote.choice)
    return Listing(
        "Votes",
        (
            Column("round", "Round", ChainVote.round, "number"),
            Column("client", "Client", ChainVote.client),
            Column("choice", "Vote", word),
            Column("score", "Score", ChainVote.score_ppb / SCORE_SCALE, "score"),
            Column("base_score", "Base", ChainVote.base_score_ppb / SCORE_SCALE, "score"),
            Column("time", "Voted", ChainVote.time, "time"),
            Column("tx", "Transaction", ChainVote.tx, "id"),
        ),
        select().select_from(ChainVote).where(ChainVote.run == (run.chain_run or 0)),
        cast(ChainVote.round, String) + ":" + ChainVote.client,
        "round",
    )


def version_listing(run: Run) -> Listing:
    """Return the list of a run's global models, by CID."""
    return Listing(
        "Versions",
        (
            Column("version", "Version", ChainVersion.version, "number"),
            Column("round", "Round", ChainVersion.round, "number"),
            Column("cid", "Manifest", ChainVersion.cid, "id"),
            Column("weights", "Weights", ChainVersion.weights, "id"),
            Column("size_bytes", "Size", ChainVersion.size_bytes, "bytes"),
            Column("score", "Score", ChainVersion.score_ppb / SCORE_SCALE, "score"),
            Column("time", "Accepted", ChainVersion.time, "time"),
            Column("tx", "Transaction", ChainVersion.tx, "id"),
        ),
        select().select_from(ChainVersion).where(ChainVersion.run == (run.chain_run or 0)),
        ChainVersion.version,
        "version",
    )


def event_listing(run: Run) -> Listing:
    """Return the list of what happened in a run, as browsers were told it."""
    return Listing(
        "Events",
        (
            Column("id", "Number", RunEvent.id, "number"),
            Column("at", "When", RunEvent.at, "time"),
            Column("kind", "What", RunEvent.kind),
            Column("round", "Round", RunEvent.round, "number"),
            Column("client", "Client", RunEvent.client),
            Column("values", "Values", RunEvent.values, is_sortable=False),
        ),
        select().select_from(RunEvent).where(RunEvent.run_id == run.id),
        RunEvent.id,
        "id",
    )


def spec_toml(values: Mapping[str, Any]) -> str:
    """Write a spec as `foedus run` reads it: what is not set is left out."""
    return "\n".join(_table(values, ())).strip() + "\n"


def _table(values: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    rest = {key: value for key, value in values.items() if key not in tables and value is not None}
    if path and (rest or not tables):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for key, value in rest.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in tables.items():
        yield from _table(value, (*path, key))


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("_", "").replace("-", "").isalnum() else _value(name)


def _value(value: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # nan, inf and -inf, as TOML spells them
    return json.dumps(value)
