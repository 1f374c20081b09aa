"""Pages of models."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from foedus.core.canonical import canonical_json
from foedus.core.ids import Cid
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, can
from foedus.server.downloads import download
from foedus.server.errors import Invalid, NotFound
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.pages.notices import Notice
from foedus.server.pages.render import list_page, page, see
from foedus.server.services import models, use_model
from foedus.server.services.model_views import graph_of, lineage_in_words, parts_of

router = APIRouter(prefix="/models")

Text = Annotated[str, Form(max_length=10_000)]
Chosen = Annotated[str, Query(max_length=200)]


@router.get("")
def index(request: Request, db: Db, actor: ActorDep) -> Response:
    """List the versions that one may see."""
    return list_page(request, db, models.model_listing(db, actor), "models/index.html")


@router.get("/compare")
def compare(
    request: Request,
    db: Db,
    actor: ActorDep,
    platform: PlatformDep,
    a: Chosen = "",
    b: Chosen = "",
    cid: Annotated[tuple[str, ...], Query()] = (),
) -> Response:
    """Show two versions side by side, or the form with what is wrong; `cid`: those ticked in the list."""
    if cid:
        a, b = (*cid, "")[:2]
    form = {"a": a.strip(), "b": b.strip()}
    if len(cid) not in (0, 2):
        return _compare(request, 422, form, f"Tick two models, not {len(cid)}.")
    if not a or not b:
        return _compare(request, 200, form)
    pair, faults = [], {}
    for name, one in form.items():
        try:
            pair.append(models.find_model(db, actor, platform.store, one))
        except NotFound as error:
            faults[name] = error.message
    if faults:
        return _compare(request, 404, form, "A model was not found.", faults)
    return _compare(request, 200, form, pair=pair)


@router.get("/{cid}")
def show(
    request: Request, db: Db, actor: ActorDep, platform: PlatformDep, cid: str, project: Chosen = ""
) -> Response:
    """Show a version."""
    return _show(request, db, actor, models.find_model(db, actor, platform.store, cid, project))


@router.post("/{cid}")
def describe(
    request: Request,
    db: Db,
    actor: ActorDep,
    platform: PlatformDep,
    cid: str,
    project: Chosen = "",
    alias: Text = "",
    description: Text = "",
    limits: Text = "",
) -> Response:
    """Change what the project says about a version, or show the form again with what is wrong."""
    model = models.find_model(db, actor, platform.store, cid, project)
    try:
        models.write_note(db, actor, model, alias, description, limits)
    except Invalid as error:
        form = {"alias": alias, "description": description, "limits": limits}
        return _show(request, db, actor, model, form, error)
    return see(f"/models/{model.row.cid}?project={model.project.slug}", Notice.SAVED)


@router.get("/{cid}/weights")
def weights(db: Db, actor: ActorDep, platform: PlatformDep, cid: str, project: Chosen = "") -> Response:
    """Send the weights, checked against their CID before the first byte."""
    model, found = models.weights_of(db, actor, platform.store, cid, project)
    return download(
        platform.store, found, f"{model.chain_run.name or 'model'}-v{model.row.version}.safetensors"
    )


@router.get("/{cid}/manifest")
def manifest(db: Db, actor: ActorDep, platform: PlatformDep, cid: str, project: Chosen = "") -> Response:
    """Send the manifest as it is stored."""
    model = models.find_model(db, actor, platform.store, cid, project)
    if model.manifest is None:
        return download(platform.store, Cid(cid), "manifest.json")  # says what is wrong with it
    headers = {"Content-Disposition": f'attachment; filename="manifest-v{model.row.version}.json"'}
    return Response(canonical_json(model.manifest.to_json()), media_type="application/json", headers=headers)


@router.get("/{cid}/project")
def new_project(
    request: Request, db: Db, actor: ActorDep, platform: PlatformDep, cid: str, project: Chosen = ""
) -> Response:
    """Show the form for a project that starts from a version."""
    model = models.find_model(db, actor, platform.store, cid, project)
    return page(request, "models/project.html", model=model, form={}, faults={})


@router.post("/{cid}/project")
def start_project(
    request: Request,
    db: Db,
    actor: ActorDep,
    platform: PlatformDep,
    cid: str,
    project: Chosen = "",
    slug: Text = "",
    title: Text = "",
    goal: Text = "",
) -> Response:
    """Found a project that starts from a version, or show the form again with what is wrong."""
    try:
        made = use_model.project_from_model(db, actor, platform, cid, slug, title, goal, project)
    except Invalid as error:
        model = models.find_model(db, actor, platform.store, cid, project)
        form = {"slug": slug, "title": title, "goal": goal}
        return page(request, "models/project.html", 422, model=model, form=form, faults=error.fields)
    return see(f"/projects/{made.slug}", Notice.FOUNDED)


def _compare(
    request: Request,
    status: int,
    form: dict[str, str],
    trouble: str = "",
    faults: dict[str, str] | None = None,
    pair: Sequence[models.Model] = (),
) -> Response:
    scored = [{score.client: score for score in one.scores} for one in pair]
    clients = sorted({client for one in scored for client in one})
    scores = [(client, *(one.get(client) for one in scored)) for client in clients]
    values = {"form": form, "trouble": trouble, "faults": faults or {}, "pair": pair, "scores": scores}
    return page(request, "models/compare.html", status, **values)


def _show(
    request: Request,
    db: Db,
    actor: Actor,
    model: models.Model,
    form: dict[str, str] | None = None,
    error: Invalid | None = None,
) -> Response:
    note = model.note
    shown = form or {
        "alias": note.alias if note else "",
        "description": note.description if note else "",
        "limits": note.limits if note else "",
    }
    return page(
        request,
        "models/show.html",
        422 if error else 200,
        model=model,
        graph=graph_of(model),
        graph_rows=parts_of(model),
        graph_summary=lineage_in_words(model),
        form=shown,
        faults=error.fields if error else {},
        aliases=("", *models.ALIASES),
        may_edit=can(db, actor, Action.EDIT_PROJECT, model.project).allowed,
    )
