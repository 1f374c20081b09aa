"""Examples of datasets, batch jobs, the chain, the search, accounts and administration."""

from typing import Final

from foedus.core.canonical import Json
from foedus.server.api.examples.kinds import (
    ADDRESS,
    AT,
    BLOCK,
    BYTES,
    EXPIRES,
    LATER,
    MODEL,
    TIME,
    TX,
    Example,
    listed,
)
from foedus.server.api.examples.training import TRANSACTIONS

_DATASET: Final[dict[str, Json]] = {
    "id": 7,
    "name": "lung-scans",
    "kind": "images",
    "state": "checking",
    "cause": "",
    "licence": "for this project only",
    "examples": None,
    "metadata": None,
}
_READ: Final[dict[str, Json]] = {
    **_DATASET,
    "state": "ready",
    "examples": 2050,
    "metadata": {
        "kind": "images",
        "examples": 2050,
        "shape": [64, 64],
        "histogram": [1450, 600],
        "parts": {"train": 1640, "val": 205, "test": 205},
    },
}
_APPLICATION: Final[dict[str, Json]] = {
    "name": "FL_PREDICT",
    "title": "A registered model on private data",
    "description": "Predicts the label of every example of a private dataset.",
    "dataset_kind": "",
    "parameters": [
        {
            "name": "part",
            "kind": "choice",
            "help": "which examples",
            "required": False,
            "default": "all",
            "range": "all or train or val or test",
            "unit": "",
        }
    ],
    "results": {"predictions.csv": "row, file, predicted label, its probability"},
}
_JOB: Final[dict[str, Json]] = {
    "id": 31,
    "name": "fl-predict-31",
    "application": "FL_PREDICT",
    "parameters": {"model": MODEL, "dataset": "lung-scans", "part": "test"},
    "resources": {"walltime_s": 600},
    "state": "waiting",
    "cause": "",
    "scheduler_id": "",
    "wants_cancel": False,
    "becomes_dataset": "",
}
_RUNNING: Final[dict[str, Json]] = {**_JOB, "state": "running", "scheduler_id": "48213"}
_TOKEN: Final[dict[str, Json]] = {
    "prefix": "48d910299975",
    "note": "nightly export",
    "scopes": "read",
    "created_at": AT,
    "used_at": None,
    "expires_at": EXPIRES,
}
_USER: Final[dict[str, Json]] = {
    "name": "bob",
    "display_name": "Bob Okoye",
    "email": "bob@north-clinic.example",
    "site": "north-clinic",
    "state": "active",
    "is_admin": False,
    "created_at": AT,
    "seen_at": LATER,
}
_BLOCK: Final[dict[str, Json]] = {
    "number": 28,
    "hash": BLOCK,
    "parent": "0xb36c1adf757948d1e667240089e3bab31e507d69fc5051203c21c084484d015d",
    "time": TIME,
    "gas_used": 190573,
    "state_root": "0xb5242088303c2198ec72bd985fdd18b1205310336cccb30c0535bfea774677a4",
    "transactions": 1,
    "hidden": 0,
}
_EVENT: Final[dict[str, Json]] = {
    "name": "Voted",
    "run_name": "lungs-3",
    "run": 3,
    "member": "bob",
    "address": ADDRESS,
    "cid": MODEL,
    "block": 28,
    "time": TIME,
    "tx": TX,
}
_EVENT_NAMES: Final = (
    "RunStarted RoundOpened Registered Declined StepClosed Proposed Voted Finalized RewardPaid GateEased "
    "Alarm RunEnded ProjectCreated MemberSet"
)

