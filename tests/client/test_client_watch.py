"""What the display knows: the state behind the bars, and the lines worth keeping."""

import io
import time
from dataclasses import replace

import pytest

from foedus.client.progress import show_progress
from foedus.client.status import RoundStatus, RunStatus
from foedus.client.watch import Watch
from foedus.core.ids import ClientId
from foedus.core.records import JobState, TaskKind
from foedus.rounds.progress import Progress

A, B = ClientId("client-1"), ClientId("client-2")
NEW = RunStatus("mnist-1", "new", rounds=10, score_name="F1")


def one_round() -> list[Progress]:
    return [
        Progress("setup", values={"run": "mnist-1", "clients": 2}),
        Progress("task", 1, A, {"kind": TaskKind.TRAIN}),
        Progress("task", 1, B, {"kind": TaskKind.TRAIN}),
        Progress("step", 1, A, {"kind": TaskKind.TRAIN, "done": 3, "total": 10, "loss": 0.41}),
        Progress("task-done", 1, A, {"kind": TaskKind.TRAIN, "f1": 0.5}),
        Progress("registered", 1, A, {"score_ppb": 500_000_000, "tx": "0x"}),
        Progress("declined", 1, B, {"reason": "gate: 0.4000 against 0.5000"}),
        Progress("task", 1, A, {"kind": TaskKind.AGGREGATE}),
        Progress("task-done", 1, A, {"kind": TaskKind.AGGREGATE, "test_accuracy": 0.91, "test_f1": 0.9}),
        Progress("proposed", 1, A, {}),
        Progress("voted", 1, B, {"choice": 1}),
        Progress("round-ended", 1, None, {"outcome": "accepted", "version": 1}),
    ]


def test_a_round_gives_one_line_with_everything_that_matters() -> None:
    watch = Watch(NEW)

    lines = [line for progress in one_round() for line in watch.take(progress)]

    assert len(lines) == 1
    line, refusal = lines[0].split("\n")
    for part in (
        "round  1/10",
        "accepted",
        "version  1",
        "1/2 registered",
        "local F1 0.500",
        "test accuracy 0.910",
    ):
        assert part in line
    assert refusal == "    client-2: gate: 0.4000 against 0.5000"


def test_clients_show_what_they_do_now() -> None:
    watch = Watch(NEW)
    seen = []
    for progress in one_round():
        watch.take(progress)
        seen.append({name: now.doing for name, now in watch.clients.items()})

    assert seen[2] == {A: "train", B: "train"}
    assert seen[-1] == {A: "proposed a candidate", B: "voted yes"}
    watch.take(Progress("round", 2, None, {"step": 1, "version": 1}))
    assert {now.doing for now in watch.clients.values()} == {"waiting"}


def test_share_of_a_task_stays_within_bounds_whatever_it_says() -> None:
    watch = Watch(NEW)
    for done, total, expected in ((3, 10, 0.3), (11, 10, 1.0), (-1, 10, 0.0), ("x", 10, None), (1, 0, None)):
        watch.take(Progress("step", 1, A, {"done": done, "total": total, "loss": None}))
        assert watch.client(A).share == expected


def test_a_resumed_round_remembers_what_was_registered_before() -> None:
    before = RoundStatus(3, "open", 2, 2, {"client-1": 0.7}, {}, {}, {}, None, None, None)
    clients = ("client-1", "client-2")
    watch = Watch(replace(NEW, state="interrupted", clients=clients, version=2, under_way=before))

    watch.take(Progress("registered", 3, B, {"score_ppb": 800_000_000}))
    [line] = watch.take(Progress("round-ended", 3, None, {"outcome": "accepted", "version": 3}))

    assert "2/2 registered  local F1 0.700 0.800" in line


def test_failures_and_alarms_are_told_at_once() -> None:
    watch = Watch(NEW)

    failed = watch.take(Progress("task-failed", 1, A, {"kind": TaskKind.TRAIN, "cause": "ran out of memory"}))
    refused = watch.take(Progress("refused", 1, A, {"reason": "Foedus: closed"}))
    alarm = watch.take(Progress("alarm", 4, None, {"rejections": 3}))

    assert failed == ["round 1: the train task of client-1 failed: ran out of memory"]
    assert refused == ["round 1: the contract refused a transaction of client-1: Foedus: closed"]
    assert alarm[0].startswith("alarm: 3 candidates in a row were rejected")


def test_what_is_unknown_is_no_error() -> None:
    assert Watch(NEW).take(Progress("something-new", 1, A, {"x": 1})) == []


def test_lines_without_a_terminal_hold_no_control_characters() -> None:
    stream = io.StringIO()

    with show_progress(NEW, stream) as observe:
        for progress in one_round():
            observe(progress)
        observe(Progress("task-failed", 2, A, {"kind": "train", "cause": "\x1b[2J[bold]x"}))

    text = stream.getvalue()
    assert len(text.splitlines()) == 3
    assert all(c.isprintable() for c in text.replace("\n", ""))
    assert "\N{REPLACEMENT CHARACTER}[2J[bold]x" in text


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_bars_and_its_cursor_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    stream = _Terminal()

    with show_progress(NEW, stream) as observe:
        for progress in one_round():
            observe(progress)

    text = stream.getvalue()
    assert "client-1" in text
    assert "accepted" in text
    assert "[bold]" not in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_taking_in_a_record_is_cheap() -> None:
    stream = io.StringIO()
    records = [Progress("step", 1, A, {"done": n, "total": 1000, "loss": 0.5}) for n in range(1000)]

    with show_progress(NEW, stream) as observe:
        started = time.perf_counter()
        for progress in records:
            observe(progress)
        seconds = time.perf_counter() - started

    assert seconds / len(records) < 0.001


def test_a_batch_job_that_waits_is_shown_with_the_reason_and_told_once_a_round() -> None:
    watch = Watch(NEW)
    queued: dict[str, object] = {"kind": "train", "state": JobState.QUEUED, "cause": "waiting for resources"}
    assert watch.take(Progress("task-state", 0, None, {**queued, "kind": "prepare"})) == [
        "prepare is queued: waiting for resources"
    ]
    assert watch.preparing == "queued: waiting for resources"
    watch.take(Progress("task", 1, A, {"kind": "train"}))
    assert watch.take(Progress("task-state", 1, A, queued)) == [
        "round 1: train is queued: waiting for resources"
    ]
    assert watch.take(Progress("task-state", 1, B, queued)) == []
    assert watch.client(A).waits == watch.client(B).waits == "queued: waiting for resources"
    running = {"kind": "train", "state": JobState.RUNNING, "cause": ""}
    assert watch.take(Progress("task-state", 1, A, running)) == []
    assert watch.client(A).waits == ""
    lost = {"kind": "train", "state": JobState.UNKNOWN, "cause": "squeue does\nnot answer \x1b[2J"}
    assert watch.take(Progress("task-state", 1, A, lost)) == [
        "round 1: train is unknown: squeue does not answer \ufffd[2J"
    ]
