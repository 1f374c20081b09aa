"""Gather everything about one run that a report shows: from chain, store, spec and job folders.

Nothing is locked, so a run may go on meanwhile. What is missing (a result that was deleted, a store
elsewhere) leaves a gap instead of an error.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from foedus.chain import ChainReader
from foedus.core.errors import FoedusError
from foedus.core.protocols import ModelStore
from foedus.core.records import Event
from foedus.launch import JobFolder
from foedus.rounds.documents import PrepareResult, Terms, fetch
from foedus.rounds.home import Home
from foedus.rounds.locate import locate
from foedus.rounds.runs import load_run_spec
from foedus.rounds.spec import RunSpec
from foedus.rounds.summary_blocks import concerns, summarise_blocks
from foedus.rounds.summary_records import (
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
from foedus.rounds.summary_rounds import Sources, summarise_lineage, summarise_round
from foedus.rounds.view import RunView, view_run
from foedus.store import DirectoryStore

__all__ = [
    "BlockSummary",
    "ClientRound",
    "DataSummary",
    "Figures",
    "MemberSummary",
    "RoundSummary",
    "RunSummary",
    "Training",
    "VersionSummary",
    "Vote",
    "current_figures",
    "summarise_run",
]


def summarise_run(home: Home, name: str) -> RunSummary:
    """Gather a run, finished or not, also while another process drives it.

    Raises `InvalidSpec` for an unknown run, `ChainDamaged` when the chain's file cannot be read.
    """
    folder, spec = home.run_folder(name), load_run_spec(home, name)
    blank = RunSummary(
        name=name,
        state="new",
        settings=spec.model_dump(mode="json"),
        rounds_planned=spec.rounds,
        data=_data(folder),
    )
    if not home.chain.exists():
        return blank
    reader = ChainReader.open(home.chain)
    try:
        events = list(reader.events())
        found = locate(home, name, events)
        if found is None:
            return blank
        run = view_run(events, found[1])
        blocks = summarise_blocks(reader, events, run)
    finally:
        reader.close()
    return _complete(blank, home, spec, run, events, blocks)


def _complete(
    blank: RunSummary,
    home: Home,
    spec: RunSpec,
    run: RunView,
    events: Sequence[Event],
    blocks: Sequence[BlockSummary],
) -> RunSummary:
    sources = _sources(home, blank.name, spec, run)
    rounds = _rounds(sources, run, _ends(events, run))
    versions, fault = summarise_lineage(sources, run.current, rounds)
    times = [event.block_time for event in events if event.args.get("run") == run.run]
    return replace(
        blank,
        state=run.ended or "unfinished",
        reason=run.reason,
        rounds_planned=run.rules.rounds if run.rules else spec.rounds,
        project=run.project,
        run=run.run,
        terms=run.terms,
        version=run.version,
        current=run.current,
        started_at=min(times),
        changed_at=max(times),
        members=tuple(_members(run)),
        rounds=tuple(rounds),
        blocks=tuple(blocks),
        lineage=tuple(versions),
        lineage_fault=fault,
    )


def _sources(home: Home, name: str, spec: RunSpec, run: RunView) -> Sources:
    store: ModelStore | None = None
    if (home.store / "objects").is_dir():  # opening a store would create it
        with suppress(OSError):
            store = DirectoryStore(home.store)
    kappa, cap_ratio = spec.policy.kappa, spec.policy.cap_ratio
    if store is not None:
        with suppress(FoedusError, OSError):
            terms = fetch(store, run.terms, Terms)
            kappa, cap_ratio = terms.kappa, terms.cap_ratio
    return Sources(home.runs / name / "jobs", store, kappa, cap_ratio)


def _rounds(sources: Sources, run: RunView, ends: Mapping[int, tuple[int, int]]) -> list[RoundSummary]:
    rounds = [
        summarise_round(sources, view, outcome, outcome.version, ends.get(view.number))
        for view, outcome in run.history
    ]
    if run.round is not None and not run.round.phase.is_final:
        rounds.append(summarise_round(sources, run.round, None, run.version, None))
    return rounds


def _ends(events: Sequence[Event], run: RunView) -> dict[int, tuple[int, int]]:
    """Return block and time at which each round ended."""
    return {
        int(event.args["round"]): (event.block, event.block_time)
        for event in events
        if event.name == "Finalized" and concerns(event, run)
    }


def _members(run: RunView) -> list[MemberSummary]:
    """List all who ever were members, in order of enrolment."""
    return [
        MemberSummary(client, address, run.roles[address].name.lower())
        for address, client in run.names.items()
    ]


def _data(folder: Path) -> DataSummary:
    """Return what the prepare task told about the data; nothing when its folder is gone."""
    with suppress(FoedusError, OSError, ValueError):
        found = JobFolder(folder / "jobs" / "prepare").read_result()
        result = PrepareResult.from_json(found, "the result of the prepare task")
        counts = {client: tuple(numbers) for client, numbers in result.histograms.items()}
        return DataSummary(result.data, result.labels, counts)
    return DataSummary()


def current_figures(run: RunSummary) -> Figures | None:
    """Return the current version's figures on the test set, None when they are gone (or version 0)."""
    accepted = [one for one in run.rounds if one.phase == "accepted"]
    return accepted[-1].test if accepted else None