SITE: Final = {
    "datasets.index": listed(
        {
            "id": 7,
            "name": "lung-scans",
            "kind": "images",
            "examples": 2050,
            "licence": "for this project only",
            "state": "ready",
            "created_at": AT,
        },
        "-created_at",
        "id name kind examples licence state created_at",
        kind="idx images arrays table frames",
        state="checking ready refused withdrawn",
    ),
    "datasets.create": Example(
        _DATASET,
        {
            "name": "lung-scans",
            "kind": "images",
            "root": 0,
            "place": "scans/2025",
            "recipe": "deduplicate",
            "val": 0.1,
            "test": 0.1,
            "seed": 1,
            "licence": "for this project only",
        },
    ),
    "datasets.show": Example(_READ),
    "datasets.withdraw": Example({**_READ, "state": "withdrawn"}),
    "applications.index": Example({"items": [_APPLICATION]}),
    "applications.show": Example(_APPLICATION),
    "applications.submit": Example(
        _JOB, {"parameters": _JOB["parameters"], "resources": _JOB["resources"], "becomes_dataset": ""}
    ),
    "jobs.index": listed(
        {
            "id": 31,
            "folder": "fl-predict-31",
            "application": "FL_PREDICT",
            "state": "running",
            "cause": "",
            "scheduler_id": "48213",
            "created_at": AT,
            "ended_at": None,
        },
        "-created_at",
        "id folder application state scheduler_id created_at ended_at",
        state="waiting queued running unknown completed failed cancelled lost",
    ),
    "jobs.show": Example({**_RUNNING, "files": [{"name": "predictions.csv", "size_bytes": 20480}]}),
    "jobs.log": Example({"log": "205 examples predicted\n"}),
    "jobs.file": Example(file=BYTES),
    "jobs.cancel": Example({**_RUNNING, "wants_cancel": True}),
    "chain.state": Example({"indexed": 40, "chain": 40, "is_behind": False, "problem": ""}),
    "chain.blocks": listed(
        {"number": 28, "time": TIME, "hash": BLOCK, "transactions": 1, "gas_used": 190573},
        "-number",
        "number time hash transactions gas_used",
    ),
    "chain.block": Example(_BLOCK),
    "chain.transactions": TRANSACTIONS,
    "chain.transaction": Example(
        {
            "hash": TX,
            "block": 28,
            "position": 0,
            "time": TIME,
            "sender": ADDRESS,
            "sender_name": "bob",
            "method": "Vote",
            "function": "vote",
            "args": {"run": 3, "round": 4},
            "run": 3,
            "gas_used": 190573,
            "error": None,
            "confirmations": 12,
            "events": [{"name": "Voted", "args": {"run": 3, "round": 4}}],
        }
    ),
    "chain.events": listed(
        _EVENT, "-block", "name run_name run member address cid block time tx", name=_EVENT_NAMES
    ),
    "search.index": Example(
        {
            "items": [
                {
                    "kind": "project",
                    "title": "Lung scans",
                    "href": "/projects/lungs",
                    "detail": "classification",
                }
            ]
        }
    ),
    "account.show": Example(
        {
            "name": "alice",
            "display_name": "Alice Berger",
            "email": None,
            "site": "south-clinic",
            "is_admin": False,
            "state": "active",
            "address": None,
            "scopes": ["read", "write"],
        }
    ),
    "tokens.index": listed(_TOKEN, "-created_at", "prefix note scopes created_at"),
    "tokens.create": Example(
        {**_TOKEN, "token": "fed_48d910299975_(a-secret-that-is-shown-once)"},
        {"note": "nightly export", "scope": "read", "days": 90},
    ),
    "admin.users": listed(
        _USER, "name", "name display_name site state is_admin created_at", state="waiting active disabled"
    ),
    "admin.approve": Example({"approved": 1}, {"names": ["bob"]}),
    "admin.user": Example(_USER),
    "admin.change": Example({**_USER, "state": "disabled"}, {"enabled": False, "confirm": "bob"}),
    "admin.audit": listed(
        {
            "at": AT,
            "actor": "alice",
            "action": "make token",
            "what": "48d910299975",
            "details": "read: nightly export",
            "address": "192.0.2.7",
        },
        "-at",
        "at actor action what address",
    ),
}
"""By operation."""
