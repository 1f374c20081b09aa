"""What slurmrestd answers, read strictly: a batch job that does not fit is left out, never guessed at.

Numbers come plain (v0.0.38) or as `{"set": true, "infinite": false, "number": 5}` (v0.0.40 and above), and
states as a word or a list of words.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from foedus.core.canonical import Json
from foedus.launch.slurm.parsing import OUR_NAME
from foedus.launch.slurm.words import NativeJob

Record = Mapping[str, Json]

_STATE = re.compile(r"[A-Z_]{2,32}", re.ASCII)
_MOST = 1 << 32
_WORDS_CHARACTERS = 500
_REASON_CHARACTERS = 160
_VAGUE = ("", "Unspecified error")
# Beside the state proper, and what squeue shows instead of it.
_FLAGS = (
    "COMPLETING",
    "STAGE_OUT",
    "CONFIGURING",
    "RESIZING",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "SPECIAL_EXIT",
    "STOPPED",
    "REVOKED",
    "RESV_DEL_HOLD",
    "SIGNALING",
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What slurmrestd says went wrong: Slurm's numbers of the errors, and its words (may be empty)."""

    numbers: frozenset[int] = frozenset()
    words: str = ""

    def __bool__(self) -> bool:
        return bool(self.numbers or self.words)


def parsed(data: bytes) -> Record:
    """Return the object that these bytes hold. Raises ValueError for anything else."""
    try:
        value = json.loads(data, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("JSON is nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("JSON holds no object")
    return value


def trouble(answer: Record) -> Trouble:
    """Return what the answer's list of errors says; false when it is empty or not there."""
    entries = answer.get("errors")
    if entries is None:
        return Trouble()
    if not isinstance(entries, list):
        return Trouble(words="its list of errors is none")
    numbers, words = set[int](), dict[str, None]()  # which keeps their order, each once
    for entry in entries[:10]:
        values = entry if isinstance(entry, dict) else {}
        codes = (values.get(key) for key in ("error_number", "error_code"))
        numbers.update(code for code in codes if type(code) is int)
        words.update((_text(values.get(key)), None) for key in ("error", "description"))
    said = "; ".join(word for word in words if word not in _VAGUE)
    return Trouble(frozenset(numbers), (said or (_VAGUE[1] if entries else ""))[:_WORDS_CHARACTERS])


def accepted_id(answer: Record) -> str | None:
    """Return the id of a batch job that was taken; None when none was."""
    result = answer.get("result")
    inner = result.get("job_id") if isinstance(result, dict) else None
    number = _count(answer.get("job_id")) or _count(inner)
    return str(number) if number else None


def native_jobs(answer: Record, user: str) -> Iterator[NativeJob]:
    """Yield our batch jobs, which have our kind of name and belong to the user.

    Raises ValueError where the answer has no list of batch jobs.
    """
    records = answer.get("jobs")
    if not isinstance(records, list):
        raise ValueError("there is no list of batch jobs")
    for record in records:
        if isinstance(record, dict) and record.get("user_name") == user:
            job = _native_job(record)
            if job is not None:
                yield job


def _native_job(record: Record) -> NativeJob | None:
    number, name, state = _count(record.get("job_id")), record.get("name"), _state(record.get("job_state"))
    if not number or not isinstance(name, str) or not OUR_NAME.fullmatch(name) or not state:
        return None
    reason = _text(record.get("state_description")) or _text(record.get("state_reason"))
    code, signal = _ended(record.get("exit_code"))
    return NativeJob(str(number), name, state, reason[:_REASON_CHARACTERS], code, signal)


def _state(value: Json) -> str:
    words = value if isinstance(value, list) else [value]
    known = [word for word in words if isinstance(word, str) and _STATE.fullmatch(word)]
    return next((word for word in _FLAGS if word in known), known[0] if known else "")


def _ended(value: Json) -> tuple[int | None, int | None]:
    """Return exit code and signal, from wait()'s number or told one by one."""
    if isinstance(value, dict) and "number" not in value:
        signal = value.get("signal")
        inner = signal.get("id") if isinstance(signal, dict) else None
        return _count(value.get("return_code")), _count(inner)
    status = _count(value)
    return (None, None) if status is None else (status >> 8 & 0xFF, status & 0x7F)


def _count(value: Json) -> int | None:
    if isinstance(value, dict):
        value = value.get("number") if value.get("set") is True and not value.get("infinite") else None
    return value if type(value) is int and 0 <= value < _MOST else None


def _text(value: Json) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:_WORDS_CHARACTERS])


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"JSON holds {name}")
