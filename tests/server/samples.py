"""One example of everything that routes name in their paths, all of it Alice's: for walks over all routes.

Whoever adds a route adds here:

- to `samples`: a value for each new path parameter, under `<part before>/{<parameter>}`, of a thing that is
  there and Alice's alone. Give it rows that hold `SECRET` in every text of their own.
- to `PUBLIC`: routes that answer without a sign-in, with the reason.
- to `OPEN`: routes that answer everybody with an account although their path names something, and why.
- to `BODIES`: fields of a body, where what is made up from their types is refused (422) before anybody asks
  who may do it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy import select
from tests.server.chains import Story

from foedus.server.app import API, PAGES, RESOURCES
from foedus.server.auth.secrets import hash_of
from foedus.server.auth.tokens import make_token
from foedus.server.db import (
    AppJob,
    ApprovedImage,
    ChainBlock,
    ChainTransaction,
    Dataset,
    Decision,
    Explanation,
    Identity,
    Invitation,
    ModelNote,
    Project,
    Run,
    RunClient,
    RunEvent,
    SharedDataset,
    User,
    WebSession,
)
from foedus.server.platform import Platform

SECRET = "xyzzy"  # noqa: S105 - a word that is easily found
"""Stands in every text of Alice's things; nobody else may ever be shown it."""

PUBLIC = {
    "/healthz": "monitors have no account",
    "/readyz": "monitors have no account",
    "/metrics": "has rules of its own",
    "/favicon.ico": "a picture",
    "/theme": "changes a cookie of this browser only",
    "/welcome": "makes the first account, with a code from the terminal",
    "/sign-in": "leads in",
    "/sign-in/provider": "leads in",
    "/sign-in/provider/back": "leads in",
    "/sign-up": "leads in",
    "/sign-out": "signing out twice is no error",
    f"{API}/openapi.json": "describes the API, no data",
}
OPEN = {
    "blocks/{number}": "the chain is shared; texts of others' projects are left out",
    "transactions/{tx}": "the chain is shared; texts of others' projects are left out",
    "applications/{name}": "what this machine can run is told everybody with an account",
    "addresses/{address}": "the chain is shared; names of others are left out",
}
NOTHING = {"join/{secret}", "invitations/{slug}"}
"""Parameters whose samples lead nowhere, even for Alice."""
UNNAMED = ("/files", "/logs/tail", "/tasks/log")
"""Ends of paths that name a thing by a query, which the walks do not give."""
BODIES: dict[tuple[str, str], Mapping[str, Any]] = {}


