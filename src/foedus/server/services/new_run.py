"""New runs: the spec checked, the clients taken from the members who contribute data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from foedus.core.errors import FoedusError, InvalidSpec
from foedus.core.ids import Cid
from foedus.rounds.documents import ModelSpec, fetch
from foedus.rounds.setup import weights_to_start_from
from foedus.rounds.spec import RunSpec, parse_spec
from foedus.server.auth import limits
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action
from foedus.server.db import Dataset, Membership, Project, Run, RunClient
from foedus.server.errors import Conflict, Invalid
from foedus.server.platform import Platform
from foedus.server.services.applications import may_read_model
from foedus.server.services.audit import record
from foedus.server.services.projects import find_project
from foedus.server.services.run_choices import all_arguments, faults_of_choices
from foedus.store import get_manifest


@dataclass(frozen=True, slots=True)
class Checked:
    """A spec that a run may have, and who would train."""

    project: Project
    spec: RunSpec
    clients: Sequence[Membership]

    def estimate(self) -> list[str]:
        """Say in words what the run would cost."""
        spec, training = self.spec, self.spec.clients_per_round
        longest = spec.rounds * (spec.policy.deadline_s + 2 * spec.policy.vote_s)
        return [
            f"{spec.rounds:,} rounds with {training:,} of {len(self.clients):,} clients: "
            f"{spec.rounds * training:,} tasks of training, {spec.rounds:,} merges, "
            f"and up to {spec.rounds * len(self.clients):,} checks by voters.",
            f"Each task may take up to {_duration(spec.jobs.walltime_s)}; most take a small part of that.",
            f"If clients never answered, the deadlines would end the run after {_duration(longest)}.",
        ]


def check_run(
    db: Session,
    platform: Platform,
    actor: Actor,
    slug: str,
    spec: Mapping[str, Any],
    clients: Sequence[str] | None = None,
) -> Checked:
    """Check the spec of a run with these clients, all who contribute ready data if None; makes nothing.

    Of the spec, name, data and number of clients are the platform's to say. Raises `Conflict` naming what the
    project lacks, and `Invalid` naming each field that will not do.
    """
    project = find_project(db, actor, slug, Action.START_RUN)
    chosen = _chosen(_ready(db, project), clients)
    checked = _checked(spec, project, len(chosen))
    faults = faults_of_choices(checked, project.task) | _faults_of_policy(checked, project)
    if checked.model.start is not None and "model.name" not in faults:
        faults |= _faults_of_start(db, platform, actor, checked, project)
    if faults:
        raise Invalid(faults)
    return Checked(project, checked, chosen)


def count_start(platform: Platform, actor: Actor) -> None:
    """Count a try to start a run, before the request's own transaction begins. Raises `TooMany`."""
    limits.attempt(platform, limits.RUNS, actor.name)


def create_run(
    db: Session,
    platform: Platform,
    actor: Actor,
    slug: str,
    spec: Mapping[str, Any],
    title: str = "",
    clients: Sequence[str] | None = None,
) -> Run:
    """Ask for a run that `check_run` lets pass; a worker then drives it. Raises as that.

    Routes call `count_start` first.
    """
    project = find_project(db, actor, slug, Action.START_RUN)
    assert actor.user is not None, "find_project refuses nobody"
    db.refresh(project, with_for_update=True)  # two runs made at once must not get one name
    checked = check_run(db, platform, actor, slug, spec, clients)
    if len(title) > 200:
        raise Invalid({"title": "at most 200 characters"})
    number = (db.scalar(select(func.count()).where(Run.project_id == project.id)) or 0) + 1
    run = Run(
        name=f"{project.slug}-{number}",
        project_id=project.id,
        created_by=actor.user.id,
        title=title.strip(),
        spec=checked.spec.model_dump(mode="json"),
        algorithm=checked.spec.algorithm.name,
        rounds=checked.spec.rounds,
    )
    run.clients = [
        RunClient(
            user_id=one.user_id,
            client=one.client,
            account=one.user.account,
            dataset_id=one.dataset_id,
            mixes_shared=one.mixes_shared,
        )
        for one in checked.clients
    ]
    db.add(run)
    db.flush()
    record(db, actor, "start run", run.name, project.id)
    return run


