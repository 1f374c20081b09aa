"""The rounds and the lineage of a summary: what the chain says, joined with job results and manifests."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from foedus.core.errors import FoedusError
from foedus.core.ids import Cid, ClientId
from foedus.core.protocols import ModelStore
from foedus.core.records import SCORE_SCALE, WAD, Ballot, Phase, Registration, RoundView, TaskKind
from foedus.launch import JobFolder
from foedus.learn.aggregation import client_weights
from foedus.rounds.documents import Document, MergeResult, Scores, TrainResult
from foedus.rounds.summary_records import (
    ClientRound,
    Figures,
    RoundSummary,
    Training,
    VersionSummary,
    Vote,
)
from foedus.rounds.view import Outcome
from foedus.store import ModelManifest, get_manifest, lineage

_CLIENT = re.compile(
    r"[a-z0-9][a-z0-9_-]{0,31}"
)  # names on the chain may be anything; these are safe in paths
_MERGES = (TaskKind.AGGREGATE, TaskKind.VERIFY)

_Result = TypeVar("_Result", bound=Document)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the figures of rounds come from: job folders, store, and the rule of the merge's weights."""

    jobs: Path
    store: ModelStore | None  # None when the home folder has no store (yet)
    kappa: float
    cap_ratio: float

    def train(self, view: RoundView, client: ClientId) -> TrainResult | None:
        """Return the result of a train task, None when it is missing, damaged or about another update."""
        registered = next((r.cid for r in view.registrations if r.client == client), None)
        result = self._read(view, client, TaskKind.TRAIN, TrainResult)
        is_other = result is not None and registered is not None and result.update != registered
        return None if is_other else result

    def merge(self, view: RoundView, client: ClientId) -> MergeResult | None:
        """Return the result of an aggregate or verify task about this very candidate, else None."""
        for kind in _MERGES:
            result = self._read(view, client, kind, MergeResult)
            if result is not None and result.candidate == view.candidate:
                return result
        return None

    def manifest(self, cid: Cid | None) -> ModelManifest | None:
        """Return a manifest, None when the store does not hold it undamaged."""
        if self.store is None or cid is None:
            return None
        with suppress(FoedusError, OSError):
            return get_manifest(self.store, cid)
        return None

    def shares(self, entries: Sequence[tuple[str, int, int]]) -> dict[str, float]:
        """Return each client's share in a merge of (client, examples, reward in 1e-18)."""
        with suppress(FoedusError):
            weights = client_weights([n for _, n, _ in entries], [r for *_, r in entries], *self._rule)
            total = sum(weights)
            return {who: weight / total for (who, *_), weight in zip(entries, weights, strict=True) if total}
        return {}

    @property
    def _rule(self) -> tuple[float, float]:
        return self.kappa, self.cap_ratio

    def _read(
        self, view: RoundView, client: ClientId, kind: TaskKind, document: type[_Result]
    ) -> _Result | None:
        if not _CLIENT.fullmatch(client):
            return None
        folder = JobFolder(self.jobs / f"r{view.number:05d}.{view.step}" / f"{client}.{kind}")
        with suppress(FoedusError, OSError, ValueError):
            return document.from_json(folder.read_result(), str(kind))
        return None


def summarise_round(
    sources: Sources, view: RoundView, outcome: Outcome | None, version: int, end: tuple[int, int] | None
) -> RoundSummary:
    """Join what is known of one round. `end` is (block, time) of its end, `version` the one in force now."""
    merges = _merges(sources, view)
    proposed = merges.get(view.proposer) if view.proposer else None
    return RoundSummary(
        number=view.number,
        phase=view.phase.name.lower(),
        version=outcome.version if outcome else version,
        base=view.base,
        candidate=view.candidate,
        proposer=view.proposer,
        electorate=len(view.electorate),
        opened_block=view.opened_block,
        opened_at=view.opened_at,
        ended_block=end[0] if end else None,
        ended_at=end[1] if end else None,
        clients=tuple(_clients(sources, view, merges, outcome)),
        test=_figures(proposed.test) if proposed and proposed.test else None,
    )


def _merges(sources: Sources, view: RoundView) -> dict[ClientId, MergeResult | None]:
    """Return, for everybody who had a part in the round, what they computed of the candidate."""
    is_proposed = view.phase in (Phase.VOTING, Phase.ACCEPTED, Phase.REJECTED)
    known = {r.client for r in view.registrations} | set(view.declined) | {b.client for b in view.ballots}
    names = sorted(view.electorate | known)
    return {name: sources.merge(view, name) if is_proposed else None for name in names}


