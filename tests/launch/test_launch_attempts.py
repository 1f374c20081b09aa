"""Attempts of a job folder: their order, and that just one of them is ever taken over."""

import os
import shutil
from itertools import count
from pathlib import Path

import pytest
from cluster_tools import Mortal, ends, finishes, tree
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.errors import TaskFailed
from foedus.launch import Failure, JobFolder
from foedus.launch._attempts import LAST_NUMBER, attempt_name, attempt_order

ORDERS = st.tuples(st.integers(0, LAST_NUMBER), st.integers(0, LAST_NUMBER))
STRANGE = [
    *("attempt-0.00", "attempt-00.0", "attempt-00", "attempt-00.00 ", " attempt-00.00", "Attempt-00.00"),
    *("attempt-00.00.00", "attempt-000.00", "attempt-00.000", "attempt--1.00", "attempt-00.00\n", "attempt-"),
    *("attempt-٠٠.٠٠", "attempt-1e3.00", "attempt-00.00x", "attempt-9999999.00", "xattempt-00.00"),
]


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    found = JobFolder(tmp_path / "job")
    found.path.mkdir()
    found.write_spec({})
    found.begin("key")
    return found


def begun(folder: JobFolder, number: int, restart: int = 0) -> JobFolder:
    attempt = JobFolder(folder.path, attempt_name(number, restart))
    attempt.claim()
    return attempt


# --- names ---


@given(ORDERS)
def test_a_name_tells_its_order(order: tuple[int, int]) -> None:
    assert attempt_order(attempt_name(*order)) == order


@given(st.text())
def test_whatever_has_an_order_is_the_name_of_one(text: str) -> None:
    order = attempt_order(text)
    assert order is None or attempt_name(*order) == text


@pytest.mark.parametrize("name", STRANGE)
def test_strange_names_are_no_attempts(folder: JobFolder, name: str) -> None:
    (folder.path / name).mkdir()
    assert attempt_order(name) is None
    assert folder.attempts() == []


def test_attempts_are_ordered_by_their_numbers(folder: JobFolder) -> None:
    orders = [(0, 0), (0, 9), (0, 99), (0, 100), (2, 0), (10, 0), (99, 0), (100, 0), (100, 1), (1000, 0)]
    for order in reversed(orders):
        begun(folder, *order)
    assert [attempt_order(name) for name in folder.attempts()] == orders
    places = JobFolder(folder.path, "attempt-100.00").earlier()
    assert [path.name for path in places[:3]] == ["attempt-100.00", "attempt-99.00", "attempt-10.00"]
    assert places[-1] == folder.path
    assert len(places) == 9


def test_links_and_files_are_no_attempts(folder: JobFolder, tmp_path: Path) -> None:
    finishes(begun(JobFolder(tmp_path), 7))
    (folder.path / "attempt-07.00").symlink_to(tmp_path / "attempt-07.00")
    (folder.path / "attempt-08.00").write_text("")
    os.mkfifo(folder.path / "attempt-09.00")
    assert folder.attempts() == []
    folder.adopt("attempt-07.00")
    assert not folder.has_result()
    assert JobFolder(tmp_path, "attempt-07.00").read_result() == {"words": "done"}


def test_an_attempt_is_claimed_once(folder: JobFolder) -> None:
    begun(folder, 0)
    with pytest.raises(FileExistsError):
        begun(folder, 0)


# --- checkpoints ---


def test_the_newest_checkpoint_of_the_attempts_before_is_read(folder: JobFolder) -> None:
    for number, words in ((0, b"first"), (2, b"third"), (100, b"too late")):
        begun(folder, number).write_checkpoint([words])
    begun(folder, 1)
    for number, expected in ((0, b"first"), (1, b"first"), (2, b"third"), (99, b"third"), (100, b"too late")):
        file = JobFolder(folder.path, attempt_name(number, 0)).open_checkpoint()
        assert file is not None
        with file:
            assert file.read() == expected


def test_a_checkpoint_in_the_job_folder_itself_comes_last(folder: JobFolder) -> None:
    assert begun(folder, 0).open_checkpoint() is None
    folder.write_checkpoint([b"of a local worker"])
    file = begun(folder, 1).open_checkpoint()
    assert file is not None
    with file:
        assert file.read() == b"of a local worker"


# --- taking one over ---


def test_one_attempts_files_become_the_jobs(folder: JobFolder) -> None:
    begun(folder, 0).write_checkpoint([b"early"])
    finishes(begun(folder, 1), "second")
    finishes(begun(folder, 2), "third")
    folder.adopt("attempt-01.00")
    assert folder.attempts() == []
    files = tree(folder.path)
    assert files.pop("exit.json")
    assert files.pop("result.json") == b'{"words":"second"}\n'
    assert files == dict.fromkeys(
        ("output/file", "update.safetensors", "state.parts", "memory.safetensors"), b"second"
    )


def test_files_of_two_attempts_never_mix(folder: JobFolder) -> None:
    full, poor = begun(folder, 0), begun(folder, 1)
    finishes(full, "full")
    poor.write_update([b"poor"])
    poor.finish({"words": "poor"})
    folder.adopt("attempt-01.00")
    assert tree(folder.path) == {"update.safetensors": b"poor", "result.json": b'{"words":"poor"}\n'}


