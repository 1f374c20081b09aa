"""What the first page of a project says: policy, scores, members, runs, the model, and what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from foedus.core.canonical import Json
from foedus.core.records import SCORE_SCALE
from foedus.rounds.spec import RunSpec
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, can
from foedus.server.db import ChainVersion, Membership, Project, Run
from foedus.server.services.contributions import membership_of
from foedus.server.services.curves import MOST_POINTS, rounded, thinned
from foedus.server.services.projects import as_json, find_project
from foedus.server.services.use_model import visible_origin

_MOST_RUNS: Final = 5
_MOST_MEMBERS: Final = 50


@dataclass(frozen=True, slots=True)
class Need:
    """One step of the checklist."""

    text: str
    link: str
    is_done: bool


@dataclass(frozen=True, slots=True)
class Model:
    """The current global model: the newest version of the newest run that has one."""

    cid: str
    version: int
    run: str
    score: float | None  # mean of the voters' scores
    score_name: str  # F1, Dice, R²


@dataclass(frozen=True, slots=True)
class Curve:
    """The best score so far after each round that gave a model, of one run."""

    run: str
    rounds: tuple[int, ...]
    best: tuple[float, ...]

    def after(self) -> dict[int, float]:
        """Return it after every round: one without a model leaves the best as it was."""
        known, best = dict(zip(self.rounds, self.best, strict=True)), 0.0
        return {
            number: (best := known.get(number, best)) for number in range(self.rounds[0], self.rounds[-1] + 1)
        }


@dataclass(frozen=True, slots=True)
class Overview:
    """A project as its first page shows it."""

    project: Project
    mine: Membership | None
    policy: tuple[str, ...]
    members: Sequence[Membership]
    runs: Sequence[Run]
    model: Model | None
    curves: tuple[Curve, ...]
    needs: tuple[Need, ...]
    may_start: bool
    may_edit: bool
    origin: str  # the version of a model that it was started from, when one may see it

    def chart(self) -> dict[str, Any]:
        """Return the curves as the chart `lines` wants them."""
        found = {curve.run: curve.after() for curve in self.curves}
        rounds = range(1, max(number for curve in self.curves for number in curve.rounds) + 1)
        most = MOST_POINTS // len(self.curves)
        x = sorted({number for known in found.values() for number in thinned(known, rounds, most)})
        lines = [
            {"name": name, "values": rounded([known.get(number) for number in x])}
            for name, known in found.items()
        ]
        return {"x": x, "x_name": "round", "y_name": "best score", "series": lines}

    def table(self) -> list[list[Any]]:
        """Return the same numbers as rows: of each round, the best score of each run."""
        values = self.chart()
        columns = [line["values"] for line in values["series"]]
        return [list(row) for row in zip(values["x"], *columns, strict=True)]

    def to_json(self) -> dict[str, Json]:
        """Return the overview as the API gives it."""
        model = self.model
        return {
            **as_json(self.project),
            "role": self.mine.role if self.mine else None,
            "policy": list(self.policy),
            "members": [
                {"name": one.user.name, "role": one.role, "contributes": one.dataset_id is not None}
                for one in self.members
            ],
            "runs": [{"name": run.name, "state": run.state, "score": run.score} for run in self.runs],
            "model": {"cid": model.cid, "version": model.version, "run": model.run} if model else None,
            "origin": self.origin or None,
            "needs": [need.text for need in self.needs if not need.is_done],
        }


def overview(db: Session, actor: Actor, slug: str) -> Overview:
    """Gather a project's overview. Raises `NotFound` for strangers."""
    project = find_project(db, actor, slug)
    members = db.scalars(
        select(Membership)
        .where(Membership.project_id == project.id, Membership.state == "active")
        .options(joinedload(Membership.user))
        .order_by(Membership.id)
        .limit(_MOST_MEMBERS)
    ).all()
    newest = select(Run).where(Run.project_id == project.id).order_by(Run.id.desc())
    runs = db.scalars(newest.limit(_MOST_RUNS)).all()
    return Overview(
        project,
        membership_of(db, actor, project),
        policy_in_words(project),
        members,
        runs,
        _model(db, project),
        tuple(curve for run in runs if (curve := _curve(db, run)) is not None),
        _needs(db, project, bool(runs)),
        can(db, actor, Action.START_RUN, project).allowed and project.state == "active",
        can(db, actor, Action.EDIT_PROJECT, project).allowed,
        visible_origin(db, actor, project),
    )


def policy_in_words(project: Project) -> tuple[str, ...]:
    """Say what the members agreed on, as the draft for new runs has it."""
    try:
        spec = RunSpec.model_validate(project.draft)
    except ValidationError:
        return ("The draft for new runs needs another look: open the form for a new run.",)
    policy = spec.policy
    closes = f"{policy.threshold} updates" if policy.threshold else "updates of all who train"
    decides = "members decide each ballot themselves" if project.asks_votes else "scores decide each ballot"
    frozen = "The policy is frozen." if project.policy_frozen else "Leads may still change the policy."
    return (
        f"Runs train {spec.rounds:,} rounds with {spec.algorithm.name}.",
        f"A round closes with {closes}, at the latest after {_duration(policy.deadline_s)}.",
        f"A ballot lasts {_duration(policy.vote_s)}; {decides}.",
        frozen,
    )


def _duration(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}" if seconds % size == 0 else f"{seconds / size:.1f} {unit}"
    return f"{seconds} s"


def _model(db: Session, project: Project) -> Model | None:
    found = db.execute(
        select(ChainVersion, Run)
        .join(Run, Run.chain_run == ChainVersion.run)
        .where(Run.project_id == project.id)
        .order_by(ChainVersion.run.desc(), ChainVersion.version.desc())
        .limit(1)
    ).first()
    if found is None:
        return None
    row, run = found
    score = None if row.score_ppb is None else row.score_ppb / SCORE_SCALE
    return Model(row.cid, row.version, run.name, score, run.score_name)


def _curve(db: Session, run: Run) -> Curve | None:
    if run.chain_run is None:
        return None
    rows = db.execute(
        select(ChainVersion.round, ChainVersion.score_ppb)
        .where(ChainVersion.run == run.chain_run, ChainVersion.score_ppb.is_not(None))
        .order_by(ChainVersion.version)
    ).all()
    scores = [score / SCORE_SCALE for _, score in rows if score is not None]
    return Curve(run.name, tuple(row.round for row in rows), tuple(accumulate(scores, max))) if rows else None


def _needs(db: Session, project: Project, has_runs: bool) -> tuple[Need, ...]:
    with_data = select(Membership.id).where(
        Membership.project_id == project.id, Membership.state == "active", Membership.dataset_id.is_not(None)
    )
    base = f"/projects/{project.slug}"
    return (
        Need("A member contributes a dataset", f"{base}/data", db.scalar(with_data.limit(1)) is not None),
        Need("A lead chooses the evaluation dataset", f"{base}/data", project.evaluation_id is not None),
        Need("A lead starts the first run", f"{base}/runs/new", has_runs),
    )
