"""Why a task failed, as `failure.json` says it."""

import traceback
from dataclasses import dataclass

from foedus.core.errors import FoedusError

_TEXT_LIMIT = 4096  # characters of a message or hint
_TRACEBACK_LINES = 30


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task failed: the error's class, its text, what to do about it, and where it happened."""

    kind: str
    message: str
    hint: str = ""
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


def describe(error: BaseException) -> Failure:
    """Put an exception into words."""
    kind = type(error).__name__
    if isinstance(error, FoedusError):
        message, hint = error.message, error.hint
    else:
        message, hint = f"{kind}: {_text_of(error)}", ""
    lines = "".join(traceback.format_exception(error)).splitlines()[-_TRACEBACK_LINES:]
    return Failure(
        printable(kind),
        printable(message)[:_TEXT_LIMIT],
        printable(hint)[:_TEXT_LIMIT],
        printable("\n".join(lines))[-2 * _TEXT_LIMIT :],
    )


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # whatever a foreign __str__ raises must not hide the failure itself
        return f"(its text cannot be had: {type(second).__name__})"


def printable(text: str) -> str:
    """Replace what JSON cannot carry (lone surrogates) and what a terminal obeys (control characters)."""
    carried = text.encode(errors="replace").decode()
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in carried)
