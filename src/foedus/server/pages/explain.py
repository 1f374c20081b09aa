"""Pages of heat maps over the images that sites show, and of the images of one's own datasets."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from foedus.server.auth.actors import Actor
from foedus.server.errors import Conflict, Invalid
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.pages.notices import Notice
from foedus.server.pages.render import page, see
from foedus.server.services import explain, images, runs
from foedus.server.services.datasets import find_dataset
from foedus.server.services.explain_page import show

router = APIRouter()

RowId = Annotated[int, Path(ge=1, lt=2**31)]
Text = Annotated[str, Form(max_length=1000)]

_PNG = "image/png"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows, as its address says: empty texts stand for the usual."""

    image: Annotated[str, Query(max_length=200)] = ""
    round: Annotated[str, Query(max_length=200)] = ""
    target: Annotated[str, Query(alias="class", max_length=200)] = ""
    layer: Annotated[str, Query(max_length=200)] = ""


ShownDep = Annotated[Shown, Depends()]


@router.get("/runs/{name}/explain")
def index(request: Request, db: Db, actor: ActorDep, name: str, asked: ShownDep) -> Response:
    """Show an image, a version's heat map over it, and how that changed over the rounds."""
    return _show(request, db, actor, name, asked)


@router.get("/runs/{name}/explain/now")
def now(request: Request, db: Db, actor: ActorDep, name: str, asked: ShownDep) -> Response:
    """Return the maps of that page as they are now."""
    return _show(request, db, actor, name, asked, "explain/_maps.html")


@router.post("/runs/{name}/explain")
def ask(
    request: Request,
    db: Db,
    actor: ActorDep,
    platform: PlatformDep,
    name: str,
    image: Text = "",
    round: Text = "",
    target: Annotated[str, Form(alias="class", max_length=1000)] = "",
    layer: Text = "",
    rounds: Text = "",
) -> Response:
    """Ask for a heat map, or with `rounds=all` for those over the whole run, or say what is wrong."""
    try:
        wish = explain.Wish(_number(image, "image") or 0, explain.parse_class(target), layer)
        explain.ask(db, platform, actor, name, wish, _number(round, "round"), rounds == "all")
    except (Invalid, Conflict) as error:
        runs.find_run(db, actor, name)  # strangers learn nothing of what is wrong
        faults = error.fields if isinstance(error, Invalid) else {"image": f"{error.message}. {error.hint}"}
        return _show(request, db, actor, name, Shown(), faults=faults)
    return see(explain.address(name, wish, round))


@router.get("/runs/{name}/explain/images/{image}")
def picture(db: Db, actor: ActorDep, name: str, image: RowId) -> Response:
    """Send an image that a site shows."""
    return Response(explain.png_of(db, runs.find_run(db, actor, name), image), media_type=_PNG)


@router.get("/runs/{name}/explain/maps/{map}/heat")
def heat(db: Db, actor: ActorDep, name: str, map: RowId) -> Response:
    """Send a heat map."""
    return Response(explain.map_png_of(db, runs.find_run(db, actor, name), map), media_type=_PNG)


@router.get("/runs/{name}/explain/maps/{map}/mask")
def mask(db: Db, actor: ActorDep, name: str, map: RowId) -> Response:
    """Send the mask that the model predicts."""
    found = explain.map_png_of(db, runs.find_run(db, actor, name), map, is_mask=True)
    return Response(found, media_type=_PNG)


@router.get("/datasets/{dataset_id}/images")
def of_dataset(request: Request, db: Db, actor: ActorDep, dataset_id: RowId) -> Response:
    """Show which images of a dataset of mine others see."""
    return _approved(request, db, actor, dataset_id, {}, {})


@router.post("/datasets/{dataset_id}/images")
def approve(
    request: Request, db: Db, actor: ActorDep, dataset_id: RowId, places: Text = "", per_label: Text = ""
) -> Response:
    """Let images be seen, or say what is wrong."""
    find_dataset(db, actor, dataset_id)
    try:
        count = _number(per_label, "per_label") or 0
        images.approve_images(db, actor, dataset_id, images.parse_places(places), count)
    except (Invalid, Conflict) as error:
        form = {"places": places, "per_label": per_label}
        faults = error.fields if isinstance(error, Invalid) else {"places": f"{error.message}. {error.hint}"}
        return _approved(request, db, actor, dataset_id, form, dict(faults))
    return see(f"/datasets/{dataset_id}/images", Notice.IMAGES_ASKED)


@router.post("/datasets/{dataset_id}/images/withdraw")
def withdraw(db: Db, actor: ActorDep, dataset_id: RowId, image: Text = "") -> Response:
    """Take an image back, or all of them."""
    find_dataset(db, actor, dataset_id)
    images.withdraw_images(db, actor, dataset_id, _number(image, "image"))
    return see(f"/datasets/{dataset_id}/images", Notice.IMAGES_WITHDRAWN)


@router.get("/datasets/{dataset_id}/images/{image}")
def own_picture(db: Db, actor: ActorDep, dataset_id: RowId, image: RowId) -> Response:
    """Send an image of a dataset of mine that others see."""
    return Response(images.own_image(db, actor, dataset_id, image).png, media_type=_PNG)


def _show(
    request: Request,
    db: Session,
    actor: Actor,
    name: str,
    asked: Shown,
    template: str = "explain/show.html",
    faults: dict[str, str] | None = None,
) -> Response:
    run = runs.find_run(db, actor, name)
    wanted = _number(asked.image, "image"), _number(asked.round, "round"), explain.parse_class(asked.target)
    shown = show(db, actor, run, *wanted, asked.layer)
    values: dict[str, Any] = {
        "run": run,
        "shown": shown,
        "faults": faults or {},
        "round": asked.round,
        "address": explain.address,
    }
    return page(request, template, 422 if faults else 200, **values)


def _approved(
    request: Request, db: Session, actor: Actor, dataset_id: int, form: dict[str, str], faults: dict[str, str]
) -> Response:
    dataset = find_dataset(db, actor, dataset_id)
    return page(
        request,
        "explain/images.html",
        422 if faults else 200,
        dataset=dataset,
        images=images.approved_images(db, dataset),
        request_=images.latest_request(db, dataset),
        projects=images.audience(db, dataset),
        most=images.MOST_IMAGES,
        form=form,
        faults=faults,
    )


def _number(text: str, field: str) -> int | None:
    """Read a whole number of a form; nothing is None. Raises `Invalid`."""
    words = text.strip()
    if not words:
        return None
    if not (words.isascii() and words.isdigit() and len(words) < 10):
        raise Invalid({field: "must be a whole number from 0"})
    return int(words)
