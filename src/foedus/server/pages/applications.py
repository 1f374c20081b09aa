"""Pages of applications: the catalogue, and the form that submits one."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from foedus.server.auth.actors import Actor
from foedus.server.errors import Invalid
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.pages.notices import Notice
from foedus.server.pages.render import page, see
from foedus.server.platform import Platform
from foedus.server.services import applications
from foedus.server.services.datasets import ready_datasets
from foedus.site.launchers import resources_of

router = APIRouter()

_MOST_FIELDS = 200


async def _fields(request: Request) -> dict[str, str]:
    """Read a form whose fields depend on the application; files in it are left out."""
    form = await request.form(max_files=0, max_fields=_MOST_FIELDS)
    return {name: value for name, value in form.items() if isinstance(value, str)}


Fields = Annotated[dict[str, str], Depends(_fields)]


@router.get("/applications")
def index(request: Request, actor: ActorDep, platform: PlatformDep) -> Response:
    """List the applications."""
    return page(request, "applications/index.html", found=applications.catalogue(platform))


@router.get("/applications/{name}")
def show(
    request: Request, db: Db, actor: ActorDep, platform: PlatformDep, name: str, model: str = ""
) -> Response:
    """Show an application and the form for its parameters; `model` fills in the field of that name."""
    return _show(request, db, actor, platform, name, {"model": model[:100]}, {})


@router.post("/applications/{name}")
def submit(
    request: Request, db: Db, actor: ActorDep, platform: PlatformDep, name: str, fields: Fields
) -> Response:
    """Note a batch job, or show the form again with what is wrong."""
    resources = {key[2:]: value for key, value in fields.items() if key.startswith("r-")}
    dataset = resources.pop("dataset", "")
    parameters = {key: value for key, value in fields.items() if not key.startswith("r-")}
    try:
        job = applications.submit_job(db, actor, platform, name, parameters, resources, dataset)
    except Invalid as error:
        return _show(request, db, actor, platform, name, fields, error.fields)
    return see(f"/jobs/{job.id}", Notice.JOB_SUBMITTED)


def _show(
    request: Request,
    db: Session,
    actor: Actor,
    platform: Platform,
    name: str,
    form: dict[str, str],
    faults: dict[str, str],
) -> Response:
    application = applications.find_application(platform, name)
    return page(
        request,
        "applications/show.html",
        422 if faults else 200,
        application=application,
        usual=resources_of(platform.site, application),
        asked=applications.ASKED,
        default_of=applications.plain_default,
        ready=[one.name for one in ready_datasets(db, actor.user_id)],
        form=form,
        faults=faults,
    )
