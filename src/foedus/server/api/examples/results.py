"""Examples of what trainings lead to: votes, models, heat maps and rewards."""

from typing import Final

from foedus.core.canonical import Json
from foedus.server.api.examples.kinds import (
    BASE,
    BYTES,
    MODEL,
    PNG,
    TIME,
    TX,
    UPDATE,
    WEIGHTS,
    Example,
    listed,
)
from foedus.server.services.rewards import RULE

_BALLOT: Final[dict[str, Json]] = {
    "run": "lungs-3",
    "round": 5,
    "candidate": MODEL,
    "advice": "yes",
    "verdict": "The advice is yes: on your data the candidate does 0.0210 better than its base.",
    "score": 0.861,
    "base_score": 0.84,
    "choice": None,
    "comment": "",
    "deadline": TIME + 3600,
}
_MAP: Final[dict[str, Json]] = {
    "id": 11,
    "image": 5,
    "label": 1,
    "cid": MODEL,
    "class": None,
    "layer": "",
    "state": "waiting",
    "cause": "",
    "found": None,
}
_SEEN: Final[dict[str, Json]] = {
    "layer": "4",
    "layers": ["0", "4"],
    "version": 4,
    "target": 1,
    "predicted": 1,
    "shares": [0.12, 0.88],
    "share": 0.88,
    "peak": 0.0077,
    "is_mask": False,
    "labels": [],
    "hot_share": 0.09,
    "hottest": "centre",
}
_IMAGE: Final[dict[str, Json]] = {"id": 5, "place": 4, "label": 1, "width": 64, "height": 64}

_MODEL_EXAMPLES: Final = {
    "models.index": listed(
        {
            "cid": MODEL,
            "run": "lungs-3",
            "version": 4,
            "alias": "champion",
            "score": 0.84,
            "project": "lungs",
            "task": "classification",
            "size_bytes": 6653480,
            "time": TIME,
            "weights": WEIGHTS,
        },
        "-time",
        "cid run version alias score project task size_bytes time weights",
        project="",
        task="classification segmentation regression",
        alias="candidate champion",
    ),
    "models.show": Example(
        {
            "cid": MODEL,
            "project": "lungs",
            "run": "lungs-3",
            "chain_run": 3,
            "version": 4,
            "round": 4,
            "score": 0.84,
            "alias": "champion",
            "description": "Best on scans of the north clinic.",
            "limits": "Not for children.",
            "weights": WEIGHTS,
            "size_bytes": 6653480,
            "manifest": {
                "kind": "model",
                "version": 4,
                "weights": WEIGHTS,
                "base": BASE,
                "algorithm": {"name": "fedavg", "params": {}},
                "updates": [{"client": "alice", "cid": UPDATE, "num_examples": 1640, "reward": 5}],
            },
            "trouble": "",
            "lineage": [{"cid": BASE, "version": 3}],
            "scores": [{"client": "alice", "score": 0.84, "base_score": 0.79, "vote": "yes", "tx": TX}],
            "ballot": {"yes": 3, "no": 0, "abstain": 0, "electorate": 3, "quorum": 2},
        }
    ),
    "models.describe": Example(
        {
            "cid": MODEL,
            "alias": "champion",
            "description": "Best on scans of the north clinic.",
            "limits": "Not for children.",
        },
        {
            "alias": "champion",
            "description": "Best on scans of the north clinic.",
            "limits": "Not for children.",
        },
    ),
    "models.weights": Example(file=BYTES),
}
_OTHER_EXAMPLES: Final = {
    "votes.index": Example({"items": [_BALLOT]}),
    "votes.create": Example(
        {**_BALLOT, "choice": "yes", "comment": "better on our scans"},
        {"run": "lungs-3", "round": 5, "choice": "yes", "comment": "better on our scans"},
    ),
    "explain.images": listed(
        {"id": 5, "member": "alice", "place": 4, "label": 1, "width": 64, "height": 64},
        "id",
        "id member place label width height",
    ),
    "explain.image": Example(file=PNG),
    "explain.index": listed(
        {
            "id": 11,
            "image": 5,
            "round": 4,
            "version": 4,
            "cid": MODEL,
            "wanted": -1,
            "layer": "",
            "state": "ready",
        },
        "-id",
        "id image round version cid wanted layer state",
        state="waiting ready refused",
    ),
    "explain.create": Example(
        {"items": [_MAP]}, {"image": 5, "round": 4, "class": 1, "layer": "", "all_rounds": False}
    ),
    "explain.show": Example({**_MAP, "state": "ready", "found": _SEEN}),
    "explain.heat": Example(file=PNG),
    "explain.mask": Example(file=PNG),
    "datasets.images": Example(
        {
            "items": [_IMAGE],
            "projects": ["lungs"],
            "request": {"id": 1, "places": [4], "per_label": 0, "state": "ready", "cause": ""},
        }
    ),
    "datasets.approve_images": Example(
        {"id": 1, "places": [4], "per_label": 0, "state": "copying", "cause": ""},
        {"places": [4], "per_label": 0},
    ),
    "datasets.withdraw_images": Example({"withdrawn": 1}, {"image": 5}),
    "datasets.image": Example(file=PNG),
    "rewards.index": Example(
        {
            "items": [
                {
                    "rank": 1,
                    "client": "alice",
                    "project": "lungs",
                    "points": "423789207782846357",
                    "registrations": 4,
                    "paid": 4,
                    "votes": 4,
                    "availability": 1.0,
                    "recent": {"3/4/1": 0.42},
                }
            ],
            "total": 3,
            "next": None,
            "run": None,
            "rounds": 4,
            "rule": RULE,
        },
        listed=listed({}, "rank", "rank client project registrations paid votes availability").listed,
    ),
    "rewards.paid": listed(
        {
            "client": "carol",
            "paid": "376701518029196762",
            "run": "lungs-3",
            "round": 4,
            "num_examples": 1210,
            "project": "lungs",
            "time": TIME,
            "tx": TX,
        },
        "-time",
        "client run round num_examples project time tx",
    ),
}
RESULTS: Final = {**_MODEL_EXAMPLES, **_OTHER_EXAMPLES}
"""By operation."""
