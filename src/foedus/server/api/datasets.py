"""Datasets by the API: metadata only."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from foedus.server.api.lists import list_json
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.services import datasets

router = APIRouter(prefix="/datasets", tags=["datasets"])

RowId = Annotated[int, Path(ge=1, lt=2**31)]


class NewDataset(BaseModel):
    """Where data lie, and how they are to be read."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=64, examples=["lung-scans"])]
    kind: Annotated[str, Field(max_length=32, examples=["images"])]
    root: Annotated[int, Field(ge=0, lt=1000, description="number of one of the site's data roots")] = 0
    place: Annotated[str, Field(max_length=2000, description="path below the root")]
    recipe: Annotated[str, Field(max_length=10_000, description="one step per line")] = ""
    val: Annotated[float, Field(ge=0, lt=1)] = 0.1
    test: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: Annotated[int, Field(ge=0, le=2**53)] = 1
    licence: Annotated[str, Field(max_length=1000)] = ""


@router.get("")
def index(request: Request, db: Db, actor: ActorDep) -> dict[str, Any]:
    """List your datasets."""
    return list_json(request, db, datasets.dataset_listing(actor))


@router.post("", status_code=201)
def create(db: Db, actor: ActorDep, platform: PlatformDep, new: NewDataset) -> dict[str, Any]:
    """Register a dataset: a worker reads the data, and `state` then tells whether they are usable."""
    return datasets.as_json(datasets.register_dataset(db, actor, platform, new.model_dump()))


@router.get("/{dataset_id}")
def show(db: Db, actor: ActorDep, dataset_id: RowId) -> dict[str, Any]:
    """Return one of your datasets."""
    return datasets.as_json(datasets.find_dataset(db, actor, dataset_id))


@router.post("/{dataset_id}/withdraw")
def withdraw(db: Db, actor: ActorDep, dataset_id: RowId) -> dict[str, Any]:
    """Take a dataset out of use."""
    return datasets.as_json(datasets.withdraw_dataset(db, actor, dataset_id))
