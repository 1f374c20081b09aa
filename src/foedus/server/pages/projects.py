"""Pages of projects."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from foedus.server.errors import Invalid
from foedus.server.http import ActorDep, Db
from foedus.server.pages.notices import Notice
from foedus.server.pages.render import list_page, page, see
from foedus.server.services import projects

router = APIRouter()

Text = Annotated[str, Form(max_length=10_000)]


@router.get("/projects")
def index(request: Request, db: Db, actor: ActorDep) -> Response:
    """List my projects."""
    return list_page(request, db, projects.project_listing(actor), "projects/index.html")


@router.get("/projects/new")
def new(request: Request, actor: ActorDep) -> Response:
    """Show the form for a new project."""
    return page(request, "projects/new.html", form={}, faults={}, tasks=projects.TASKS)


@router.post("/projects/new")
def create(
    request: Request,
    db: Db,
    actor: ActorDep,
    slug: Text = "",
    title: Text = "",
    goal: Text = "",
    task: Text = "",
) -> Response:
    """Found a project, or show the form again with what is wrong."""
    try:
        project = projects.create_project(db, actor, slug, title, goal, task)
    except Invalid as error:
        form = {"slug": slug, "title": title, "goal": goal, "task": task}
        return page(request, "projects/new.html", 422, form=form, faults=error.fields, tasks=projects.TASKS)
    return see(f"/projects/{project.slug}", Notice.FOUNDED)
