"""Examples of runs."""

from typing import Final

from foedus.core.canonical import Json
from foedus.server.api.examples.kinds import (
    ADDRESS,
    AT,
    BASE,
    LATER,
    MODEL,
    TIME,
    TX,
    UPDATE,
    Example,
    listed,
)
from foedus.server.api.examples.projects import RUNS

_SPEC: Final[dict[str, Json]] = {
    "rounds": 20,
    "model": {"name": "cnn"},
    "algorithm": {"name": "fedavg"},
    "training": {"epochs": 2, "batch_size": 32, "learning_rate": 0.05},
}
_RUN: Final[dict[str, Json]] = {
    "name": "lungs-3",
    "title": "Smaller steps",
    "project": "lungs",
    "state": "running",
    "cause": "",
    "hint": "",
    "cancel_reason": None,
    "round": 4,
    "rounds": 20,
    "score": 0.84,
    "version": 4,
    "clients": ["alice", "bob", "carol"],
    "spec": _SPEC,
    "chain_run": 3,
    "created_at": AT,
    "started_at": AT,
    "ended_at": None,
}
_NEW: Final[dict[str, Json]] = {
    **_RUN,
    "state": "waiting",
    "round": 0,
    "score": None,
    "version": 0,
    "chain_run": None,
    "started_at": None,
}
_TRANSACTION: Final[dict[str, Json]] = {
    "hash": TX,
    "state": "done",
    "function": "vote",
    "sender_name": "bob",
    "sender": ADDRESS,
    "run_name": "lungs-3",
    "run": 3,
    "block": 28,
    "time": TIME,
    "gas_used": 26520,
}
TRANSACTIONS: Final = listed(
    _TRANSACTION,
    "-block",
    "hash state function sender_name sender run_name run block time gas_used",
    function="register decline propose vote close finalize start_run cancel_run create_project set_member",
    state="done failed",
)
"""A list of transactions, of one run or of all."""
_CLIENT: Final[dict[str, Json]] = {
    "client": "alice",
    "state": "registered",
    "doing": "",
    "examples": 1640,
    "num_shared": None,
    "score": 0.81,
    "base_score": 0.79,
    "points": 0.42,
    "loss": 0.31,
    "cid": UPDATE,
    "tx": TX,
    "vote": "yes",
    "vote_score": 0.84,
    "vote_base_score": 0.79,
    "vote_at": TIME + 61,
    "vote_tx": TX,
}
_NUMBER: Final[dict[str, Json]] = {"round": 4, "name": "f1", "client": "", "step": 0, "value": 0.84}
TRAINING: Final = {
    "runs.index": RUNS,
    "runs.create": Example(
        _NEW, {"title": "Smaller steps", "spec": _SPEC, "clients": ["alice", "bob", "carol"]}
    ),
    "runs.check": Example(
        {
            "spec": _SPEC,
            "toml": 'rounds = 20\n\n[model]\nname = "cnn"\n\n[algorithm]\nname = "fedavg"\n',
            "clients": ["alice", "bob", "carol"],
            "estimate": ["Each task may take up to 1 h; most take a small part of that."],
        },
        {"spec": _SPEC},
    ),
    "runs.show": Example({**_RUN, "pace": {"elapsed_s": 1240.5, "remaining_s": 4960.0}, "failure": None}),
    "runs.cancel": Example({**_RUN, "cancel_reason": "wrong split"}, {"reason": "wrong split"}),
    "runs.rounds": listed(
        {
            "run": "lungs-3",
            "number": 4,
            "phase": "accepted",
            "candidate": MODEL,
            "proposer": "carol",
            "opened_at": TIME,
            "seconds": 310,
        },
        "-number",
        "number phase candidate proposer opened_at seconds",
    ),
    "runs.round": Example(
        {
            "number": 4,
            "phase": "accepted",
            "base": BASE,
            "candidate": MODEL,
            "proposer": "carol",
            "electorate": 3,
            "opened_at": TIME,
            "closed_at": TIME + 240,
            "proposed_at": TIME + 250,
            "ended_at": TIME + 310,
            "deadline": TIME + 86400,
            "ended_tx": TX,
            "clients": [_CLIENT],
            "refused": {},
        }
    ),
    "runs.transactions": TRANSACTIONS,
    "runs.export": Example(file="application/zip"),
    "runs.metrics": Example({"items": [_NUMBER]}),
    "runs.numbers": listed(_NUMBER, "round", "round name client step value", name=""),
    "runs.events": Example(
        {
            "items": [
                {
                    "id": 812,
                    "at": LATER,
                    "kind": "round",
                    "round": 4,
                    "client": "alice",
                    "values": {"phase": "accepted"},
                }
            ]
        }
    ),
    "runs.tasks": Example(
        {
            "items": [
                {
                    "place": "r00004.1/alice.train",
                    "client": "alice",
                    "kind": "train",
                    "state": "completed",
                    "cause": "",
                    "attempt": 1,
                    "scheduler_id": "48213",
                    "running_s": 181.4,
                    "is_mine": True,
                }
            ]
        }
    ),
    "runs.task_log": Example({"log": "epoch 1 of 2: loss 0.412\nepoch 2 of 2: loss 0.310\n"}),
}
"""By operation."""
