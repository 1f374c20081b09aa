"""The registry of models: every version of every run that one may see, what it is made of and worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Select, cast, func, select
from sqlalchemy.orm import Session

from foedus.core.errors import FoedusError, ObjectDamaged, ObjectMissing
from foedus.core.ids import Cid
from foedus.core.records import SCORE_SCALE, Choice
from foedus.learn.score_words import UNKNOWN
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, require, visible_projects
from foedus.server.db import (
    ChainAnswer,
    ChainRound,
    ChainRun,
    ChainVersion,
    ChainVote,
    ModelNote,
    Project,
    Run,
)
from foedus.server.errors import Invalid, NotFound
from foedus.server.listing import Column, Filter, Listing
from foedus.server.services.audit import record
from foedus.server.services.projects import TASKS
from foedus.store import DirectoryStore, ModelManifest, check_cid, get_manifest, lineage

ALIASES: Final = ("candidate", "champion")
_LINEAGE: Final = 50  # versions shown in a lineage
_LONGEST: Final = 4000
_VERSIONS: Final = 10**6  # of a run, at most: orders versions of all runs


@dataclass(frozen=True, slots=True)
class Score:
    """How one client found a version: its score beside that of the version before, and its vote."""

    client: str
    num_examples: int | None  # of its update; none: it gave none
    score: float | None
    base_score: float | None
    choice: str
    tx: str


@dataclass(frozen=True, slots=True)
class Ballot:
    """The votes that made a version."""

    yes: int
    no: int
    abstain: int
    electorate: int
    tx: str | None

    @property
    def voted(self) -> int:
        """How many voted."""
        return self.yes + self.no + self.abstain

    @property
    def quorum(self) -> int:
        """How many had to vote: two thirds of those who could."""
        return -(-2 * self.electorate // 3)


@dataclass(frozen=True, slots=True)
class Model:
    """A version as its page shows it. `trouble` says what is wrong with our copy of it."""

    row: ChainVersion
    chain_run: ChainRun
    project: Project
    run: str | None  # its name on the platform; none for runs from elsewhere
    score_name: str  # F1, Dice, R²
    note: ModelNote | None
    manifest: ModelManifest | None
    trouble: str
    is_damaged: bool
    ancestors: Sequence[tuple[str, int]]  # CID and version, newest first
    scores: Sequence[Score]
    ballot: Ballot | None
    others: Sequence[str]  # slugs of the actor's other projects that have the same version

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.run or self.chain_run.name or f'run {self.row.run}'} v{self.row.version}"

    @property
    def score(self) -> float | None:
        """The mean of the voters' scores."""
        return None if self.row.score_ppb is None else self.row.score_ppb / SCORE_SCALE


def _rows(actor: Actor) -> Select[Any]:
    """Return the versions that the actor may see, joined with run, project and note; selects nothing yet."""
    mine = Project.id.in_(visible_projects(actor))
    noted = (ModelNote.cid == ChainVersion.cid) & (ModelNote.project_id == Project.id)
    return (
        select()
        .select_from(ChainVersion)
        .join(ChainRun, ChainRun.run == ChainVersion.run)
        .join(Project, Project.chain_project == ChainRun.project)
        .outerjoin(Run, Run.chain_run == ChainVersion.run)
        .outerjoin(ModelNote, noted)
        .where(mine)
    )


def model_listing(db: Session, actor: Actor) -> Listing:
    """Return the list of the versions that the actor may see."""
    slugs = db.scalars(select(Project.slug).where(Project.id.in_(visible_projects(actor)))).all()
    score = cast(ChainVersion.score_ppb, BigInteger) * 1.0 / SCORE_SCALE
    members = (
        select(func.aggregate_strings(ChainAnswer.client, " "))
        .where(ChainAnswer.run == ChainVersion.run, ChainAnswer.round == ChainVersion.round)
        .correlate(ChainVersion)
    )
    return Listing(
        "Models",
        (
            Column("cid", "Model", ChainVersion.cid, "id", "/models/{cid}?project={project}"),
            Column("run", "Run", func.coalesce(Run.name, ChainRun.name)),
            Column("version", "Version", ChainVersion.version, "number"),
            Column("alias", "Alias", ModelNote.alias, "state"),
            Column("score", "Score, members' mean", score, "score"),
            Column("project", "Project", Project.slug, link="/projects/{project}"),
            Column("task", "Task", Project.task),
            Column("size_bytes", "Size", ChainVersion.size_bytes, "bytes"),
            Column("time", "Made", ChainVersion.time, "time"),
            Column("weights", "Weights", ChainVersion.weights, "id", is_hidden=True),
        ),
        _rows(actor),
        cast(ChainVersion.run, BigInteger) * _VERSIONS + ChainVersion.version,
        "-time",
        tick="cid",
        empty="No model yet. The first one appears as soon as a run has started.",
        search=(
            ChainVersion.cid,
            ChainVersion.weights,
            Run.name,
            ChainRun.name,
            Project.title,
            members.scalar_subquery(),
        ),
        filters=(
            Filter("project", "Project", Project.slug, sorted(slugs)),
            Filter("task", "Task", Project.task, TASKS),
            Filter("alias", "Alias", ModelNote.alias, ALIASES),
        ),
    )


