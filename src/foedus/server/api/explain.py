"""Heat maps, and the images that sites show, by the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from foedus.server.api.lists import list_json
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.services import explain, images, runs
from foedus.server.services.datasets import find_dataset

router = APIRouter(tags=["heat maps"])

RowId = Annotated[int, Path(ge=1, lt=2**31)]
Number = Annotated[int, Field(ge=0, lt=2**31)]

_PICTURE: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewMap(_Body):
    """What is to be explained: an image, by a version, for a class. Null stands for newest and predicted."""

    image: Number
    round: Annotated[int | None, Field(ge=0, lt=2**31, description="of the version in force after it")] = None
    target: Annotated[int | None, Field(alias="class", ge=0, le=100_000)] = None
    layer: Annotated[str, Field(max_length=200, description="a convolution; the last one if empty")] = ""
    all_rounds: bool = False


class Approval(_Body):
    """Which images of a dataset others may see: by place, and the first ones of each label."""

    places: Annotated[list[Number], Field(max_length=images.MOST_IMAGES)] = []
    per_label: Annotated[int, Field(ge=0, le=images.MOST_PER_LABEL)] = 0


class Withdrawal(_Body):
    """Which image is taken back; null: all of them."""

    image: Number | None = None


@router.get("/runs/{name}/explain/images", operation_id="explain.images")
def shown_images(request: Request, db: Db, actor: ActorDep, name: str) -> dict[str, Any]:
    """List the images that sites show the members of the run's project."""
    run = runs.find_run(db, actor, name)
    return list_json(request, db, images.image_listing(run.project_id))


@router.get(
    "/runs/{name}/explain/images/{image}",
    response_class=Response,
    responses=_PICTURE,
    operation_id="explain.image",
)
def picture(db: Db, actor: ActorDep, name: str, image: RowId) -> Response:
    """Return an image as PNG."""
    return Response(explain.png_of(db, runs.find_run(db, actor, name), image), media_type="image/png")


@router.get("/runs/{name}/explain/maps")
def index(request: Request, db: Db, actor: ActorDep, name: str) -> dict[str, Any]:
    """List the heat maps of a run."""
    return list_json(request, db, explain.map_listing(runs.find_run(db, actor, name)))


@router.post("/runs/{name}/explain/maps", status_code=201)
def create(db: Db, actor: ActorDep, platform: PlatformDep, name: str, new: NewMap) -> dict[str, Any]:
    """Ask for a heat map, or for those of up to 10 versions over the whole run; a worker computes them.

    What was asked for before is returned as it is.
    """
    target = explain.PREDICTED if new.target is None else new.target
    wish = explain.Wish(new.image, target, new.layer)
    found = explain.ask(db, platform, actor, name, wish, new.round, new.all_rounds)
    return {"items": [explain.as_json(one) for one in found]}


@router.get("/runs/{name}/explain/maps/{map}")
def show(db: Db, actor: ActorDep, name: str, map: RowId) -> dict[str, Any]:
    """Return a heat map's state and figures."""
    return explain.as_json(explain.find_map(db, runs.find_run(db, actor, name), map))


@router.get("/runs/{name}/explain/maps/{map}/heat", response_class=Response, responses=_PICTURE)
def heat(db: Db, actor: ActorDep, name: str, map: RowId) -> Response:
    """Return a heat map as PNG: a pixel's index in the palette is 255 times its value."""
    return Response(explain.map_png_of(db, runs.find_run(db, actor, name), map), media_type="image/png")


@router.get("/runs/{name}/explain/maps/{map}/mask", response_class=Response, responses=_PICTURE)
def mask(db: Db, actor: ActorDep, name: str, map: RowId) -> Response:
    """Return the class's probability in each pixel as PNG, likewise; only of models for masks."""
    found = explain.map_png_of(db, runs.find_run(db, actor, name), map, is_mask=True)
    return Response(found, media_type="image/png")


@router.get("/datasets/{dataset_id}/images", operation_id="datasets.images")
def approved(db: Db, actor: ActorDep, dataset_id: RowId) -> dict[str, Any]:
    """Return which images of your dataset others see, and what became of your last request."""
    dataset = find_dataset(db, actor, dataset_id)
    request = images.latest_request(db, dataset)
    return {
        "items": [images.as_json(one) for one in images.approved_images(db, dataset)],
        "projects": [one.slug for one in images.audience(db, dataset)],
        "request": None if request is None else images.request_as_json(request),
    }


@router.post("/datasets/{dataset_id}/images", status_code=201, operation_id="datasets.approve_images")
def approve(db: Db, actor: ActorDep, dataset_id: RowId, new: Approval) -> dict[str, Any]:
    """Let the members of the dataset's projects see some images; a worker copies them."""
    return images.request_as_json(images.approve_images(db, actor, dataset_id, new.places, new.per_label))


@router.post("/datasets/{dataset_id}/images/withdraw", operation_id="datasets.withdraw_images")
def withdraw(db: Db, actor: ActorDep, dataset_id: RowId, which: Withdrawal) -> dict[str, Any]:
    """Take an image back, or all: nobody sees them any more, nor heat maps over them."""
    return {"withdrawn": images.withdraw_images(db, actor, dataset_id, which.image)}


@router.get(
    "/datasets/{dataset_id}/images/{image}",
    response_class=Response,
    responses=_PICTURE,
    operation_id="datasets.image",
)
def own_picture(db: Db, actor: ActorDep, dataset_id: RowId, image: RowId) -> Response:
    """Return an image of your dataset that others see, as PNG."""
    return Response(images.own_image(db, actor, dataset_id, image).png, media_type="image/png")
