"""Applications: the catalogue, and batch jobs that people submit of them."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from foedus.apps.application import Application
from foedus.apps.parameters import DATASET_NAME, Kind, Parameter, Value
from foedus.apps.registry import applications
from foedus.core.canonical import Json
from foedus.core.errors import InvalidSpec
from foedus.core.records import Resources
from foedus.server.auth.actors import Actor
from foedus.server.auth.permissions import Action, require, visible_projects
from foedus.server.db import AppJob, ChainRun, ChainVersion, Dataset, Project
from foedus.server.errors import Conflict, Invalid, NotFound
from foedus.server.platform import Platform
from foedus.server.services.audit import record
from foedus.server.services.datasets import is_taken
from foedus.site.launchers import resources_of

_WORDS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}|", re.ASCII)  # a scheduler's own
_LIMITS: Final = {"cpus": (1, 1024), "memory_mb": (1, 2**24), "gpus": (0, 64), "walltime_s": (1, 2_592_000)}
_TEXTS: Final = ("queue", "account")
MOST_UNDER_WAY: Final = 100
"""Batch jobs of one person that have not ended."""
ASKED: Final = (*_LIMITS, *_TEXTS)
"""What of `Resources` people may ask for in the browser."""


def catalogue(platform: Platform) -> list[Application]:
    """Return the applications that people can submit, by name."""
    found = applications(platform.home).values()
    return sorted(
        (one for one in found if not one.fault and not one.is_submitted_by_rounds), key=lambda one: one.name
    )


def find_application(platform: Platform, name: str) -> Application:
    """Return an application that people can submit. Raises `NotFound`."""
    for one in catalogue(platform):
        if one.name == name:
            return one
    raise NotFound("such application")


def submit_job(
    db: Session,
    actor: Actor,
    platform: Platform,
    name: str,
    parameters: Mapping[str, object],
    resources: Mapping[str, object],
    becomes_dataset: str = "",
) -> AppJob:
    """Note a batch job; a worker submits it. Raises `Invalid` naming each wrong field.

    Fields of resources are named `r-cpus` and so on. Empty texts mean: as the application has it.
    """
    require(db, actor, Action.SUBMIT_JOB)
    application = find_application(platform, name)
    faults: dict[str, str] = {}
    values = _checked(db, actor, application, parameters, faults)
    asked = _asked(resources_of(platform.site, application), resources, faults)
    if becomes_dataset:
        if not application.dataset_kind:
            faults["r-dataset"] = "the output of this application is no dataset: leave it empty"
        elif not DATASET_NAME.fullmatch(becomes_dataset):
            faults["r-dataset"] = "use up to 48 characters of a-z, 0-9, - and _"
        elif is_taken(db, actor.user_id, becomes_dataset):
            faults["r-dataset"] = "you have, or had, a dataset of this name"
    if faults:
        raise Invalid(faults)
    under_way = (AppJob.owner_id == actor.user_id, AppJob.ended_at.is_(None))
    if (db.scalar(select(func.count()).where(*under_way)) or 0) >= MOST_UNDER_WAY:
        raise Conflict(
            f"you have {MOST_UNDER_WAY} batch jobs under way already", "Wait for one, or cancel one."
        )
    job = AppJob(
        owner_id=actor.user_id,
        application=name,
        parameters=values,
        resources=asked,
        becomes_dataset=becomes_dataset,
    )
    db.add(job)
    db.flush()
    job.folder = f"{name.lower()}-{job.id}"
    record(db, actor, "submit batch job", job.folder)
    return job


def may_read_model(db: Session, actor: Actor, cid: str) -> bool:
    """Whether this is a version of a global model in one of the actor's projects."""
    found = (
        select(ChainVersion.cid)
        .join(ChainRun, ChainRun.run == ChainVersion.run)
        .join(Project, Project.chain_project == ChainRun.project)
        .where(ChainVersion.cid == cid, Project.id.in_(visible_projects(actor)))
    )
    return db.scalar(found.limit(1)) is not None


def full_resources(platform: Platform, application: Application, changes: Mapping[str, Any]) -> Resources:
    """Return what a batch job asks for: the application's and site's wishes with the person's changes."""
    return Resources(**asdict(resources_of(platform.site, application)) | dict(changes))


def as_json(application: Application) -> dict[str, Json]:
    """Return an application as the API gives it."""
    return {
        "name": application.name,
        "title": application.title,
        "description": application.description,
        "dataset_kind": application.dataset_kind,
        "parameters": [
            {
                "name": one.name,
                "kind": one.kind.value,
                "help": one.help,
                "required": one.is_required,
                "default": None if one.is_required else plain_default(one),
                "range": one.range_text,
                "unit": one.unit,
            }
            for one in application.parameters
        ],
        "results": {one.name: one.help for one in application.results},
    }


def plain_default(parameter: Parameter) -> Value:
    """Return a parameter's default as JSON has it; None where it must be given, or may be left out."""
    return parameter.default if isinstance(parameter.default, bool | int | float | str) else None


def _checked(
    db: Session, actor: Actor, application: Application, given: Mapping[str, object], faults: dict[str, str]
) -> dict[str, Value]:
    known = {one.name: one for one in application.parameters}
    for name in given:
        if name not in known:
            faults[name[:64]] = "there is no such parameter"
    values: dict[str, Value] = {}
    for name, one in known.items():
        value = given.get(name, "")
        if value in ("", None) and one.is_required:
            faults[name] = "is needed"
            continue
        try:
            values[name] = one.check(one.default if value in ("", None) else value)
        except InvalidSpec as error:
            faults[name] = error.message
            continue
        fault = _fault_of_reference(db, actor, one, values[name])
        if fault:
            faults[name] = fault
    if not faults:
        try:
            application.checked(values)
        except InvalidSpec as error:  # what concerns several of them
            faults[next(iter(known), "parameters")] = f"{error.message}. {error.hint}".strip()
    return values


def _fault_of_reference(db: Session, actor: Actor, parameter: Parameter, value: Value) -> str:
    """Say what is wrong with the name of something; foreign and missing things are the same."""
    if value is None:
        return ""
    if parameter.kind is Kind.DATASET:
        mine = (Dataset.owner_id == actor.user_id, Dataset.name == str(value), Dataset.state == "ready")
        if db.scalar(select(Dataset.id).where(*mine)) is None:
            return "choose one of your datasets that is ready"
    if parameter.kind is Kind.CID and not may_read_model(db, actor, str(value)):
        return "choose a version of a model in one of your projects"
    return ""


def _asked(usual: Resources, given: Mapping[str, object], faults: dict[str, str]) -> dict[str, Json]:
    """Return what differs from what is usual."""
    found: dict[str, Json] = {}
    for name, value in given.items():
        if value in ("", None):
            continue
        text = str(value)
        if name in _LIMITS:
            low, high = _LIMITS[name]
            number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
            if not low <= number <= high:
                faults[f"r-{name}"] = f"must be a whole number from {low:,} to {high:,}"
            elif number != getattr(usual, name):
                found[name] = number
        elif name in _TEXTS:
            if not _WORDS.fullmatch(text):
                faults[f"r-{name}"] = "use up to 64 letters, digits and _ . : -"
            elif text != getattr(usual, name):
                found[name] = text
        else:
            faults[f"r-{name[:64]}"] = f"must be one of {', '.join(ASKED)}"
    return found
