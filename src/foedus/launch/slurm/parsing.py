"""What Slurm's commands print, read strictly: a line that does not fit is left out, never guessed at."""

import re
from collections.abc import Iterator

from foedus.launch.slurm.words import NativeJob

SQUEUE_FORMAT = "%i|%T|%r|%j"
SACCT_FORMAT = "JobIDRaw,State,ExitCode,JobName"
OUR_NAME = re.compile(r"foedus-[0-9a-f]{24}-[0-9]{1,6}", re.ASCII)
_ID = re.compile(r"[0-9]{1,10}", re.ASCII)
_STATE = re.compile(r"([A-Z_]{2,32})\+?(?: by (\S{1,64}))?", re.ASCII)
_EXIT = re.compile(r"([0-9]{1,5}):([0-9]{1,5})", re.ASCII)


def squeue_jobs(text: str) -> Iterator[NativeJob]:
    """Yield our batch jobs of `squeue --format=SQUEUE_FORMAT`."""
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) == 4 and _ID.fullmatch(fields[0]) and OUR_NAME.fullmatch(fields[3]):
            yield NativeJob(fields[0], fields[3], fields[1], fields[2])


def sacct_jobs(text: str) -> Iterator[NativeJob]:
    """Yield our batch jobs of `sacct -X -P --format=SACCT_FORMAT`; of one name the last is the newest."""
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) != 4 or not _ID.fullmatch(fields[0]) or not OUR_NAME.fullmatch(fields[3]):
            continue
        state, ended = _STATE.fullmatch(fields[1]), _EXIT.fullmatch(fields[2])
        if state is not None:
            code, number = (int(ended[1]), int(ended[2])) if ended else (None, None)
            by = f"user {state[2]}" if state[2] else ""
            yield NativeJob(fields[0], fields[3], state[1], "", code, number, by)


def scontrol_job(text: str) -> NativeJob | None:
    """Return the batch job of `scontrol --oneliner show job`; of repeated keys the first counts."""
    values: dict[str, str] = {}
    for key, value in re.findall(r"(?:^|\s)([A-Za-z/:]+)=(\S*)", text):
        values.setdefault(key, value)
    number, name, state = (values.get(key, "") for key in ("JobId", "JobName", "JobState"))
    if not (_ID.fullmatch(number) and OUR_NAME.fullmatch(name) and _STATE.fullmatch(state)):
        return None
    ended = _EXIT.fullmatch(values.get("ExitCode", ""))
    return NativeJob(
        number,
        name,
        state,
        values.get("Reason", ""),
        int(ended[1]) if ended else None,
        int(ended[2]) if ended else None,
    )