@pytest.mark.slow
def test_taking_over_ends_the_same_wherever_it_was_killed(
    folder: JobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.make_output() / "file").write_text("of an earlier job of this key")
    (folder.path / "output" / "old").mkdir()
    folder.keep_failure(Failure("ValueError", "of an earlier attempt"))
    begun(folder, 0).write_checkpoint([b"early"])
    finishes(begun(folder, 1), "second")
    finishes(begun(folder, 2), "third")
    undisturbed = JobFolder(tmp_path / "undisturbed")
    shutil.copytree(folder.path, undisturbed.path)
    undisturbed.adopt("attempt-01.00")
    for effects in count(1):
        killed = JobFolder(tmp_path / f"killed-{effects}")
        shutil.copytree(folder.path, killed.path)
        if not Mortal(monkeypatch).dies(effects, None, lambda: killed.adopt("attempt-01.00")):  # noqa: B023
            break
        if killed.has_result():
            assert tree(killed.path).items() >= tree(undisturbed.path).items()
        killed.adopt("attempt-01.00")
        assert tree(killed.path) == tree(undisturbed.path)
        assert killed.attempts() == []
    assert effects > 10


def test_an_attempt_without_a_result_is_not_taken_over(folder: JobFolder) -> None:
    attempt = begun(folder, 0)
    attempt.write_update([b"half"])
    attempt.write_checkpoint([b"so far"])
    folder.keep_failure(Failure("ValueError", "no good"))
    for name in ("attempt-00.00", "attempt-05.00", "../job/attempt-00.00", "", "."):
        folder.adopt(name)
    assert tree(folder.path).keys() == {
        "attempt-00.00/update.safetensors",
        "attempt-00.00/checkpoint.safetensors",
        "failure.json",
    }


def test_an_attempt_that_takes_the_adopted_ones_name_changes_nothing(folder: JobFolder) -> None:
    """A scheduler that does not count starts the job again with the count that it had."""
    finishes(begun(folder, 0), "first")
    folder.adopt("attempt-00.00")
    before = tree(folder.path)
    late = begun(folder, 0)
    (late.make_output() / "file").write_text("late")
    late.write_update([b"late"])
    folder.adopt("attempt-00.00")
    assert tree(folder.path) == before
    finishes(begun(folder, 0), "late")
    folder.adopt("attempt-00.00")
    assert tree(folder.path) == before


def test_whoever_still_writes_into_an_attempt_that_does_not_count_fails(folder: JobFolder) -> None:
    rival = begun(folder, 0)
    finishes(begun(folder, 1))
    folder.adopt("attempt-01.00")
    before = tree(folder.path)
    for write in (
        lambda: rival.write_update([b"rival"]),
        lambda: rival.write_checkpoint([b"rival"]),
        lambda: rival.finish({"rival": True}),
        lambda: rival.fail(ValueError("rival")),
        lambda: ends(rival),
        rival.make_output,
    ):
        with pytest.raises(FileNotFoundError):
            write()
    assert tree(folder.path) == before


def test_an_attempt_that_is_written_to_while_it_is_removed_goes_too(
    folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look into its folder and the removal of that, a rival writes one more checkpoint."""
    rival = begun(folder, 0)
    finishes(begun(folder, 1))
    remove, late = os.rmdir, [rival]

    def meets_a_write(path: str, *, dir_fd: int | None = None) -> None:
        if late and str(path).endswith("attempt-00.00"):
            late.pop().write_checkpoint([b"1"])
        remove(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", meets_a_write)
    folder.adopt("attempt-01.00")
    assert (folder.attempts(), late) == ([], [])


def test_links_in_an_attempt_lead_nowhere(folder: JobFolder, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_text("precious")
    attempt = begun(folder, 0)
    (attempt.outputs / "output").symlink_to(tmp_path / "secret")
    (attempt.outputs / "update.safetensors").symlink_to(tmp_path / "secret" / "file")
    attempt.finish({})
    (folder.path / "output").symlink_to(tmp_path / "secret")
    folder.adopt("attempt-00.00")
    assert folder.read_result() == {}
    with pytest.raises(TaskFailed):
        folder.open_update()
    assert (tmp_path / "secret" / "file").read_text() == "precious"


def test_an_output_that_is_a_link_is_replaced_and_not_what_it_points_to(
    folder: JobFolder, tmp_path: Path
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("kept")
    (folder.path / "output").symlink_to(tmp_path / "precious")
    finishes(begun(folder, 0))
    folder.adopt("attempt-00.00")
    assert (folder.path / "output" / "file").read_text() == "done"
    assert not (folder.path / "output").is_symlink()
    assert (tmp_path / "precious" / "file").read_text() == "kept"


# --- beginning anew ---


def test_attempts_of_another_key_are_removed(folder: JobFolder) -> None:
    finishes(begun(folder, 0))
    folder.begin("other key")
    assert folder.attempts() == []
    assert tree(folder.path) == {}


def test_attempts_of_the_same_key_stay_for_their_checkpoints(folder: JobFolder) -> None:
    begun(folder, 0).write_checkpoint([b"so far"])
    folder.begin("key")
    file = begun(folder, 1).open_checkpoint()
    assert file is not None
    file.close()


def test_a_beginning_that_was_killed_keeps_nothing_of_another_key(
    folder: JobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finishes(begun(folder, 0))
    finishes(folder, "of the first key")
    for effects in count(1):
        killed = JobFolder(tmp_path / f"killed-{effects}")
        shutil.copytree(folder.path, killed.path)
        has_died = Mortal(monkeypatch).dies(effects, None, lambda: killed.begin("second"))  # noqa: B023
        assert not killed.has_result_of("second")
        killed.begin("second")
        assert tree(killed.path) == {}
        if not has_died:
            break
    assert effects > 5


def test_an_attempts_failure_can_be_read_as_the_jobs_until_a_result_counts(folder: JobFolder) -> None:
    attempt = begun(folder, 0)
    failure = attempt.fail(ValueError("no good"))
    assert folder.read_failure() is None
    folder.keep_failure(failure)
    assert folder.read_failure() == failure
    finishes(begun(folder, 1))
    folder.adopt("attempt-01.00")
    assert folder.read_failure() is None
