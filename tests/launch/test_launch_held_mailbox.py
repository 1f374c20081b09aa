"""Letters and posts, without processes."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.canonical import Json, canonical_json, parse_canonical_json
from foedus.core.errors import InvalidSpec
from foedus.core.records import Resources
from foedus.launch import JobFolder
from foedus.launch._code import WorkerCode
from foedus.launch.held.letters import Letters, Outbox, TaskOrder
from foedus.launch.held.post import HeldTimes, Post

POST = Post("north", Resources(gpus=1, memory_mb=500), WorkerCode("a:b", "c:d", ("torch",), 2), 60.0)
ORDER = TaskOrder("foedus-1-0", "/jobs/one", 0, 60.0, 100)
TOO_LARGE = 10**400  # for a float
NUMBERS = st.integers() | st.integers(-TOO_LARGE, TOO_LARGE) | st.floats(allow_nan=False)
VALUES = st.none() | st.booleans() | NUMBERS | st.text(max_size=20)


# --- letters ---


def test_letters_arrive_once_and_in_order(tmp_path: Path) -> None:
    writer, reader = Letters(tmp_path / "box"), Letters(tmp_path / "box")
    assert reader.new() == []
    writer.make()
    for number in range(3):
        writer.send({"number": number}, durable=True)
    assert reader.new() == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert reader.new() == []
    writer.send({"number": 3})
    assert reader.new() == [{"number": 3}]


def test_half_a_letter_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    """Its writer was killed; the next one mends the file."""
    Letters(tmp_path / "box").make()
    with (tmp_path / "box" / "events.jsonl").open("ab") as file:
        file.write(canonical_json({"number": 1}) + b'{"number"')
    writer = Letters(tmp_path / "box")
    writer.make()
    writer.send({"number": 2})
    assert Letters(tmp_path / "box").new() == [{"number": 1}, {"number": 2}]


def test_every_letter_and_touch_is_a_sign_of_life(tmp_path: Path) -> None:
    writer, reader = Letters(tmp_path / "box"), Letters(tmp_path / "box")
    writer.make()
    assert reader.is_touched()
    assert not reader.is_touched()
    os.utime(tmp_path / "box" / "events.jsonl", (1, 1))
    assert reader.is_touched()
    writer.touch()
    assert reader.is_touched()
    writer.send({"stop": True})
    assert reader.is_touched()
    assert not Letters(tmp_path / "none").is_touched()


def test_an_order_survives_the_mailbox() -> None:
    letter = parse_canonical_json(canonical_json(ORDER.to_letter()))
    assert isinstance(letter, dict)
    assert TaskOrder.from_letter(letter) == ORDER


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../x"),
        ("name", ""),
        ("name", "a" * 64),
        ("name", 7),
        ("folder", "jobs/one"),
        ("folder", "/jobs/\0"),
        ("number", -1),
        ("number", 1_000_000),
        ("number", True),
        ("number", 1.0),
        ("walltime_s", 0),
        ("walltime_s", "60"),
        ("walltime_s", True),
        ("walltime_s", TOO_LARGE),
        ("memory_mb", -1),
        ("memory_mb", None),
    ],
)
def test_an_order_with_an_unfit_value_is_none(field: str, value: Json) -> None:
    assert TaskOrder.from_letter({**ORDER.to_letter(), field: value}) is None


@given(st.dictionaries(st.sampled_from(TaskOrder.__slots__), VALUES, min_size=1, max_size=2))
def test_no_spoilt_order_is_a_reason_to_stop(spoilt: dict[str, Json]) -> None:
    letter = {**ORDER.to_letter(), **spoilt}
    order = TaskOrder.from_letter(letter)
    if order is not None:
        assert not any(isinstance(value, bool) for value in letter.values())
        walltime_s = letter["walltime_s"]
        assert isinstance(walltime_s, int | float)
        assert order.to_letter() == {**letter, "walltime_s": float(walltime_s)}


# --- what waits ---


def test_what_cannot_be_sent_waits_for_better_times(tmp_path: Path) -> None:
    box = tmp_path / "box"
    Letters(box).make()
    outbox, reader = Outbox(Letters(box)), Letters(box)
    outbox.send({"number": 0})
    assert outbox.touch()
    box.rename(tmp_path / "away")
    outbox.send({"number": 1})
    outbox.send({"number": 2})
    assert not outbox.flush()
    assert not outbox.touch()
    (tmp_path / "away").rename(box)
    assert outbox.flush()
    assert reader.new() == [{"number": 0}, {"number": 1}, {"number": 2}]


def test_letters_that_cannot_be_read_now_are_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(folder: JobFolder, offset: int) -> None:
        raise OSError("stale file handle")

    letters = Letters(tmp_path / "box")
    letters.make()
    letters.send({"number": 0})
    with monkeypatch.context() as patch:
        patch.setattr(JobFolder, "read_events", fails)
        assert letters.new() == []
    assert letters.new() == [{"number": 0}]


# --- posts ---


def test_a_post_survives_its_batch_job_s_spec(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.write_spec(POST.to_json())
    assert Post.from_json(folder.read_spec()) == POST


@pytest.mark.parametrize(
    "change",
    [
        {"affinity": 1},
        {"warning_s": "60"},
        {"warning_s": True},
        {"warning_s": TOO_LARGE},
        {"more": 1},
        {"resources": {}},
        {"resources": None},
        {"code": {"entry": "a:b", "setup": "", "preload": "torch", "threads": 1}},
        {"code": {"entry": "a:b", "setup": "", "preload": [1], "threads": 1}},
        {"code": {"entry": "import os", "setup": "", "preload": [], "threads": 1}},
        {"code": {"entry": "a:b", "setup": "", "preload": [], "threads": 0}},
    ],
)
def test_an_unfit_post_is_refused(change: dict[str, Json]) -> None:
    with pytest.raises(InvalidSpec):
        Post.from_json({**POST.to_json(), **change})
    with pytest.raises(InvalidSpec):
        Post.from_json({"affinity": "north"})


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_times_must_be_positive(value: float) -> None:
    with pytest.raises(InvalidSpec, match="walltime_s"):
        HeldTimes(walltime_s=value)


@pytest.mark.parametrize("name", ["idle_s", "silent_s"])
def test_nobody_is_given_up_between_two_signs_of_life(name: str) -> None:
    with pytest.raises(
        InvalidSpec, match=f"{name} .* at least 3 times beat_s, got 44.9 s with 15 s"
    ) as caught:
        HeldTimes(**{name: 44.9})
    assert caught.value.hint == f"Raise {name} to 45 s, or lower beat_s."
    HeldTimes(**{name: 45.0})
