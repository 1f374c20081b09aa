"""Examples of projects, their members and their data."""

from typing import Final

from foedus.core.canonical import Json
from foedus.server.api.examples.kinds import AT, BYTES, EXPIRES, MODEL, Example, listed

_PROJECT: Final[dict[str, Json]] = {
    "slug": "lungs",
    "title": "Lung scans",
    "goal": "Find shadows on scans of three clinics.",
    "task": "classification",
    "state": "active",
    "asks_votes": False,
    "chain_project": 1,
}
_NEW: Final[dict[str, Json]] = {"slug": "lungs", "title": "Lung scans", "goal": _PROJECT["goal"]}
_MEMBER: Final[dict[str, Json]] = {
    "name": "bob",
    "display_name": "Bob Okoye",
    "site": "north-clinic",
    "role": "member",
    "state": "active",
    "client": "bob",
    "address": None,
}
_INVITATION: Final[dict[str, Json]] = {
    "id": 4,
    "role": "member",
    "note": "for the north clinic",
    "uses_left": 1,
    "needs_approval": False,
    "created_at": AT,
    "expires_at": EXPIRES,
}
_SHARED: Final[dict[str, Json]] = {
    "id": 2,
    "examples": 200,
    "seed": 1,
    "state": "publishing",
    "cause": "",
    "cid": None,
}
_CONTRIBUTION: Final[dict[str, Json]] = {
    "member": "bob",
    "mixes_shared": True,
    "last_examples": 1840,
    "last_shared": 200,
    "kind": "images",
    "licence": "for this project only",
    "examples": 2050,
    "is_rounded": False,
    "histogram": [1450, 600],
    "parts": {"train": 1640, "val": 205, "test": 205},
    "shape": [64, 64],
    "recipe": [{"step": "deduplicate", "args": {}}],
    "recipe_hash": "0b45791d6f5bc3186a6883bf3a70b9533903bc3323e3e69d7bb600c6c3e47de7",
}
_RUN: Final[dict[str, Json]] = {
    "name": "lungs-3",
    "title": "Smaller steps",
    "project": "lungs",
    "state": "running",
    "algorithm": "fedavg",
    "round": 4,
    "rounds": 20,
    "score": 0.84,
    "created_at": AT,
}
RUN_SORTS: Final = "name title project state algorithm round rounds score created_at"
RUN_STATES: Final = "waiting preparing running completed failed cancelled"
RUNS: Final = listed(_RUN, "-created_at", RUN_SORTS, state=RUN_STATES)
"""A list of runs, of one project or of all."""

PROJECTS: Final = {
    "projects.index": listed(
        {
            "slug": "lungs",
            "title": "Lung scans",
            "role": "owner",
            "members": 3,
            "runs": 3,
            "best": 0.84,
            "state": "active",
            "created_at": AT,
        },
        "title",
        "slug title role members runs best state created_at",
        state="active archived",
    ),
    "projects.create": Example({**_PROJECT, "chain_project": None}, {**_NEW, "task": "classification"}),
    "projects.show": Example(_PROJECT),
    "models.start_project": Example({**_PROJECT, "chain_project": None}, _NEW),
    "projects.runs": RUNS,
    "projects.overview": Example(
        {
            **_PROJECT,
            "role": "owner",
            "policy": ["Runs train 10 rounds with fedprox.", "Leads may still change the policy."],
            "members": [{"name": "alice", "role": "owner", "contributes": True}],
            "runs": [{"name": "lungs-3", "state": "running", "score": 0.84}],
            "model": {"cid": MODEL, "version": 4, "run": "lungs-3"},
            "origin": None,
            "needs": ["A member contributes a dataset"],
        }
    ),
    "projects.data": Example(
        {
            "contributions": [_CONTRIBUTION],
            "shared": [{**_SHARED, "state": "ready", "cid": MODEL}],
        }
    ),
    "projects.contribute": Example(
        {"dataset": 7, "mixes_shared": True}, {"dataset": 7, "mixes_shared": True}
    ),
    "projects.choose_evaluation": Example({"dataset": 7}, {"dataset": 7}),
    "projects.publish_shared": Example(_SHARED, {"dataset": 7, "examples": 200, "seed": 1}),
    "projects.download_shared": Example(file=BYTES),
    "members.index": listed(
        {"slug": "lungs", **_MEMBER, "seen_at": AT},
        "name",
        "slug name display_name role site client state",
        role="auditor member lead owner",
        state="active asked invited left",
    ),
    "members.add": Example({**_MEMBER, "state": "invited"}, {"name": "bob", "role": "member"}),
    "members.decide": Example({"decided": 1}, {"names": ["carol"], "approve": True}),
    "members.change_role": Example({**_MEMBER, "role": "lead"}, {"role": "lead"}),
    "invitations.index": Example({"items": [_INVITATION], "total": 1, "next": None}),
    "invitations.create": Example(
        {
            **_INVITATION,
            "link": "https://foedus.example.org/join/9THO5QJHiK8s58dj08Jl_zpYu39KRm4XJGAZFjP2FcA",
        },
        {"role": "member", "days": 90, "uses": 1, "note": "for the north clinic", "needs_approval": False},
    ),
}
"""By operation."""
