"""Write docs/reference/api.md from the OpenAPI description of the API: `python docs/make_api_reference.py`.

With `--check` it writes nothing and fails when the file is not what the code says.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foedus.server.api.description import Api
from foedus.server.app import RESOURCES

TARGET = Path(__file__).parent / "reference" / "api.md"
HEAD = """# API

This page is made from the code by `python docs/make_api_reference.py`. A platform describes its API at
`/api/v1/openapi.json` (OpenAPI 3.1), with parameters, bodies, and an example of each body and answer.

- **Who calls:** `Authorization: Bearer TOKEN` with a token from the account page, or the browser's session.
  Tokens have scopes: `read` for GET, `write` for everything else, `admin` for administration.
- **Errors** have one shape, `{"error": {"code", "message", "hint", "fields"}}`; `fields` says of each field
  or parameter what is wrong with it. What you may not know of is answered 404, like what is not there.
- **Lists** are `{"items", "total", "next"}`. `q` searches, `sort` names a key (`-` before it for falling
  order), `size` is 1 to 100; `after` takes the `next` of the page before. The description names the
  filters.
- **Repeated calls:** with an `Idempotency-Key` header, a call that changes something can be sent again for a
  day and is done once; the repetition gets the first answer.
- **Operation ids** such as `runs.create` name calls for programs made from the description, and last.
"""


def reference() -> str:
    """Return the whole page."""
    described = Api(RESOURCES).openapi()
    return HEAD + "".join(_section(tag, described["paths"]) for tag in described["tags"])


def _section(tag: dict[str, str], paths: dict[str, Any]) -> str:
    name = tag["name"]
    lines = ["", f"## {name[0].upper()}{name[1:]}", "", tag["description"], ""]
    lines += ["| call | operation | what it does |", "| --- | --- | --- |", *_rows(name, paths), ""]
    return "\n".join(lines)


def _rows(tag: str, paths: dict[str, Any]) -> Iterator[str]:
    for path, methods in paths.items():
        for method, operation in methods.items():
            if operation["tags"] == [tag]:
                call = f"`{method.upper()} {path}`"
                yield f"| {call} | `{operation['operationId']}` | {operation['summary']} |"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        TARGET.write_text(reference(), encoding="utf-8")
    elif TARGET.read_text(encoding="utf-8") != reference():
        sys.exit(f"{TARGET} is not up to date: run python docs/make_api_reference.py")
