"""How the FAKE API server says no, and what its selectors select."""

import re
from collections.abc import Callable

from tests.kubernetes.fake_kubelet import Object

_TERM = re.compile(r"([\w./-]+)\s*(?:==?\s*([\w.-]+)|in\s*\(([\w.,\s-]+)\))")


class Refusal(Exception):
    """An answer that says no."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


def resource_of(kind: str) -> str:
    """Return what the API calls this kind of object."""
    return "jobs.batch" if kind == "jobs" else kind


def selected(query: dict[str, str]) -> Callable[[Object], bool]:
    """Return the test that label and field selectors make. Raises `Refusal` for one that cannot be read."""
    if query.get("fieldSelector", "type=Warning") != "type=Warning":
        raise Refusal(400, "BadRequest", "field label not supported")
    selector = query.get("labelSelector", "")
    terms = [_TERM.fullmatch(term.strip()) for term in re.split(r",(?![^(]*\))", selector) if selector]
    if None in terms:
        raise Refusal(400, "BadRequest", f"unable to parse requirement: {selector}")
    wanted = {m[1]: {m[2]} if m[2] else {v.strip() for v in m[3].split(",")} for m in terms if m}
    return lambda obj: all(
        obj["metadata"].get("labels", {}).get(key) in values for key, values in wanted.items()
    )


def status_of(status: int, reason: str, message: str) -> Object:
    """Return the body of an answer that says no."""
    return {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message}
