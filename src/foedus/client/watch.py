"""What is happening in a run right now, gathered from `Progress` records: the state behind the display.

Taking in a record costs microseconds; drawing is somebody else's business.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from foedus.client.output import one_line, seconds_text
from foedus.client.status import RunStatus
from foedus.core.records import SCORE_SCALE, Choice, JobState
from foedus.rounds.progress import Progress


@dataclass(slots=True)
class ClientNow:
    """What one client does now; `share` of it is done (None: nobody can tell)."""

    doing: str = "waiting"
    share: float | None = None
    loss: float | None = None
    waits: str = ""  # how its batch job stands, unless that simply runs


@dataclass(slots=True)
class RoundNow:
    """What has happened in the round that is under way."""

    number: int = 0
    started: float = 0.0
    registered: dict[str, float] = field(default_factory=dict)  # client -> local score
    declined: dict[str, str] = field(default_factory=dict)  # client -> reason
    test_accuracy: float | None = None


class Watch:
    """Takes in the records of one run. `lines` that are worth keeping come out of `take`."""

    def __init__(self, status: RunStatus) -> None:
        self.run = status.name
        self.rounds = status.rounds
        self.score_name = status.score_name
        self.ended_rounds = len(status.history)
        self.version = status.version
        self.exchange = 1
        self.clients = {name: ClientNow() for name in status.clients}
        self.now = RoundNow(started=time.monotonic())
        self.preparing = ""  # how the batch job that prepares the run stands
        self._said: set[str] = set()
        if status.under_way is not None:  # what an earlier process has seen of this round
            self.now.number = status.under_way.round
            self.now.registered |= status.under_way.local_f1
            self.now.declined |= status.under_way.declined
        self._started = time.monotonic()

    def seconds(self) -> float:
        """Return how long this process has been watching."""
        return time.monotonic() - self._started

    def take(self, progress: Progress) -> list[str]:
        """Take in one record; return the lines that it is worth, without markup."""
        if progress.round > self.now.number:  # the driver tells of no round that was open when it came
            self.now = RoundNow(progress.round, time.monotonic())
            self._said.clear()
        handler = _HANDLERS.get(progress.what)
        line = handler(self, progress) if handler else ""
        return [line] if line else []

    @property
    def is_set_up(self) -> bool:
        """Whether the run has reached its first task."""
        return bool(self.clients)

    def once(self, line: str) -> str:
        """Return a line the first time that it is said in this round."""
        is_new = line not in self._said
        self._said.add(line)
        return line if is_new else ""

    def client(self, name: object) -> ClientNow:
        """Return what a client does; a new one waits."""
        return self.clients.setdefault(str(name), ClientNow())


def _round(watch: Watch, progress: Progress) -> str:
    watch.version, watch.exchange = _int(progress.values, "version"), _int(progress.values, "step")
    for client in watch.clients.values():
        client.doing, client.share, client.loss, client.waits = "waiting", None, None, ""
    return ""


def _task(watch: Watch, progress: Progress) -> str:
    client = watch.client(progress.client)
    client.doing, client.share, client.loss = str(progress.values.get("kind", "")), 0.0, None
    client.waits = ""
    if client.doing != "train":
        client.share = None  # merging and checking tell no steps
    return ""


def _task_state(watch: Watch, progress: Progress) -> str:
    """Show how a batch job waits; of many clients' that wait alike, one line is enough."""
    state, cause = str(progress.values.get("state", "")), str(progress.values.get("cause") or "")
    waits = "" if state == JobState.RUNNING and not cause else f"{state}: {cause}" if cause else state
    if progress.client is None:
        watch.preparing = one_line(waits)
    else:
        watch.client(progress.client).waits = one_line(waits)
    if not cause:
        return ""
    where = f"round {progress.round}: " if progress.round else ""
    return watch.once(one_line(f"{where}{progress.values.get('kind')} is {waits}"))


