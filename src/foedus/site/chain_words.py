"""Says in words what the contract carries as numbers: arguments of events, and what a transaction does."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

from foedus.core.records import SCORE_SCALE, WAD, Choice, GateMode, Phase, Role

_NUMBERED: Final[dict[str, type[IntEnum]]] = {
    "choice": Choice,
    "outcome": Phase,
    "role": Role,
    "gate_mode": GateMode,
}
_SENTENCES: Final = {
    "": "Deploy the contract",
    "accept_lead": "Accept the lead of project {project}",
    "cancel_run": "Cancel run {run}: {reason}",
    "close": "Close round {round}",
    "create_project": "Found the project {name}",
    "decline": "Decline round {round}: {reason}",
    "finalize": "Count the votes of round {round}",
    "propose": "Propose a candidate in round {round}",
    "propose_lead": "Offer the lead of project {project}",
    "register": "Register an update in round {round}",
    "report_propagation": "Report the network's delay in project {project}",
    "set_member": "Make {name} a member with the role {role}",
    "set_validators": "Set the number of validators to {n}",
    "start_run": "Start a run of {rounds} rounds",
    "vote": "Vote {choice} on round {round}",
}


def text_of(value: object) -> str:
    """Return an argument's value as text."""
    return value.hex() if isinstance(value, bytes) else str(value)


def words_of(key: str, value: object) -> str:
    """Say what a number of the contract means; an empty text where it means itself."""
    if not isinstance(value, int):
        return ""
    if key in _NUMBERED:
        kind = _NUMBERED[key]
        return kind(value).name.lower() if value in list(kind) else ""
    if key.endswith("_ppb"):
        return f"{value / SCORE_SCALE:.4f}"
    return f"{value / WAD:.4f}" if key in ("reward", "amount") else ""


def method_of(function: str, args: Mapping[str, Any]) -> str:
    """Say what a call of the contract does: `Vote yes on round 7`. Unknown ones by their name."""
    shown = {key: words_of(key, value) or text_of(value) for key, value in args.items()}
    try:
        return _SENTENCES[function].format_map(shown)
    except KeyError:  # another contract's function, or a call that lacks an argument
        return function
