"""Pages of one project: overview, data, settings."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy.orm import Session

from foedus.core.ids import Cid
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, can
from foedus.server.errors import Conflict, Invalid
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.pages.jobs import chunks
from foedus.server.pages.notices import Notice
from foedus.server.pages.render import page, see
from foedus.server.services import contributions, datasets, overview, projects, shared_data

router = APIRouter()

Text = Annotated[str, Form(max_length=10_000)]
RowId = Annotated[int, Path(ge=1, lt=2**31)]


@router.get("/projects/{slug}")
def show(request: Request, db: Db, actor: ActorDep, slug: str) -> Response:
    """Show a project."""
    return page(request, "projects/show.html", view=overview.overview(db, actor, slug))


@router.get("/projects/{slug}/data")
def data(request: Request, db: Db, actor: ActorDep, slug: str) -> Response:
    """Show what members contribute, and let them choose."""
    return _data(request, db, actor, slug)


@router.post("/projects/{slug}/data/contribution")
def contribute(
    request: Request, db: Db, actor: ActorDep, slug: str, dataset: Text = "", mixes_shared: Text = ""
) -> Response:
    """Choose the dataset that the actor trains on."""
    try:
        contributions.contribute(db, actor, slug, _number(dataset, "dataset"), bool(mixes_shared))
    except Invalid as error:
        return _data(request, db, actor, slug, error.fields)
    return see(f"/projects/{slug}/data", Notice.SAVED)


@router.post("/projects/{slug}/data/evaluation")
def evaluation(request: Request, db: Db, actor: ActorDep, slug: str, dataset: Text = "") -> Response:
    """Choose the dataset that everybody is scored on; it stays as it is when none was chosen."""
    try:
        number = _number(dataset, "dataset")
        if number is None:
            projects.find_project(db, actor, slug, Action.EDIT_PROJECT)
        else:
            contributions.choose_evaluation(db, actor, slug, number)
    except Invalid as error:
        return _data(request, db, actor, slug, error.fields)
    return see(f"/projects/{slug}/data", Notice.SAVED)


@router.post("/projects/{slug}/data/evaluation/remove")
def remove_evaluation(db: Db, actor: ActorDep, slug: str) -> Response:
    """Leave the project without a dataset that everybody is scored on."""
    contributions.choose_evaluation(db, actor, slug, None)
    return see(f"/projects/{slug}/data", Notice.EVALUATION_REMOVED)


@router.post("/projects/{slug}/data/shared")
def publish(
    request: Request,
    db: Db,
    actor: ActorDep,
    slug: str,
    dataset: Text = "",
    examples: Text = "",
    seed: Text = "1",
) -> Response:
    """Publish some examples to the members."""
    try:
        numbers = {"dataset": dataset, "examples": examples, "seed": seed}
        found = {name: _number(text, name) or 0 for name, text in numbers.items()}
        shared_data.publish_shared(db, actor, slug, found["dataset"], found["examples"], found["seed"])
    except Invalid as error:
        return _data(request, db, actor, slug, error.fields)
    return see(f"/projects/{slug}/data", Notice.SHARING)


@router.get("/projects/{slug}/data/shared/{shared_id}")
def download(db: Db, actor: ActorDep, platform: PlatformDep, slug: str, shared_id: RowId) -> Response:
    """Give a member the file of shared data, as it is in the store."""
    found = shared_data.find_shared(db, actor, slug, shared_id)
    if found.cid is None:
        raise Conflict("these data are not published yet", "Try again in a while.")
    file = platform.store.open(Cid(found.cid))
    headers = {"Content-Disposition": f'attachment; filename="shared-{found.id}.safetensors"'}
    return StreamingResponse(chunks(file), media_type="application/octet-stream", headers=headers)


@router.get("/projects/{slug}/settings")
def settings(request: Request, db: Db, actor: ActorDep, slug: str) -> Response:
    """Show the form for what a lead may change."""
    project = projects.find_project(db, actor, slug, Action.EDIT_PROJECT)
    form = {"title": project.title, "goal": project.goal, "task": project.task}
    return _settings(request, db, actor, slug, form, {})


@router.post("/projects/{slug}/settings")
def edit(
    request: Request, db: Db, actor: ActorDep, slug: str, title: Text = "", goal: Text = "", task: Text = ""
) -> Response:
    """Change what the project says of itself."""
    try:
        projects.edit_project(db, actor, slug, title, goal, task)
    except Invalid as error:
        form = {"title": title, "goal": goal, "task": task}
        return _settings(request, db, actor, slug, form, error.fields)
    return see(f"/projects/{slug}", Notice.SAVED)


@router.post("/projects/{slug}/settings/policy")
def policy(db: Db, actor: ActorDep, slug: str, asks_votes: Text = "") -> Response:
    """Choose whether members are asked to vote."""
    contributions.set_policy(db, actor, slug, bool(asks_votes))
    return see(f"/projects/{slug}/settings", Notice.SAVED)


@router.post("/projects/{slug}/settings/freeze")
def freeze(db: Db, actor: ActorDep, slug: str) -> Response:
    """Keep the policy as it is."""
    contributions.freeze_policy(db, actor, slug)
    return see(f"/projects/{slug}/settings", Notice.FROZEN)


@router.post("/projects/{slug}/settings/archive")
def archive(db: Db, actor: ActorDep, slug: str, is_archived: Text = "") -> Response:
    """Close the project for new runs, or open it again."""
    projects.archive_project(db, actor, slug, bool(is_archived))
    return see(f"/projects/{slug}/settings", Notice.ARCHIVED if is_archived else Notice.REOPENED)


def _number(text: str, field: str) -> int | None:
    """Return the chosen number, None for an empty choice. Raises `Invalid`."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid({field: "must be a whole number"})
    return int(text)


def _data(
    request: Request, db: Session, actor: Actor, slug: str, faults: dict[str, str] | None = None
) -> Response:
    project = projects.find_project(db, actor, slug)
    found = contributions.contributions(db, actor, project)
    chart = contributions.classes_chart(found)
    may_edit = can(db, actor, Action.EDIT_PROJECT, project).allowed
    counts: list[Any] = [
        [name, *map(datasets.shown_count, row)] for name, row in zip(chart["y"], chart["values"], strict=True)
    ]
    return page(
        request,
        "projects/data.html",
        422 if faults else 200,
        project=project,
        mine=contributions.membership_of(db, actor, project),
        ready=datasets.ready_datasets(db, actor.user_id),
        found=found,
        chart_values=chart,
        counts=counts,
        about=datasets.about,
        shared=shared_data.shared_datasets(db, actor, project),
        may_contribute=can(db, actor, Action.CONTRIBUTE, project).allowed,
        may_edit=may_edit,
        foreign_evaluation=contributions.foreign_evaluation(db, actor, project) if may_edit else "",
        faults=faults or {},
    )


def _settings(
    request: Request, db: Session, actor: Actor, slug: str, form: dict[str, str], faults: dict[str, str]
) -> Response:
    project = projects.find_project(db, actor, slug, Action.EDIT_PROJECT)
    return page(
        request,
        "projects/settings.html",
        422 if faults else 200,
        project=project,
        form=form,
        faults=faults,
        tasks=projects.TASKS,
        is_owner=can(db, actor, Action.MANAGE_OWNERS, project).allowed,
    )