def find_model(db: Session, actor: Actor, store: DirectoryStore, cid: str, slug: str = "") -> Model:
    """Return a version by its CID, the newest where several runs have it; `slug` says of which project.

    Raises `NotFound` for missing ones and those of others alike.
    """
    query = _rows(actor).where(ChainVersion.cid == cid).order_by(ChainVersion.run.desc())
    found = db.execute(query.add_columns(ChainVersion, ChainRun, Project, Run, ModelNote)).all()
    chosen = [one for one in found if slug in ("", one.Project.slug)]
    if not chosen:
        raise NotFound("such model")
    row, chain_run, project, run, note = chosen[0]
    require(db, actor, Action.SEE, project, "such model")
    manifest, trouble, is_damaged = _manifest(store, row.cid)
    others = sorted({one.Project.slug for one in found} - {project.slug})
    return Model(
        row,
        chain_run,
        project,
        run.name if run else None,
        run.score_name if run else UNKNOWN.name,
        note,
        manifest,
        trouble,
        is_damaged,
        _ancestors(store, row.cid) if manifest else (),
        _scores(db, row),
        _ballot(db, row),
        others,
    )


def weights_of(
    db: Session, actor: Actor, store: DirectoryStore, cid: str, slug: str = ""
) -> tuple[Model, Cid]:
    """Return a version and the CID of its weights, all of whose bytes were checked just now.

    Raises `ObjectMissing` or `ObjectDamaged` when the store has no sound copy.
    """
    model = find_model(db, actor, store, cid, slug)
    if model.manifest is None:
        raise (ObjectDamaged if model.is_damaged else ObjectMissing)(model.trouble)
    store.verify(model.manifest.weights)
    return model, model.manifest.weights


def write_note(
    db: Session, actor: Actor, model: Model, alias: str, description: str, limits: str
) -> ModelNote:
    """Change what a project says about a version; only leads may. A champion takes the place of the last one.

    Raises `Invalid` naming each field that will not do.
    """
    require(db, actor, Action.EDIT_PROJECT, model.project, "such model")
    faults = {}
    if alias not in ("", *ALIASES):
        faults["alias"] = f"must be empty or one of {', '.join(ALIASES)}"
    for name, text in (("description", description), ("limits", limits)):
        if len(text) > _LONGEST or "\0" in text:
            faults[name] = f"at most {_LONGEST:,} characters"
    if faults:
        raise Invalid(faults)
    if alias == "champion":
        last = select(ModelNote).filter_by(project_id=model.project.id, alias=alias)
        for note in db.scalars(last):
            note.alias = ""
    note = model.note or ModelNote(cid=model.row.cid, project_id=model.project.id)
    note.alias, note.description, note.limits = alias, description.strip(), limits.strip()
    db.add(note)
    record(db, actor, "describe model", model.row.cid, model.project.id, alias)
    return note


def _manifest(store: DirectoryStore, cid: str) -> tuple[ModelManifest | None, str, bool]:
    """Return the manifest; or None, what is wrong with it, and whether it is damaged."""
    try:
        manifest = get_manifest(store, check_cid(cid))
    except ObjectDamaged as error:
        return None, f"the copy here does not match its hash: {error.message}", True
    except FoedusError as error:
        return None, f"no copy is here: {error.message}", False
    if not store.has(manifest.weights):
        return manifest, f"no copy of its weights is here: {manifest.weights}", False
    return manifest, "", False


def _ancestors(store: DirectoryStore, cid: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    try:
        found.extend((one, m.version) for one, m in islice(lineage(store, Cid(cid)), 1, _LINEAGE + 1))
    except FoedusError:
        return found  # the line ends where the store lacks a version
    return found


def _scores(db: Session, row: ChainVersion) -> list[Score]:
    here = {"run": row.run, "round": row.round}
    votes = {vote.client: vote for vote in db.scalars(select(ChainVote).filter_by(**here))}
    answers = {
        answer.client: answer
        for answer in db.scalars(select(ChainAnswer).filter_by(**here).order_by(ChainAnswer.step))
        if answer.cid is not None
    }
    scores = []
    for client in sorted({*votes, *answers}):
        vote, answer = votes.get(client), answers.get(client)
        scores.append(
            Score(
                client,
                answer.num_examples if answer else None,
                vote.score_ppb / SCORE_SCALE if vote else None,
                vote.base_score_ppb / SCORE_SCALE if vote else None,
                Choice(vote.choice).name.lower() if vote else "",
                vote.tx if vote else answer.tx if answer else "",
            )
        )
    return scores


def _ballot(db: Session, row: ChainVersion) -> Ballot | None:
    held = db.get(ChainRound, (row.run, row.round))
    if held is None:
        return None  # version 0: nobody voted on it
    here: ColumnElement[bool] = (ChainVote.run == row.run) & (ChainVote.round == row.round)
    choices = list(db.scalars(select(ChainVote.choice).where(here)))
    yes, no, abstain = (choices.count(int(one)) for one in (Choice.YES, Choice.NO, Choice.ABSTAIN))
    return Ballot(yes, no, abstain, held.electorate, held.ended_tx)