def _clients(
    sources: Sources,
    view: RoundView,
    merges: Mapping[ClientId, MergeResult | None],
    outcome: Outcome | None,
) -> Iterator[ClientRound]:
    refused = _refused(sources, view, merges)
    used = [(r.client, r.num_examples, r.reward_wad) for r in view.registrations if r.client not in refused]
    shares = sources.shares(used) if view.candidate else {}
    for name, merged in merges.items():
        entry = _with_registration(_client_round(sources, view, name), view, shares, refused)
        paid = outcome.rewards.get(name, 0) / WAD if outcome else 0.0
        yield replace(_with_vote(entry, view, merged), paid=paid)


def summarise_lineage(
    sources: Sources, current: Cid, rounds: Sequence[RoundSummary]
) -> tuple[list[VersionSummary], str]:
    """Return the versions from `current` back to 0, and why the line breaks off where it does."""
    accepted = {one.candidate: one for one in rounds if one.phase == "accepted"}
    versions: list[VersionSummary] = []
    if sources.store is None:
        return versions, "the home folder has no store"
    try:
        for cid, manifest in lineage(sources.store, current):
            versions.append(_version(sources, cid, manifest, accepted.get(cid)))
    except FoedusError as error:
        return versions, error.message
    except OSError as error:
        return versions, f"the store cannot be read: {error.strerror}"
    return versions, ""


def _version(
    sources: Sources, cid: Cid, manifest: ModelManifest, origin: RoundSummary | None
) -> VersionSummary:
    used = [(update.client, update.num_examples, update.reward) for update in manifest.updates]
    return VersionSummary(
        version=manifest.version,
        cid=cid,
        weights=manifest.weights,
        base=manifest.base,
        round=origin.number if origin else None,
        shares=sources.shares(used),
        refused={str(client): code for client, code in manifest.refused.items()},
        test=origin.test if origin else None,
    )


def _refused(
    sources: Sources, view: RoundView, merges: Mapping[ClientId, MergeResult | None]
) -> Mapping[str, str]:
    """Return which updates the merge left out: as the manifest says, else as a member computed."""
    manifest = sources.manifest(view.candidate)
    if manifest is not None:
        return {str(client): code for client, code in manifest.refused.items()}
    return next((result.refused for result in merges.values() if result), {})


def _client_round(sources: Sources, view: RoundView, name: ClientId) -> ClientRound:
    declined = view.declined.get(name)
    result = sources.train(view, name)
    return ClientRound(
        client=name,
        state="silent" if declined is None else "declined",
        reason=declined or "",
        training=_training(result) if result else None,
    )


def _with_registration(
    entry: ClientRound, view: RoundView, shares: Mapping[str, float], refused: Mapping[str, str]
) -> ClientRound:
    found: Registration | None = next((r for r in view.registrations if r.client == entry.client), None)
    if found is None:
        return entry
    return replace(
        entry,
        state="registered",
        cid=found.cid,
        num_examples=found.num_examples,
        score=found.score_ppb / SCORE_SCALE,
        base_score=found.base_score_ppb / SCORE_SCALE,
        tx=found.tx,
        block=found.block,
        reward=found.reward_wad / WAD,
        weight=0.0 if entry.client in refused else shares.get(entry.client),
        refused=refused.get(entry.client, ""),
    )


def _with_vote(entry: ClientRound, view: RoundView, merged: MergeResult | None) -> ClientRound:
    found: Ballot | None = next((b for b in view.ballots if b.client == entry.client), None)
    return replace(
        entry,
        merge=_figures(merged.local) if merged else None,
        merge_seconds=merged.seconds if merged else None,
        vote=Vote(
            choice=found.choice.name.lower(),
            score=found.score_ppb / SCORE_SCALE,
            base_score=found.base_score_ppb / SCORE_SCALE,
            tx=found.tx,
            block=found.block,
        )
        if found
        else None,
    )


def _training(result: TrainResult) -> Training:
    return Training(
        train_loss=tuple(result.train_loss),
        local=_figures(result.local),
        base=_figures(result.base),
        shared_local=_figures(result.shared_local),
        shared_base=_figures(result.shared_base),
        is_above_floor=result.is_above_floor,
        update_norm=result.update_norm,
        seconds=result.seconds,
    )


def _figures(scores: Scores) -> Figures:
    return Figures(scores.loss, scores.f1, scores.accuracy, scores.examples)
