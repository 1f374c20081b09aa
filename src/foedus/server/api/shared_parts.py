"""The parts of the OpenAPI description that many operations refer to."""

from typing import Any, Final

TAGS: Final = [
    {"name": "projects", "description": "What is trained together, by whom, and on which data."},
    {"name": "members", "description": "Who belongs to a project, and links to join it."},
    {"name": "datasets", "description": "What is known of private data. The data stay where they are."},
    {"name": "runs", "description": "Trainings of a project, with their rounds, tasks, numbers and events."},
    {"name": "votes", "description": "Ballots on candidates that wait for an answer."},
    {"name": "models", "description": "Versions that runs accepted, with lineage, scores and weights."},
    {"name": "heat maps", "description": "Images that sites show, and what models look at in them."},
    {"name": "rewards", "description": "Who earned how much by updates that passed the gate."},
    {"name": "chain", "description": "Blocks, transactions and events that prove it all."},
    {"name": "applications", "description": "Programs of this site that can be submitted as batch jobs."},
    {"name": "batch jobs", "description": "What you submitted, with logs and files."},
    {"name": "search", "description": "Everything that you may see, by words."},
    {"name": "account", "description": "Your account and tokens."},
    {"name": "administration", "description": "Accounts of this site, and who did what."},
]

_ERROR: Final = {
    "type": "object",
    "title": "Error",
    "description": "The one shape of all errors.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "hint", "fields"],
            "properties": {
                "code": {"type": "string", "description": "name of the kind of error, for programs"},
                "message": {"type": "string", "description": "what is wrong, for people"},
                "hint": {"type": "string", "description": "what to do about it; may be empty"},
                "fields": {
                    "type": "object",
                    "description": "by field or parameter, what is wrong with it",
                    "additionalProperties": {"type": "string"},
                },
            },
        }
    },
}
_LIST: Final = {
    "type": "object",
    "title": "List",
    "description": "One page of a list.",
    "required": ["items", "total", "next"],
    "properties": {
        "items": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
        "total": {
            "type": "integer",
            "minimum": 0,
            "description": "items on all pages; of more than 10,000 only that there are more",
        },
        "next": {"type": ["string", "null"], "description": "`after` of the next page; null on the last"},
    },
}


def _error(
    description: str,
    code: str,
    message: str,
    hint: str = "",
    fields: dict[str, str] | None = None,
    header: tuple[str, str] | None = None,
) -> dict[str, Any]:
    example = {"error": {"code": code, "message": message, "hint": hint, "fields": fields or {}}}
    schema = {"$ref": "#/components/schemas/Error"}
    found = {
        "description": description,
        "content": {"application/json": {"schema": schema, "example": example}},
    }
    if header is None:
        return found
    name, meaning = header
    return {**found, "headers": {name: {"description": meaning, "schema": {"type": "string"}}}}


_RESPONSES: Final = {
    "SignInNeeded": _error(
        "Nobody is signed in, or the token is not valid.",
        "sign_in_needed",
        "you are not signed in",
        "Sign in first.",
        header=("WWW-Authenticate", "`Bearer`"),
    ),
    "Denied": _error(
        "You see the thing, but may not do this with it; the message says which rule forbids it.",
        "denied",
        "you may not start runs in this project: the token lacks the scope write",
    ),
    "NotFound": _error(
        "There is no such thing, or you may not know of it: both look the same.",
        "not_found",
        "there is no such project here, or you may not see it",
    ),
    "Conflict": _error(
        "The thing is not in a state that allows this, its name is taken, or the same call is under way.",
        "conflict",
        "the same call is under way",
        "Wait a moment and repeat it.",
    ),
    "Invalid": _error(
        "Fields or parameters hold what they must not; `fields` says of each what is wrong.",
        "invalid",
        "some fields need another look",
        "size: must be from 1 to 100",
        {"size": "must be from 1 to 100"},
    ),
    "TooMany": _error(
        "Too many calls of this kind.",
        "too_many",
        "too many new runs",
        "Try again in 60 s.",
        header=("Retry-After", "after how many seconds the next try makes sense"),
    ),
    "Other": _error(
        "Everything else that goes wrong, in the same shape: a body that is too large (413), a value that "
        "cannot be stored (400), a part of the platform that does not answer (503), a defect (500).",
        "bad_request",
        "a value has characters or a size that cannot be stored",
    ),
}


def _parameter(name: str, place: str, description: str, example: object, **schema: object) -> dict[str, Any]:
    return {"name": name, "in": place, "description": description, "schema": schema, "example": example}


_PARAMETERS: Final = {
    "IdempotencyKey": _parameter(
        "Idempotency-Key",
        "header",
        "A name that you choose for this call. Repeated with the same key within a day, the call is not done "
        "again: its first answer comes back, with the header `Idempotency-Replayed`. Another request with "
        "the key is refused (422), and so is the same one while the first is under way (409).",
        "3f1c9a52-start-lungs",
        type="string",
        minLength=1,
        maxLength=200,
    ),
    "Words": _parameter("q", "query", "Only items with these words.", "lung", type="string", maxLength=200),
    "Size": _parameter(
        "size", "query", "Items on a page.", 50, type="integer", minimum=1, maximum=100, default=25
    ),
    "After": _parameter(
        "after",
        "query",
        "What `next` of the page before said; the first page without it.",
        "WzE2LCBmYWxzZSwgMTZd",
        type="string",
    ),
}

COMPONENTS: Final[dict[str, dict[str, Any]]] = {
    "schemas": {"Error": _ERROR, "List": _LIST},
    "responses": _RESPONSES,
    "parameters": _PARAMETERS,
    "securitySchemes": {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "fed_<prefix>_<secret>",
            "description": "A token of yours, from the account page or `POST /api/v1/tokens`.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-foedus",
            "description": "The browser's session; `foedus` without HTTPS. Changes must come from this site.",
        },
    },
}