def samples(platform: Platform, story: Story) -> dict[str, str]:
    """Make one of each thing for Alice, in the project `lungs`. Returns what stands in paths for each."""
    now = platform.now()
    with platform.writing() as db:
        alice = db.scalars(select(User).where(User.name == "alice")).one()
        project = db.scalars(select(Project).where(Project.slug == "lungs")).one()
        project.title, project.goal, alice.display_name = f"{SECRET} lungs", SECRET, SECRET
        data = Dataset(
            owner_id=alice.id, name=SECRET, kind="csv", state="ready", request={"path": SECRET}, examples=5
        )
        job = AppJob(
            owner_id=alice.id,
            application="FL_MNIST",
            parameters={"note": SECRET},
            resources={},
            folder=SECRET,
        )
        run = Run(
            name=f"{SECRET}-1",
            project_id=project.id,
            created_by=alice.id,
            title=SECRET,
            spec={},
            algorithm="fedavg",
            rounds=3,
            state="running",
            cause=SECRET,
            chain_run=1,
        )
        invitation = Invitation(
            project_id=project.id,
            token_hash=hash_of("invited"),
            role="member",
            note=SECRET,
            created_by=alice.id,
            expires_at=now.replace(year=now.year + 1),
        )
        db.add_all([data, job, run, invitation])
        db.flush()
        shared = SharedDataset(
            project_id=project.id, dataset_id=data.id, published_by=alice.id, examples=5, cause=SECRET
        )
        decision = Decision(
            run_id=run.id, round=1, user_id=alice.id, candidate=story.second, comment=SECRET, deadline=1
        )
        note = ModelNote(cid=story.second, project_id=project.id, description=SECRET)
        client = RunClient(
            run_id=run.id, user_id=alice.id, client="alice", account="user-alice", dataset_id=data.id
        )
        event = RunEvent(run_id=run.id, kind="round", round=1, client="alice", values={"note": SECRET})
        project.evaluation_id = data.id  # so its members see the image
        image = ApprovedImage(
            dataset_id=data.id, place=0, label=1, width=2, height=2, png=SECRET.encode(), example=b"npy"
        )
        identity = Identity(user_id=alice.id, issuer=SECRET, subject=SECRET)
        db.add_all([shared, decision, note, client, event, image, identity])
        db.flush()
        heat = SECRET.encode()
        found = {
            "layer": SECRET,
            "layers": [SECRET],
            "target": 1,
            "predicted": 1,
            "shares": [0, 1],
            "share": 1,
        }
        found |= {"peak": 1, "is_mask": True, "hot_share": 0.5, "hottest": SECRET}
        explanation = Explanation(
            image_id=image.id, cid=story.second, wanted=-1, layer="", state="ready", found=found, heat=heat
        )
        explanation.mask = heat
        db.add(explanation)
        db.flush()
        block = db.scalars(select(ChainBlock.number)).first()
        token, _ = make_token(db, alice.id, SECRET, "read", None)
        session = db.scalars(select(WebSession).where(WebSession.user_id == alice.id)).first()
        assert session is not None
        transaction = db.scalars(select(ChainTransaction)).first()
        assert transaction is not None
        return {
            "projects/{slug}": project.slug,
            "models/{cid}": story.second,
            "blocks/{number}": str(block),
            "transactions/{tx}": transaction.hash,
            "addresses/{address}": transaction.sender,
            "runs/{name}": run.name,
            "rounds/{number}": "1",
            "rounds/{round}": "1",
            "datasets/{id}": str(data.id),
            "datasets/{name}": data.name,
            "jobs/{job_id}": str(job.id),
            "applications/{name}": "SIM_RENDER",
            "jobs/{id}": str(job.id),
            "datasets/{dataset_id}": str(data.id),
            "tokens/{prefix}": token.prefix,
            "sessions/{session}": str(session.id),
            "identities/{identity}": str(identity.id),
            "invitations/{slug}": project.slug,
            "invitations/{invitation}": str(invitation.id),
            "join/{secret}": "a-link-that-nobody-was-given",
            "shared/{id}": str(shared.id),
            "shared/{shared_id}": str(shared.id),
            "invitations/{id}": str(invitation.id),
            "decisions/{id}": str(decision.id),
            "ballots/{id}": str(decision.id),
            "members/{name}": "alice",
            "members/{user}": "alice",
            "users/{name}": "alice",
            "announcements/{announcement}": "1",
            "images/{image}": str(image.id),
            "maps/{map}": str(explanation.id),
        }


@dataclass(frozen=True)
class Route:
    """A route of the application with one method, and what its body may hold."""

    method: str
    path: str
    is_form: bool
    body: Mapping[str, Any]

    @property
    def parameters(self) -> list[str]:
        """The path's parameters, each with the part before it."""
        parts = self.path.split("/")
        return [f"{parts[n - 1]}/{part}" for n, part in enumerate(parts) if part.startswith("{")]

    def filled(self, values: Mapping[str, str]) -> str:
        """The path with a value for each parameter. Raises `KeyError` naming one that has no sample."""
        parts = self.path.split("/")
        for number, part in enumerate(parts):
            if part.startswith("{"):
                parts[number] = values[f"{parts[number - 1].split(':')[0]}/{part}"]
        return "/".join(parts)


def routes() -> Iterator[Route]:
    """Return all routes of pages and API, in one order."""
    described = FastAPI()  # the application itself does not describe its pages
    for router in RESOURCES:
        described.include_router(router, prefix=API)
    for router in PAGES:
        described.include_router(router)
    schema = described.openapi()
    seen = {(method, path) for path, methods in schema["paths"].items() for method in methods}
    for context in iter_route_contexts(described.routes):
        for method in sorted(context.methods or ()):
            path = str(context.path)
            if (method.lower(), path) in seen:
                content = schema["paths"][path][method.lower()].get("requestBody", {}).get("content", {})
                is_form = "application/json" not in content
                kind = next(iter(content.values()))["schema"] if content else {}
                body = _example(kind, schema) if kind else {}
                yield Route(method, path, is_form, body | BODIES.get((method, path), {}))


def _example(kind: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Make up the simplest value of a JSON schema."""
    if "$ref" in kind:
        return _example(schema["components"]["schemas"][kind["$ref"].rpartition("/")[2]], schema)
    if "default" in kind and kind["default"] not in ("", None):
        return kind["default"]
    if "examples" in kind:
        return kind["examples"][0]
    if "const" in kind or "enum" in kind:
        return kind.get("const", next(iter(kind.get("enum", [None]))))
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in kind:
            return _example(kind[choice][0], schema)
    match kind.get("type"):
        case "object":
            return {name: _example(one, schema) for name, one in kind.get("properties", {}).items()}
        case "array":
            return [_example(kind["items"], schema)] if kind.get("minItems") else []
        case "integer" | "number":
            return kind.get("minimum", kind.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return False
    return "a" * max(1, kind.get("minLength", 1))
