"""What goes wrong between a person or program and the platform, each with its HTTP status."""

from collections.abc import Mapping

from foedus.core.errors import FoedusError


class HttpError(FoedusError):
    """An error that is answered with `status`; `code` is its name for programs."""

    status = 500
    code = "error"


class BadRequest(HttpError):
    """The request cannot be understood."""

    status, code = 400, "bad_request"


class SignInNeeded(HttpError):
    """Nobody is signed in, or the token is not valid."""

    status, code = 401, "sign_in_needed"

    def __init__(self, message: str = "you are not signed in", hint: str = "Sign in first.") -> None:
        super().__init__(message, hint)


class Denied(HttpError):
    """The actor sees the thing, but may not do this with it. The message says which rule forbids it."""

    status, code = 403, "denied"


class NotFound(HttpError):
    """There is no such thing, or the actor may not know of it: both look the same."""

    status, code = 404, "not_found"

    def __init__(self, what: str = "such page", hint: str = "") -> None:
        super().__init__(
            f"there is no {what} here, or you may not see it",
            hint or "Check the address, and whether you are signed in with the right account.",
        )


class Conflict(HttpError):
    """The thing is not in a state that allows this, or the name is taken."""

    status, code = 409, "conflict"


class TooLarge(HttpError):
    """The body is larger than allowed."""

    status, code = 413, "too_large"


class Invalid(HttpError):
    """Fields hold what they must not: `fields` says of each what is wrong."""

    status, code = 422, "invalid"

    def __init__(self, fields: Mapping[str, str], message: str = "some fields need another look") -> None:
        super().__init__(message, "; ".join(f"{name}: {what}" for name, what in fields.items()))
        self.fields = dict(fields)


class TooMany(HttpError):
    """Too many tries. `retry_s`: after how many seconds the next one makes sense."""

    status, code = 429, "too_many"

    def __init__(self, what: str, retry_s: int) -> None:
        super().__init__(f"too many {what}", f"Try again in {retry_s} s.")
        self.retry_s = retry_s


class Unavailable(HttpError):
    """A part of the platform does not answer now."""

    status, code = 503, "unavailable"
