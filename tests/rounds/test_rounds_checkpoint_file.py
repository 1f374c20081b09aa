"""The file that holds a checkpoint: when it is written, and that only the very same bytes are taken back."""

import os
import signal
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from foedus.core.errors import Interrupted
from foedus.launch import JobFolder
from foedus.learn.weights import Weights, specs_of
from foedus.rounds.tasks.checkpoint import FolderCheckpoints, checkpoints_in
from foedus.store import TensorFile, encode

NAME = "checkpoint.safetensors"
NEVER = 1e9  # seconds
TENSORS: Weights = {"counts": np.array([3, 1], np.int64), "model/w": np.array([[0.5], [-1.0]], np.float32)}


def kept(path: Path, every_s: float = NEVER, spec: int = 1) -> FolderCheckpoints:
    path.mkdir(exist_ok=True)
    JobFolder(path).write_spec({"kind": "train", "number": spec})
    return FolderCheckpoints(JobFolder(path), every_s)


def found(path: Path, name: str = "sgd", tensors: Weights = TENSORS, spec: int = 1) -> Weights | None:
    return kept(path, spec=spec).load(name, specs_of(tensors))


def test_what_is_saved_is_loaded_by_the_same_task(tmp_path: Path) -> None:
    assert found(tmp_path / "job") is None
    kept(tmp_path / "job").save("sgd", TENSORS)
    loaded = found(tmp_path / "job")
    assert loaded is not None
    assert specs_of(loaded) == specs_of(TENSORS)
    assert all(loaded[name].tobytes() == tensor.tobytes() for name, tensor in TENSORS.items())


@pytest.mark.parametrize(
    "asked",
    [
        {"name": "other"},
        {"spec": 2},
        {"tensors": {**TENSORS, "more": np.zeros(1)}},
        {"tensors": {"counts": TENSORS["counts"]}},
        {"tensors": {**TENSORS, "model/w": np.zeros((1, 2), np.float32)}},
        {"tensors": {**TENSORS, "model/w": np.zeros((2, 1), np.int32)}},
        {"tensors": {**TENSORS, "model/w": np.zeros((1 << 40, 0), np.float32)}},
    ],
    ids=["name", "task", "more", "fewer", "shape", "type", "empty"],
)
def test_a_foreign_checkpoint_is_ignored(
    tmp_path: Path, asked: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    kept(tmp_path / "job").save("sgd", TENSORS)
    assert found(tmp_path / "job", **asked) is None
    assert "starts from the beginning" in capsys.readouterr().out
    assert found(tmp_path / "job") is not None


@pytest.mark.slow
def test_a_checkpoint_with_any_byte_damaged_is_ignored(tmp_path: Path) -> None:
    kept(tmp_path / "job").save("sgd", TENSORS)
    file = tmp_path / "job" / NAME
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        assert found(tmp_path / "job") is None, place
        file.write_bytes(whole[:place])
        assert found(tmp_path / "job") is None, place
    file.write_bytes(whole + b"\0")
    assert found(tmp_path / "job") is None
    file.write_bytes(whole)
    assert found(tmp_path / "job") is not None


def test_a_sealed_file_says_nothing_but_its_tensors(tmp_path: Path) -> None:
    kept(tmp_path / "job").save("sgd", TENSORS)
    file = TensorFile(BytesIO((tmp_path / "job" / NAME).read_bytes()))
    assert file.names() == ("counts", "model/w", "seal")
    assert file.read("seal").shape == (32,)


def test_a_seal_of_ones_own_making_needs_the_task(tmp_path: Path) -> None:
    forged = {**TENSORS, "seal": np.zeros(32, np.uint8)}
    kept(tmp_path / "job")
    (tmp_path / "job" / NAME).write_bytes(b"".join(bytes(part) for part in encode(forged)))
    assert found(tmp_path / "job") is None


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "endless"])
def test_only_a_plain_file_of_the_right_size_is_read(tmp_path: Path, kind: str) -> None:
    kept(tmp_path / "other").save("sgd", TENSORS)
    kept(tmp_path / "job")
    place = tmp_path / "job" / NAME
    if kind == "link":
        place.symlink_to(tmp_path / "other" / NAME)
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        with place.open("wb") as file:
            file.truncate(1 << 40)
    assert found(tmp_path / "job") is None


# --- when it is due ---


def test_a_checkpoint_is_due_a_while_after_the_start_and_after_the_last_one(tmp_path: Path) -> None:
    now = 100.0
    kept(tmp_path / "job")
    checkpoints = FolderCheckpoints(JobFolder(tmp_path / "job"), 60.0, lambda: now)
    now = 159.9
    assert not checkpoints.is_due()
    now = 160.0
    assert checkpoints.is_due()
    now = 163.0
    checkpoints.save("sgd", TENSORS)
    now = 222.9
    assert not checkpoints.is_due()
    now = 223.0
    assert checkpoints.is_due()


def test_a_warning_makes_the_next_checkpoint_the_last(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path / "job")
    assert not checkpoints.is_due()
    checkpoints.warn()
    assert checkpoints.is_due()
    with pytest.raises(Interrupted):
        checkpoints.save("sgd", TENSORS)
    assert found(tmp_path / "job") is not None


@pytest.mark.parametrize("is_warned", [False, True])
def test_training_goes_on_when_the_folder_cannot_be_written_to(
    tmp_path: Path, is_warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = kept(tmp_path / "job")
    (tmp_path / "job" / NAME).mkdir()  # nothing can be renamed to it
    if is_warned:
        checkpoints.warn()
    checkpoints.save("sgd", TENSORS)
    assert "could not be written" in capsys.readouterr().err
    assert not checkpoints.is_due()  # not again after every step


def test_a_name_is_used_once(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path / "job")
    checkpoints.load("first", specs_of(TENSORS))
    checkpoints.load("second", specs_of(TENSORS))
    with pytest.raises(ValueError, match="each its own name"):
        checkpoints.load("first", specs_of(TENSORS))


def test_in_other_threads_there_are_checkpoints_without_warning(tmp_path: Path) -> None:
    kept(tmp_path / "job")
    before = signal.getsignal(signal.SIGUSR1)
    seen = []

    def keep() -> None:
        with checkpoints_in(JobFolder(tmp_path / "job"), NEVER) as checkpoints:
            seen.append(signal.getsignal(signal.SIGUSR1) is before)
            checkpoints.save("sgd", TENSORS)

    thread = threading.Thread(target=keep)
    thread.start()
    thread.join()
    assert seen == [True]
    assert found(tmp_path / "job") is not None


def test_the_old_handler_is_back_after_an_error(tmp_path: Path) -> None:
    kept(tmp_path / "job")
    before = signal.getsignal(signal.SIGUSR1)
    keeping = checkpoints_in(JobFolder(tmp_path / "job"), 1.0)
    keeping.__enter__()
    assert signal.getsignal(signal.SIGUSR1) is not before
    assert not keeping.__exit__(KeyError, KeyError(), None)
    assert signal.getsignal(signal.SIGUSR1) is before