def _step(watch: Watch, progress: Progress) -> str:
    client = watch.client(progress.client)
    done, total = _number(progress.values, "done"), _number(progress.values, "total")
    client.share = min(1.0, max(0.0, done / total)) if done is not None and total else None
    client.loss = _number(progress.values, "loss")
    return ""


def _task_done(watch: Watch, progress: Progress) -> str:
    client = watch.client(progress.client)
    kind = str(progress.values.get("kind", ""))
    client.waits = ""
    client.doing, client.share = {"train": "trained", "verify": "verified"}.get(kind, "aggregated"), None
    if "test_accuracy" in progress.values:
        watch.now.test_accuracy = _number(progress.values, "test_accuracy")
    return ""


def _task_failed(watch: Watch, progress: Progress) -> str:
    client = watch.client(progress.client)
    client.doing, client.share, client.waits = "failed", None, ""
    cause = progress.values.get("cause") or "no cause given"
    kind = progress.values.get("kind")
    return one_line(f"round {progress.round}: the {kind} task of {progress.client} failed: {cause}")


def _registered(watch: Watch, progress: Progress) -> str:
    watch.client(progress.client).doing = "registered"
    score = _number(progress.values, "score_ppb") or 0.0
    watch.now.registered[str(progress.client)] = score / SCORE_SCALE
    return ""


def _declined(watch: Watch, progress: Progress) -> str:
    reason = str(progress.values.get("reason", ""))
    watch.client(progress.client).doing = "refused by the gate" if reason.startswith("gate") else "declined"
    watch.now.declined[str(progress.client)] = reason
    return ""


def _proposed(watch: Watch, progress: Progress) -> str:
    watch.client(progress.client).doing = "proposed a candidate"
    return ""


def _voted(watch: Watch, progress: Progress) -> str:
    choice = Choice(_int(progress.values, "choice")).name.lower()
    watch.client(progress.client).doing = f"voted {choice}"
    return ""


def _refused(watch: Watch, progress: Progress) -> str:
    reason = progress.values.get("reason")
    return one_line(
        f"round {progress.round}: the contract refused a transaction of {progress.client}: {reason}"
    )


def _round_ended(watch: Watch, progress: Progress) -> str:
    now = watch.now
    watch.ended_rounds, watch.version = progress.round, _int(progress.values, "version")
    answers = len(now.registered) + len(now.declined)
    width = len(str(watch.rounds))
    parts = [
        f"round {progress.round:>{width}}/{watch.rounds}",
        f"{progress.values.get('outcome')!s:<8}",
        f"version {watch.version:>{width}}",
        f"{len(now.registered)}/{max(answers, len(watch.clients))} registered",
    ]
    if now.registered:
        parts.append(
            f"local {watch.score_name} "
            + " ".join(f"{now.registered[name]:.3f}" for name in sorted(now.registered)[:8])
        )
    if now.test_accuracy is not None:
        parts.append(f"test accuracy {now.test_accuracy:.3f}")
    parts.append(seconds_text(time.monotonic() - now.started))
    refusals = "".join(
        f"\n    {one_line(f'{name}: {reason}')}" for name, reason in sorted(now.declined.items())
    )
    return one_line("  ".join(parts)) + refusals


def _alarm(watch: Watch, progress: Progress) -> str:
    count = progress.values.get("rejections")
    return f"alarm: {count} candidates in a row were rejected; the clients may have drifted apart"


_HANDLERS = {
    "round": _round,
    "task": _task,
    "task-state": _task_state,
    "step": _step,
    "task-done": _task_done,
    "task-failed": _task_failed,
    "registered": _registered,
    "declined": _declined,
    "proposed": _proposed,
    "voted": _voted,
    "refused": _refused,
    "round-ended": _round_ended,
    "alarm": _alarm,
}


def _number(values: Mapping[str, object], key: str) -> float | None:
    value = values.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _int(values: Mapping[str, object], key: str) -> int:
    return int(_number(values, key) or 0)
