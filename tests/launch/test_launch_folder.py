import fcntl
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.errors import InvalidData, InvalidSpec, TaskFailed
from foedus.launch import JobFolder
from foedus.launch.folder import EVENT_LIMIT_BYTES, EVENTS_CHUNK_BYTES, RESULT_LIMIT_BYTES


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    return JobFolder(tmp_path)


def test_what_is_written_is_read(folder: JobFolder) -> None:
    folder.write_spec({"rate": 0.1})
    folder.write_update([b"ab", memoryview(b"cd")])
    folder.finish({"cid": "x"})
    update = folder.open_update()
    assert update is not None
    with update:
        assert update.read() == b"abcd"
    assert folder.read_spec() == {"rate": 0.1}
    assert folder.read_result() == {"cid": "x"}
    assert sorted(os.listdir(folder.path)) == ["result.json", "spec.json", "update.safetensors"]
    assert (folder.path / "result.json").stat().st_mode & 0o777 == 0o600


def test_an_empty_folder_has_no_results(folder: JobFolder) -> None:
    assert folder.read_result() is None
    assert folder.read_failure() is None
    assert folder.open_update() is None
    assert folder.read_events() == ([], 0)
    assert folder.read_log() == ""
    assert not folder.has_spec()
    with pytest.raises(InvalidSpec, match=r"no spec\.json"):
        folder.read_spec()


def test_removing_the_update_twice_is_harmless(folder: JobFolder) -> None:
    folder.write_update([b"ab"])
    folder.remove_update()
    folder.remove_update()
    assert folder.open_update() is None


def test_a_missing_folder_reads_as_empty(tmp_path: Path) -> None:
    assert JobFolder(tmp_path / "none").read_result() is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[1]\n",
        b'{"a":1}',  # cut off before the newline
        b'{"a":1,"a":2}\n',
        b'{"b":1,"a":2}\n',
        b'{"a":NaN}\n',
        b'{"a":1e999}\n',
        b'{"a":"\\ud800"}\n',
        b'{"a":"\xff"}\n',
        b"\xef\xbb\xbf{}\n",
        b"[" * 100_000,
        b'{"a":' + b"9" * 5000 + b"}\n",
    ],
)
def test_hostile_json_is_refused(folder: JobFolder, text: bytes) -> None:
    for name in ("spec.json", "result.json", "failure.json", "job.json"):
        (folder.path / name).write_bytes(text)
    with pytest.raises(TaskFailed):
        folder.read_result()
    with pytest.raises(InvalidSpec):
        folder.read_spec()
    assert folder.read_failure() is None
    assert not folder.has_result_of("key")


