"""Check a run from its chain and store alone: every CID, signature, gate, reward, vote and merge.

Nothing that a member says is believed. The chain is executed again from its first block, the rules are
applied a second time by other code than the contract's, and every candidate is recomputed from the
registered updates.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from foedus.chain import ChainReader, audit_chain, wrong_rewards
from foedus.core.canonical import canonical_json
from foedus.core.errors import (
    ChainDamaged,
    FoedusError,
    InvalidSpec,
    ObjectDamaged,
    ObjectMissing,
    VerificationFailed,
)
from foedus.core.ids import Cid, ClientId
from foedus.core.records import Choice, Event, Phase, RoundView
from foedus.rounds.documents import ModelSpec, ProjectDocument, StateDocument, Terms, fetch
from foedus.rounds.effects import entries_of
from foedus.rounds.home import Home
from foedus.rounds.locate import locate
from foedus.rounds.rules import ballot_accepts, gate_passes
from foedus.rounds.view import Outcome, RunView, view_run
from foedus.store import AlgorithmRef, DirectoryStore, ModelManifest, cid_of, get_manifest

if TYPE_CHECKING:
    from foedus.rounds.tasks.project import Project

Watch: TypeAlias = Callable[[str, int, int], None]
"""Told what is being checked, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class VerifySummary:
    """What was checked and found right.

    A file cannot show that blocks are missing at its very end: compare `head` with what another member notes.
    """

    run: str
    state: str  # unfinished | completed | cancelled
    reason: str  # why it was cancelled
    head: str  # hash of the newest block
    blocks: int
    transactions: int
    objects: int
    updates: int
    votes: int
    rounds: int
    rounds_planned: int
    version: int
    current: Cid


def verify_run(home: Home, name: str, watch: Watch = lambda what, done, total: None) -> VerifySummary:
    """Check everything about a run. Needs only the chain's file and the store.

    Raises `VerificationFailed`, whose `place` names the first thing that is wrong, and `InvalidSpec` when
    there is no such run yet.
    """
    home.run_folder(name)  # says which runs there are, when this is none of them
    if not home.chain.exists():
        raise InvalidSpec(f"run {name} has not reached the chain yet", "Resume it first.")
    with _failing("the chain"):
        audit = audit_chain(home.chain, partial(watch, "chain"))
        reader = ChainReader.open(home.chain)
    try:
        events = list(reader.events())
    finally:
        reader.close()
    found = locate(home, name, events)
    if found is None:
        raise InvalidSpec(f"run {name} has not reached the chain yet", "Resume it first.")
    run = view_run(events, found[1])
    store = DirectoryStore(home.store)
    _check_terms(run, events, store)
    _check_rewards(events)
    _check_rules(run)
    objects = _check_objects(run, store, watch)
    _check_merges(run, home, watch)
    rounds = _rounds(run)
    return VerifySummary(
        run=name,
        state=run.ended or "unfinished",
        reason=run.reason,
        head=audit.head,
        blocks=audit.blocks,
        transactions=audit.transactions,
        objects=objects,
        updates=sum(len(view.registrations) for view in rounds),
        votes=sum(len(view.ballots) for view in rounds),
        rounds=len(run.history),
        rounds_planned=run.rules.rounds if run.rules else 0,
        version=run.version,
        current=run.current,
    )


@contextmanager
def _failing(place: str) -> Iterator[None]:
    """Name the place where the store or the chain turned out to be wrong."""
    try:
        yield
    except VerificationFailed:
        raise
    except ChainDamaged as error:
        message = error.message.removeprefix(f"{error.place}: ")
        raise VerificationFailed(f"{place}, {error.place}", message) from error
    except (ObjectDamaged, ObjectMissing, FoedusError) as error:
        raise VerificationFailed(place, error.message) from error


def _rounds(run: RunView) -> list[RoundView]:
    """All steps the view has kept, with the one that is under way."""
    ended = [view for view, _ in run.history]
    return ended if run.round is None or run.round.phase.is_final else [*ended, run.round]


