"""Pages that lead to a new run: the form, and the look at the checked spec before it starts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from foedus.server.auth.permissions import Action
from foedus.server.db import Membership, Project
from foedus.server.errors import Conflict, Invalid
from foedus.server.http import ActorDep, Db, PlatformDep
from foedus.server.pages.notices import Notice
from foedus.server.pages.render import page, see
from foedus.server.services import datasets, new_run, projects, runs
from foedus.server.services.run_choices import form_of, sections, spec_of
from foedus.server.services.run_export import spec_toml

router = APIRouter()

_MOST_FIELDS = 2000  # each member who may be ticked is one
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Sent:
    """What a browser sent: the texts of the fields, who was ticked (None: nobody was asked), which button."""

    texts: dict[str, str]
    clients: list[str] | None
    button: str


async def _sent(request: Request) -> Sent:
    """Read the form, whose fields depend on model and algorithm; files in it are left out."""
    form = await request.form(max_files=0, max_fields=_MOST_FIELDS)
    texts = {key: value for key, value in form.items() if isinstance(value, str)}
    ticked = [value for key, value in form.multi_items() if key == "clients" and isinstance(value, str)]
    texts.pop("clients", None)
    asked = texts.pop("asks_clients", "")
    long = {key: f"at most {_LONGEST:,} characters" for key, text in texts.items() if len(text) > _LONGEST}
    if long:
        raise Invalid(long)
    return Sent(texts, ticked if asked or ticked else None, texts.pop("do", "review"))


SentDep = Annotated[Sent, Depends(_sent)]


@router.get("/projects/{slug}/runs/new")
def new(
    request: Request,
    db: Db,
    actor: ActorDep,
    slug: str,
    like: Annotated[str, Query(alias="from", max_length=100)] = "",
) -> Response:
    """Show the form, filled in from the run `from` or from the project's draft."""
    project = projects.find_project(db, actor, slug, Action.START_RUN)
    spec: Mapping[str, Any] = runs.find_run(db, actor, like).spec if like else project.draft
    return _form(request, db, project, Sent(form_of(spec), None, ""), {})


@router.post("/projects/{slug}/runs/new")
def send(
    request: Request, db: Db, actor: ActorDep, platform: PlatformDep, slug: str, sent: SentDep
) -> Response:
    """Do what the button says: show other parameters, review, keep as draft, start; or say what is wrong."""
    if sent.button == "start":
        new_run.count_start(platform, actor)
    project = projects.find_project(db, actor, slug, Action.START_RUN)
    spec = spec_of(sent.texts, project.task)
    try:
        match sent.button:
            case "show":
                return _form(request, db, project, sent, {})
            case "start":
                title = sent.texts.get("title", "")
                run = new_run.create_run(db, platform, actor, slug, spec, title, sent.clients)
                return see(f"/runs/{run.name}", Notice.RUN_STARTED)
            case "draft":
                new_run.save_draft(db, platform, actor, slug, spec)
                return see(f"/projects/{slug}", Notice.DRAFT_KEPT)
            case _:
                checked = new_run.check_run(db, platform, actor, slug, spec, sent.clients)
                return _review(request, checked, sent)
    except Invalid as error:
        return _form(request, db, project, sent, error.fields)
    except Conflict as error:
        return _form(request, db, project, sent, {"project": f"{error.message}. {error.hint}"})


def _form(request: Request, db: Session, project: Project, sent: Sent, faults: Mapping[str, str]) -> Response:
    return page(
        request,
        "runs/new.html",
        422 if faults else 200,
        project=project,
        sections=sections(sent.texts, project.task),
        clients=new_run.ready_clients(db, project),
        examples_of=_examples_of,
        ticked=sent.clients,
        form=sent.texts,
        faults=faults,
    )


def _examples_of(membership: Membership) -> str:
    """Say how many examples a member contributes, as the page *Data* says it."""
    assert membership.dataset is not None, "ready clients have one"
    figures: Mapping[str, Any] = datasets.for_others(membership.dataset)
    return datasets.about(figures["examples"], figures["is_rounded"])


def _review(request: Request, checked: new_run.Checked, sent: Sent) -> Response:
    spec = checked.spec.model_dump(mode="json")
    wanted = {"title": sent.texts.get("title", ""), "spec": _ours(spec)}
    if sent.clients is not None:
        wanted["clients"] = sent.clients
    return page(
        request,
        "runs/review.html",
        project=checked.project,
        spec=spec_toml(spec),
        body=json.dumps(wanted, ensure_ascii=False),
        address=f"/api/v1/projects/{checked.project.slug}/runs",
        names=[one.client for one in checked.clients],
        estimate=checked.estimate(),
        form=sent.texts,
        clients=sent.clients,
    )


def _ours(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a spec whoever starts a run says; the rest is the platform's."""
    return {key: value for key, value in spec.items() if key not in ("name", "data", "partition")}