def test_large_files_are_refused_unread(folder: JobFolder) -> None:
    with open(folder.path / "result.json", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(TaskFailed, match="exceeds the limit"):
        folder.read_result()
    with pytest.raises(ValueError, match="exceed the limit"):
        folder.finish({"a": "x" * RESULT_LIMIT_BYTES})


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_only_plain_files_are_read(folder: JobFolder, tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret").write_bytes(b"{}\n")
    for name in ("spec.json", "result.json", "failure.json", "events.jsonl", "out.log", "update.safetensors"):
        path = folder.path / name
        {"link": lambda p: p.symlink_to("secret"), "fifo": os.mkfifo, "folder": Path.mkdir}[kind](path)
    assert not folder.has_spec()
    with pytest.raises(TaskFailed):
        folder.read_result()
    with pytest.raises(TaskFailed):
        folder.open_update()
    assert folder.read_failure() is None
    assert folder.read_events(7) == ([], 7)
    assert folder.read_log() == ""
    with pytest.raises((OSError, ValueError)):
        folder.emit({})
    with pytest.raises((OSError, ValueError)):
        os.close(folder.open_log())
    assert (tmp_path / "secret").read_bytes() == b"{}\n"


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    JobFolder(tmp_path / "real").finish({})
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(TaskFailed):
        JobFolder(tmp_path / "link").read_result()


def test_writing_replaces_a_link_and_not_its_target(folder: JobFolder, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    for name in ("result.json", ".result.json.tmp"):
        (folder.path / name).symlink_to("precious")
    folder.finish({"a": 1})
    assert folder.read_result() == {"a": 1}
    assert (tmp_path / "precious").read_text() == "kept"


def test_events_are_tailed_line_by_line(folder: JobFolder) -> None:
    folder.emit({"step": 1})
    with open(folder.path / "events.jsonl", "ab") as file:
        file.write(b'{"step":2')
    events, offset = folder.read_events()
    assert (events, folder.read_events(offset)) == ([{"step": 1}], ([], offset))
    with open(folder.path / "events.jsonl", "ab") as file:
        file.write(b'}\n{"step":3}\n')
    events, offset = folder.read_events(offset)
    assert events == [{"step": 2}, {"step": 3}]
    assert folder.read_events(offset) == ([], offset)


def test_a_new_attempts_events_are_read_from_the_start(folder: JobFolder) -> None:
    folder.emit({"text": "the first attempt said much"})
    _, offset = folder.read_events()
    folder.begin("key")
    folder.emit({"a": 1})
    assert folder.read_events(offset)[0] == [{"a": 1}]


def test_lines_that_are_no_events_are_skipped(folder: JobFolder) -> None:
    long = b'{"a":"' + b"x" * EVENT_LIMIT_BYTES + b'"}\n'
    (folder.path / "events.jsonl").write_bytes(b'null\n\x00\xff\n{"a":NaN}\n' + long + b'{"ok":1}\n')
    assert folder.read_events()[0] == [{"ok": 1}]
    with pytest.raises(ValueError, match="exceed the limit"):
        folder.emit({"a": "x" * EVENT_LIMIT_BYTES})


def test_an_endless_line_does_not_stop_the_reading(folder: JobFolder) -> None:
    (folder.path / "events.jsonl").write_bytes(b"x" * (EVENTS_CHUNK_BYTES + 10) + b'\n{"ok":1}\n')
    events, offset = folder.read_events()
    assert (events, offset) == ([], EVENTS_CHUNK_BYTES)
    assert folder.read_events(offset)[0] == [{"ok": 1}]


@given(st.binary(max_size=200), st.integers(-5, 300))
def test_reading_events_never_raises(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, offset: int
) -> None:
    folder = JobFolder(tmp_path_factory.getbasetemp())
    (folder.path / "events.jsonl").write_bytes(data)
    _, end = folder.read_events(offset)
    assert 0 <= end <= len(data)


def test_failures_carry_the_users_words(folder: JobFolder) -> None:
    folder.fail(InvalidData("the partition is empty", "Give it some rows."))
    failure = folder.read_failure()
    assert failure is not None
    assert (failure.kind, failure.message, failure.hint) == (
        "InvalidData",
        "the partition is empty",
        "Give it some rows.",
    )
    assert str(failure) == "the partition is empty\nGive it some rows."


def test_any_error_can_be_told(folder: JobFolder) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    for error in (MuteError(), ValueError("\ud800\x1b[2J" + "x" * 1_000_000), KeyboardInterrupt()):
        folder.fail(error)
        failure = folder.read_failure()
        assert failure is not None
        assert failure.kind == type(error).__name__
        assert "\x1b" not in failure.message
        assert len(failure.message) <= 4096


def test_what_others_wrote_as_failure_is_made_printable(folder: JobFolder) -> None:
    words = {"kind": "K", "message": "\u001b[31m", "hint": "", "traceback": ""}
    text = json.dumps(words, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    (folder.path / "failure.json").write_text(text + "\n")
    failure = folder.read_failure()
    assert failure is not None
    assert failure.message == "\ufffd[31m"


def test_a_result_counts_for_its_own_key_only(folder: JobFolder) -> None:
    folder.begin("first")
    folder.finish({})
    assert folder.has_result_of("first")
    assert not folder.has_result_of("second")
    folder.begin("second")
    assert folder.read_result() is None


def test_beginning_removes_everything_but_spec_and_log(folder: JobFolder) -> None:
    folder.write_spec({})
    os.close(folder.open_log())
    folder.emit({})
    folder.write_update([b""])
    folder.fail(ValueError())
    folder.finish({})
    (folder.path / ".update.safetensors.tmp").touch()
    folder.begin("key")
    assert sorted(os.listdir(folder.path)) == ["job.json", "out.log", "spec.json"]


def test_only_the_tail_of_the_log_is_read(folder: JobFolder) -> None:
    (folder.path / "out.log").write_bytes(b"a" * 100_000 + b"\xffend\n")
    assert folder.read_log().endswith("\ufffdend\n")
    assert len(folder.read_log()) == 64 << 10


def test_an_event_that_does_not_fit_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, write = JobFolder(tmp_path), os.write
    folder.emit({"step": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:5]))
        with pytest.raises(OSError, match="No space left"):
            folder.emit({"step": 2})
    folder.emit({"step": 3})
    assert (tmp_path / "events.jsonl").read_bytes() == b'{"step":1}\n{"step":3}\n'


# --- held by a process ---


def test_a_look_at_whether_a_job_is_held_does_not_keep_it_from_being_held(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.begin("key")
    with (tmp_path / "job.json").open("rb") as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        threading.Timer(0.03, lambda: fcntl.flock(look, fcntl.LOCK_UN)).start()
        held = folder.hold()
    assert held is not None
    assert folder.is_held()
    os.close(held)
    assert not folder.is_held()


def test_a_job_that_is_held_elsewhere_costs_no_descriptor(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.begin("key")
    held = folder.hold()
    assert held is not None
    before = len(os.listdir("/proc/self/fd"))
    assert folder.hold() is None
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(held)
