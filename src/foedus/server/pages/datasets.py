"""Pages of datasets, and the browser of folders in which their data lie."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import Response

from foedus.server.errors import Invalid
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.pages.notices import Notice
from foedus.server.pages.render import list_page, page, see
from foedus.server.services import datasets, places

router = APIRouter()

Text = Annotated[str, Form(max_length=10_000)]
RowId = Annotated[int, Path(ge=1, lt=2**31)]
Place = Annotated[str, Query(max_length=2000)]
Root = Annotated[int, Query(ge=0, lt=1000)]


@router.get("/datasets")
def index(request: Request, db: Db, actor: ActorDep) -> Response:
    """List my datasets."""
    return list_page(request, db, datasets.dataset_listing(actor), "datasets/index.html")


@router.get("/datasets/browse")
def browse(
    request: Request, actor: ActorDep, platform: PlatformDep, root: Root = 0, place: Place = ""
) -> Response:
    """Show a folder below a root of the site."""
    roots = places.roots_of(platform.server.data_roots, actor.name)
    folder = places.browse(roots, root, place) if roots else None
    return page(request, "datasets/browse.html", folder=folder, roots=[path.name for path in roots])


@router.get("/datasets/new")
def new(request: Request, actor: ActorDep, place: Place | None = None, root: Root = 0) -> Response:
    """Show the form for a new dataset, once its place is chosen."""
    if place is None:
        return see("/datasets/browse")
    form = {"root": root, "place": place, "val": "0.1", "test": "0.1", "seed": "1"}
    return _form(request, form, {})


@router.post("/datasets/new")
def create(
    request: Request,
    db: Db,
    actor: ActorDep,
    platform: PlatformDep,
    name: Text = "",
    kind: Text = "",
    root: Text = "0",
    place: Text = "",
    recipe: Text = "",
    val: Text = "0.1",
    test: Text = "0.1",
    seed: Text = "1",
    licence: Text = "",
) -> Response:
    """Note a dataset to be read by a worker, or show the form again with what is wrong."""
    form = {
        "name": name,
        "kind": kind,
        "root": root,
        "place": place,
        "recipe": recipe,
        "val": val,
        "test": test,
        "seed": seed,
        "licence": licence,
    }
    try:
        dataset = datasets.register_dataset(db, actor, platform, form)
    except Invalid as error:
        return _form(request, form, error.fields, 422)
    return see(f"/datasets/{dataset.id}", Notice.DATASET_NOTED)


@router.get("/datasets/{dataset_id}")
def show(request: Request, db: Db, actor: ActorDep, dataset_id: RowId) -> Response:
    """Show one of my datasets."""
    dataset = datasets.find_dataset(db, actor, dataset_id)
    metadata = dataset.metadata_ or {}
    rows = list(enumerate(metadata.get("histogram", ())))
    return page(request, "datasets/show.html", dataset=dataset, metadata=metadata, rows=rows)


@router.post("/datasets/{dataset_id}/withdraw")
def withdraw(db: Db, actor: ActorDep, dataset_id: RowId) -> Response:
    """Take a dataset out of use."""
    dataset = datasets.withdraw_dataset(db, actor, dataset_id)
    return see(f"/datasets/{dataset.id}", Notice.DATASET_WITHDRAWN)


def _form(request: Request, form: dict[str, Any], faults: dict[str, str], status: int = 200) -> Response:
    return page(request, "datasets/new.html", status, form=form, faults=faults, kinds=datasets.KINDS)