def save_draft(db: Session, platform: Platform, actor: Actor, slug: str, spec: Mapping[str, Any]) -> Project:
    """Keep a spec as what the form for new runs starts from. Raises as `check_run`."""
    checked = check_run(db, platform, actor, slug, spec)
    checked.project.draft = checked.spec.model_dump(mode="json")
    record(db, actor, "save draft", slug, checked.project.id)
    return checked.project


def ready_clients(db: Session, project: Project) -> list[Membership]:
    """Return the members who contribute a dataset that is ready."""
    chosen = (
        select(Membership)
        .join(Dataset, Dataset.id == Membership.dataset_id)
        .where(Membership.project_id == project.id, Membership.state == "active", Dataset.state == "ready")
        .order_by(Membership.id)
    )
    return list(db.scalars(chosen))


def _ready(db: Session, project: Project) -> list[Membership]:
    if project.state != "active":
        raise Conflict("the project is archived", "Open it again in its settings.")
    if project.evaluation_id is None:
        raise Conflict("the project has no evaluation dataset", "Choose one on the page Data.")
    clients = ready_clients(db, project)
    if not clients:
        raise Conflict("no member contributes a ready dataset", "Contribute one on the page Data.")
    return clients


def _chosen(ready: list[Membership], names: Sequence[str] | None) -> list[Membership]:
    if names is None:
        return ready
    unknown = sorted(set(names) - {one.client for one in ready})
    if unknown:
        raise Invalid({"clients": f"{unknown[0][:32]} contributes no ready dataset here"})
    if not names:
        raise Invalid({"clients": "choose at least one"})
    return [one for one in ready if one.client in names]


def _checked(spec: Mapping[str, Any], project: Project, clients: int) -> RunSpec:
    partition = spec.get("partition", {})
    if not isinstance(partition, Mapping):
        raise Invalid({"partition": "must be a section"})
    ours = {
        "name": project.slug,
        "data": {"name": "members"},
        "partition": {**partition, "clients": clients},
    }
    try:
        checked = parse_spec({**spec, **ours})
    except InvalidSpec as error:
        raise Invalid(_by_field(error.message)) from error
    if checked.is_batched:
        raise Invalid({"jobs.launcher": "members bring their own data: use local"})
    return checked


def _faults_of_policy(spec: RunSpec, project: Project) -> dict[str, str]:
    """Say where a spec leaves a policy that was frozen."""
    if not project.policy_frozen or not project.draft:
        return {}
    try:
        agreed = parse_spec(project.draft).policy
    except InvalidSpec:
        return {}
    return {
        f"policy.{name}": f"the policy is frozen: must be {value}"
        for name, value in agreed.model_dump().items()
        if getattr(spec.policy, name) != value
    }


def _faults_of_start(
    db: Session, platform: Platform, actor: Actor, spec: RunSpec, project: Project
) -> dict[str, str]:
    """Say why a run cannot start from a version; foreign and missing ones are the same."""
    start = str(spec.model.start)
    if start != project.origin and not may_read_model(db, actor, start):
        return {"model.start": "choose a version of a model in one of your projects"}
    try:
        known = fetch(platform.store, get_manifest(platform.store, Cid(start)).model, ModelSpec)
    except FoedusError:
        return {"model.start": "no sound copy of this version is here"}
    if known.name != spec.model.name:
        return {"model.start": f"this is a version of {known.name}: choose that model, or leave it empty"}
    if all_arguments(known.name, known.args) != all_arguments(known.name, spec.model.args):
        return {"model.start": "this version has other arguments of the model; choose those"}
    try:
        weights_to_start_from(platform.store, Cid(start), known)
    except FoedusError as error:
        return {"model.start": error.message}
    return {}


def _by_field(faults: str) -> dict[str, str]:
    """Return the faults of a spec by the key that each names; the rest belongs to the spec as a whole."""
    found: dict[str, str] = {}
    for line in faults.splitlines():
        key, colon, what = line.partition(": ")
        first = line.partition(" ")[0]
        if colon and " " not in key:
            found[".".join(key.split(".")[:3])] = what
        elif _is_key(first):
            found[first] = line
        else:
            found["spec"] = f"{found['spec']}; {line}" if "spec" in found else line
    return found


def _is_key(word: str) -> bool:
    section, _, name = word.partition(".")
    kind: Any = RunSpec.model_fields[section].annotation if section in RunSpec.model_fields else None
    return name in getattr(kind, "model_fields", ())


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:,.0f} seconds"
