"""The OpenAPI description of the API: FastAPI's own, completed by what holds for all operations.

Routes say their path, parameters, body, and in their docstring what they do. Everything else is added here:
who may call, what goes wrong, how calls are repeated and lists are paged, and an example of each answer.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.types import Lifespan

from foedus.server.api.examples import EXAMPLES, Example, Listed
from foedus.server.api.shared_parts import COMPONENTS, TAGS
from foedus.server.logs import API
from foedus.version import VERSION

Part: TypeAlias = dict[str, Any]
"""A part of the document."""

_GENERATED: Final = ("HTTPValidationError", "ValidationError")  # FastAPI's errors, which are not ours
_NAMING: Final = frozenset({"rewards.index", "votes.create"})  # name a thing, though not in the path
_LIMITED: Final = frozenset({"explain.create", "runs.create", "tokens.create"})
_SCOPELESS: Final = frozenset({"account.show", "tokens.index"})
_FIRST: Final = re.compile(r"[;:]\s|\.(\s|$)|\n")


class Api(FastAPI):
    """An application with the resources below `/api/v1`, which describes them in full."""

    def __init__(self, resources: Iterable[APIRouter], lifespan: Lifespan[FastAPI] | None = None) -> None:
        super().__init__(
            title="Foedus",
            version=VERSION,
            description="Train one model together without sharing data.",
            docs_url=None,  # its scripts come from elsewhere
            redoc_url=None,
            openapi_url=f"{API}/openapi.json",
            lifespan=lifespan,
        )
        for router in resources:
            self.include_router(router, prefix=API, generate_unique_id_function=_operation_id)

    def openapi(self) -> Part:
        """Return the description, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = completed(
                get_openapi(
                    title=self.title,
                    version=self.version,
                    description=self.description,
                    routes=self.routes,
                    tags=TAGS,
                )
            )
        return self.openapi_schema


def _operation_id(route: APIRoute) -> str:
    # the lasting name of an operation that has none of its own: its module and function
    return f"{route.endpoint.__module__.rpartition('.')[2]}.{route.name}"


def completed(document: Part) -> Part:
    """Add to a generated document what holds for all operations, and the examples. Returns it."""
    schemas = document["components"]["schemas"]
    for name in _GENERATED:
        schemas.pop(name, None)
    for kind, parts in COMPONENTS.items():
        document["components"].setdefault(kind, {}).update(parts)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _complete(operation, method, path)
    return document


def _complete(operation: Part, method: str, path: str) -> None:
    name, is_unsafe = operation["operationId"], method != "get"
    text = " ".join(operation["description"].split())
    operation["summary"] = _FIRST.split(text, maxsplit=1)[0]
    operation["security"] = [{"token": []}, {"session": []}]
    parameters = operation.setdefault("parameters", [])
    if is_unsafe:
        parameters.append(_named("parameters", "IdempotencyKey"))
    scope = "admin" if "/admin/" in path else "write" if is_unsafe else "read"
    operation["description"] = text if name in _SCOPELESS else f"{text} Tokens need the scope `{scope}`."
    responses = operation["responses"]
    for status, error in _errors(name, path, is_unsafe, scope).items():
        responses[status] = _named("responses", error)
    example = EXAMPLES.get(name, Example())
    if example.listed:
        parameters.extend(_list_parameters(example.listed))
    _show(operation, example)


def _errors(name: str, path: str, is_unsafe: bool, scope: str) -> Mapping[str, str]:
    """Return which errors can be the answer, by status."""
    found = {"401": "SignInNeeded", "422": "Invalid", "default": "Other"}
    if is_unsafe or scope == "admin" or name == "invitations.index":
        found["403"] = "Denied"
    if "{" in path or name in _NAMING:
        found["404"] = "NotFound"
    if is_unsafe:
        found["409"] = "Conflict"
    if name in _LIMITED:
        found["429"] = "TooMany"
    return found


def _show(operation: Part, example: Example) -> None:
    """Put the examples in place."""
    if example.body is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = example.body
    success = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
    success["description"] = "Done."
    if example.file:
        success["content"] = {example.file: {"schema": {"type": "string", "format": "binary"}}}
    elif example.answer is not None:
        content = success["content"]["application/json"]
        content["example"] = example.answer
        if example.listed:
            content["schema"] = _named("schemas", "List")


def _list_parameters(listed: Listed) -> list[Part]:
    keys = ", ".join(f"`{key}`" for key in listed.sorts)
    sort = _query("sort", f"one of {keys}; with `-` before it for falling order", default=listed.sort)
    filters = [
        _query(key, f"only items with this {key}", **({"enum": ["", *choices]} if choices else {}))
        for key, choices in listed.filters.items()
    ]
    shared = [_named("parameters", name) for name in ("Words", "Size", "After")]
    return [*shared, sort, *filters]


def _query(name: str, description: str, **schema: object) -> Part:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string", **schema}}


def _named(kind: str, name: str) -> Part:
    return {"$ref": f"#/components/{kind}/{name}"}
