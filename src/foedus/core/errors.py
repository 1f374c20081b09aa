"""Errors a user can act on. Every one carries a message fit for the user and, where one exists, a hint."""


class FoedusError(Exception):
    """Base of all errors that are the user's or the world's, not a defect of Foedus.

    `message` says what is wrong; `hint` says what to do about it (may be empty).
    The command line prints both and exits with `exit_code`; the API answers with `http_status`.
    """

    exit_code = 1
    http_status = 400

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InvalidSpec(FoedusError):
    """A run spec, setting or argument is not usable. Permanent: change the input."""

    exit_code = 2


class InvalidData(FoedusError):
    """A dataset or partition is missing, damaged or too small. Permanent: change the data."""

    exit_code = 2


class UnsupportedModel(FoedusError):
    """A model or its initialisation does not suit the algorithm. Permanent."""

    exit_code = 2


class UnsupportedArchitecture(UnsupportedModel):
    """An algorithm that works on a model's layers cannot work on this one: which part, and why. Permanent."""

    def __init__(self, part: str, reason: str, hint: str = "") -> None:
        super().__init__(f"{part}: {reason}", hint)
        self.part = part
        self.reason = reason


class UpdateRefused(FoedusError):
    """One client's update breaks the project's schema. Only that client is refused.

    `code` is stable and short (`nonfinite`, `shape`, `keys`, `dtype`, `header`, `size`, `missing`,
    `damaged`, `floor`, `frozen`, `samples`): it is what the other members record as the reason.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code


class ObjectMissing(FoedusError):
    """The store does not hold this CID. Retrying helps once somebody provides it."""

    http_status = 404


class ObjectDamaged(FoedusError):
    """Stored bytes do not hash to their CID. Permanent for this copy."""


class StorageFull(FoedusError):
    """Not enough space. Nothing was left half-written; retry after making room."""


class HomeInUse(FoedusError):
    """Another process holds this home folder. Retry when it has ended."""

    http_status = 409


class Reverted(FoedusError):
    """The contract refused a transaction. `reason` is the contract's own word for it."""

    http_status = 409

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(f"the contract refused the transaction: {reason}", hint)
        self.reason = reason


class ChainDamaged(FoedusError):
    """The chain's database does not replay to what it says. `place` names the first bad row."""

    def __init__(self, place: str, message: str, hint: str = "") -> None:
        super().__init__(f"{place}: {message}", hint)
        self.place = place


class KeyUnusable(FoedusError):
    """A keystore is missing, damaged or locked with another password."""


class TaskFailed(FoedusError):
    """A task ended without a usable result, after its retry."""


class Interrupted(FoedusError):
    """A task was warned that its batch job's time is nearly over, and wrote a checkpoint.

    Not a failure: its next attempt goes on from there.
    """

    exit_code = 75

    def __init__(self, message: str = "the time of this batch job is nearly over") -> None:
        super().__init__(message, "Its next attempt goes on from the checkpoint.")


class VerificationFailed(FoedusError):
    """A check of `foedus verify` did not hold. `place` names the first thing that is wrong."""

    exit_code = 3

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place