# --- rules ---


def _check_terms(run: RunView, events: list[Event], store: DirectoryStore) -> None:
    """The run keeps to the terms its project was made with, and to the number of its rounds.

    A project of several runs was founded with a `ProjectDocument`; each run then has terms of its own.
    """
    assert run.rules is not None
    created = [e for e in events if e.name == "ProjectCreated" and e.args["project"] == run.project]
    founded = [Cid(str(event.args["terms"])) for event in created]
    if founded != [run.terms] and not (len(founded) == 1 and _has_several_runs(store, founded[0])):
        raise VerificationFailed("terms", f"the run says {run.terms}, its project says otherwise")
    numbers = [view.number for view, _ in run.history]
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) > run.rules.rounds:
        raise VerificationFailed("rounds", f"a run of {run.rules.rounds} rounds cannot have {numbers}")


def _has_several_runs(store: DirectoryStore, founded: Cid) -> bool:
    try:
        fetch(store, founded, ProjectDocument)
    except FoedusError:
        return False
    return True


def _check_rewards(events: list[Event]) -> None:
    for event, right in wrong_rewards(events):
        place = f"block {event.block}, transaction {event.tx}"
        raise VerificationFailed(place, f"{event.name} says a reward that should be {right}")


def _check_rules(run: RunView) -> None:
    """Apply Algorithms 2 and 5 again, in other code than the contract's."""
    assert run.rules is not None
    for view, outcome in run.history:
        for registered in view.registrations:
            scores = (registered.score_ppb, registered.base_score_ppb)
            if not gate_passes(*scores, outcome.beta_ppb, run.rules.gate_mode):
                _fail(view, f"update of {registered.client}", "was registered although it fails the gate")
        for ballot in view.ballots:
            worse = ballot.base_score_ppb - ballot.score_ppb > run.rules.epsilon_ppb
            if ballot.choice is Choice.YES and worse:
                _fail(view, f"vote of {ballot.client}", "is a yes although its scores say no")
        _check_outcome(view, outcome)


def _check_outcome(view: RoundView, outcome: Outcome) -> None:
    answers = [ballot.choice for ballot in view.ballots]
    yes, no, abstain = (answers.count(choice) for choice in (Choice.YES, Choice.NO, Choice.ABSTAIN))
    accepted = ballot_accepts(len(view.electorate), yes, no, abstain)
    if accepted != (outcome.phase is Phase.ACCEPTED):
        _fail(view, "ballot", f"{yes} yes, {no} no, {abstain} abstain do not make it {outcome.phase.name}")
    if accepted and outcome.current != view.candidate:
        _fail(view, "version", "is not the candidate that was voted for")


def _fail(view: RoundView, what: str, message: str) -> None:
    raise VerificationFailed(f"round {view.number}, {what}", message)


# --- objects and merges ---


def _check_objects(run: RunView, store: DirectoryStore, watch: Watch) -> int:
    """Check every byte of everything the run published, registered or proposed."""
    wanted = list(_objects(run, store))
    for done, (place, cid) in enumerate(wanted, 1):
        with _failing(f"{place}, object {cid}"):
            store.verify(cid)
        watch("store", done, len(wanted))
    return len(wanted)


def _objects(run: RunView, store: DirectoryStore) -> Iterator[tuple[str, Cid]]:
    with _failing(f"terms {run.terms}"):
        terms = fetch(store, run.terms, Terms)
        fetch(store, Cid(terms.model), ModelSpec)
    yield "terms", run.terms
    yield "model spec", Cid(terms.model)
    yield "shared evaluation set", Cid(terms.shared)
    yield "test set", Cid(terms.test)
    for cid in terms.mixed:
        yield "data shared for training", Cid(cid)
    yield from _version_objects("version 0", run.version0, store)
    needed = {id(view) for view, _ in _accepted_exchanges(run)}
    needed |= {id(view) for view in _rounds(run) if view.phase is Phase.ACCEPTED}
    for view in [*run.exchanges, *_rounds(run)]:
        yield from _round_objects(view, id(view) in needed, store)


