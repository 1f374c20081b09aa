"""What members bring to a project, and its overview, by the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.pages.overview import download as give_file
from foedus.server.services import contributions, overview, projects, shared_data

router = APIRouter(prefix="/projects", tags=["projects"])

RowId = Annotated[int, Path(ge=1, lt=2**31)]
Number = Annotated[int, Field(ge=1, lt=2**31)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Contribution(_Body):
    """Which of your datasets trains in the project; null: none."""

    dataset: Number | None
    mixes_shared: bool = False


class Evaluation(_Body):
    """Which of your datasets everybody is scored on; null: none."""

    dataset: Number | None


class NewShared(_Body):
    """How many examples of one of your datasets every member may read."""

    dataset: Number
    examples: Number
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1


@router.get("/{slug}/overview", operation_id="projects.overview")
def show(db: Db, actor: ActorDep, slug: str) -> dict[str, Any]:
    """Return a project with its policy, members, last runs and model."""
    return overview.overview(db, actor, slug).to_json()


@router.get("/{slug}/data", operation_id="projects.data")
def data(db: Db, actor: ActorDep, slug: str) -> dict[str, Any]:
    """Return what members contribute, with small counts suppressed, and what is shared."""
    project = projects.find_project(db, actor, slug)
    return {
        "contributions": [one.to_json() for one in contributions.contributions(db, actor, project)],
        "shared": [shared_data.as_json(one) for one in shared_data.shared_datasets(db, actor, project)],
    }


@router.put("/{slug}/data/contribution", operation_id="projects.contribute")
def contribute(db: Db, actor: ActorDep, slug: str, wanted: Contribution) -> dict[str, Any]:
    """Choose the dataset that you train on."""
    found = contributions.contribute(db, actor, slug, wanted.dataset, wanted.mixes_shared)
    return {"dataset": found.dataset_id, "mixes_shared": found.mixes_shared}


@router.put("/{slug}/data/evaluation", operation_id="projects.choose_evaluation")
def evaluation(db: Db, actor: ActorDep, slug: str, wanted: Evaluation) -> dict[str, Any]:
    """Choose the dataset that everybody is scored on."""
    return {"dataset": contributions.choose_evaluation(db, actor, slug, wanted.dataset).evaluation_id}


@router.post("/{slug}/data/shared", status_code=201, operation_id="projects.publish_shared")
def publish(db: Db, actor: ActorDep, slug: str, new: NewShared) -> dict[str, Any]:
    """Publish some examples to the members."""
    found = shared_data.publish_shared(db, actor, slug, new.dataset, new.examples, new.seed)
    return shared_data.as_json(found)


@router.get(
    "/{slug}/data/shared/{shared_id}", response_class=Response, operation_id="projects.download_shared"
)
def download(db: Db, actor: ActorDep, platform: PlatformDep, slug: str, shared_id: RowId) -> Response:
    """Return the file of shared data."""
    return give_file(db, actor, platform, slug, shared_id)