def _round_objects(view: RoundView, is_needed: bool, store: DirectoryStore) -> Iterator[tuple[str, Cid]]:
    """List what an exchange left in the store; of one that led to a version, all of it must be there."""
    absent = _refused_as_absent(view, store) if is_needed else set()
    for registered in view.registrations:
        if (is_needed and registered.client not in absent) or store.has(registered.cid):
            yield f"round {view.number}, update of {registered.client}", registered.cid
    if view.candidate is not None and (is_needed or store.has(view.candidate)):
        yield from _version_objects(f"round {view.number}, candidate", view.candidate, store)


def _refused_as_absent(view: RoundView, store: DirectoryStore) -> set[ClientId]:
    """Clients whose registered update nobody had: the accepted manifest says so, and left them out."""
    if view.candidate is None or not store.has(view.candidate):
        return set()
    with _failing(f"round {view.number}, candidate, manifest {view.candidate}"):
        refused = get_manifest(store, view.candidate).refused
    return {client for client, code in refused.items() if code in ("missing", "damaged")}


def _version_objects(place: str, manifest: Cid, store: DirectoryStore) -> Iterator[tuple[str, Cid]]:
    with _failing(f"{place}, manifest {manifest}"):
        found = get_manifest(store, manifest)
    with _failing(f"{place}, state {found.state}"):
        parts = fetch(store, found.state, StateDocument).parts if found.state else {}
    yield f"{place}, manifest", manifest
    yield f"{place}, weights", found.weights
    if found.state is not None:
        yield f"{place}, state", found.state
    for name, cid in parts.items():
        yield f"{place}, state of {name}", Cid(cid)


def _check_merges(run: RunView, home: Home, watch: Watch) -> None:
    """Recompute every accepted candidate from the registered updates: it must get the same CID."""
    from foedus.rounds.tasks.project import open_project  # noqa: PLC0415 - loads PyTorch, only once all else is right

    with _failing("terms"):
        project = open_project(str(home.store), run.terms)
        initial = project.manifest(run.version0)
        algorithm = project.terms.algorithm
    if run.rules is None or run.rules.steps != project.steps:
        raise VerificationFailed("terms", f"{algorithm.name} has {project.steps} exchanges a round")
    expected = ModelManifest(
        0, Cid(project.terms.model), initial.weights, None, AlgorithmRef(algorithm.name, algorithm.params)
    )
    if initial != expected:
        raise VerificationFailed("version 0", "its manifest does not fit the terms")
    for view, number in _accepted_exchanges(run):
        _check_merge(project, view, number)
    version = 0
    for done, (view, outcome) in enumerate(run.history, 1):
        if outcome.phase is Phase.ACCEPTED:
            _check_merge(project, view, version + 1)
            version += 1
        if outcome.version != version:
            _fail(view, "version", f"is {outcome.version}, but should be {version}")
        watch("merges", done, len(run.history))


def _accepted_exchanges(run: RunView) -> list[tuple[RoundView, int]]:
    """List the exchanges before the last of rounds that led to a version, with its number."""
    versions = {v.number: o.version for v, o in run.history if o.phase is Phase.ACCEPTED}
    return [(view, versions[view.number]) for view in run.exchanges if view.number in versions]


def _check_merge(project: "Project", view: RoundView, version: int) -> None:
    """Merge one exchange again. Raises `VerificationFailed` when it gives another candidate."""
    from foedus.rounds.tasks.merging import Place, merge  # noqa: PLC0415 - as above

    with _failing(f"round {view.number}, merge"):
        merged = merge(project, view.base, Place(view.number, view.step, version), entries_of(view))
    candidate = cid_of([canonical_json(merged.manifest.to_json())])
    if candidate != view.candidate:
        _fail(view, "merge", f"gives {candidate}, but {view.candidate} was proposed")
