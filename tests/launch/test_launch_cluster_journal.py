"""A batch job that was done before, or whose journal is damaged or somebody else's: no second submission."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cluster_tools import Cluster, finishes, is_interrupted, tree

from foedus.core.records import JobState
from foedus.launch import JobFolder
from foedus.launch.cluster.journal import Journal


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


# --- done before ---


def test_a_completed_job_is_never_done_again(cluster: Cluster) -> None:
    native_id = cluster.submit()
    finishes(cluster.attempt())
    assert cluster.status(native_id).state is JobState.COMPLETED
    before = tree(cluster.folder().path)
    for _ in range(3):
        assert cluster.resubmit().state is JobState.COMPLETED
    assert len(cluster.scheduler.submissions) == 1
    assert tree(cluster.folder().path) == before


def test_a_job_that_completed_while_nobody_looked_is_completed(cluster: Cluster) -> None:
    cluster.submit()
    finishes(cluster.attempt())
    assert cluster.resubmit().state is JobState.COMPLETED
    assert len(cluster.scheduler.submissions) == 1


def test_a_result_of_another_launcher_for_the_same_key_counts(cluster: Cluster) -> None:
    folder = cluster.folder()
    folder.path.mkdir()
    folder.write_spec({})
    folder.begin("job")
    folder.finish({"by": "a local worker"})
    assert cluster.status(cluster.submit()).state is JobState.COMPLETED
    assert cluster.scheduler.submissions == []
    assert folder.read_result() == {"by": "a local worker"}


def test_a_result_for_another_key_does_not_count(cluster: Cluster) -> None:
    native_id = cluster.submit(key="first")
    finishes(cluster.attempt())
    assert cluster.status(native_id).state is JobState.COMPLETED
    cluster.begin_process()
    again = cluster.submit(key="second")
    assert again != native_id
    assert cluster.after_look(again).state is JobState.QUEUED
    assert tree(cluster.folder().path) == {}
    assert len(cluster.scheduler.submissions) == 2


def test_attempts_of_another_key_do_not_count(cluster: Cluster) -> None:
    cluster.submit(key="first")
    finishes(cluster.attempt())
    cluster.begin_process()
    again = cluster.submit(key="second")
    assert cluster.after_look(again).state is JobState.QUEUED
    assert not cluster.folder().has_result()


def test_a_failure_that_was_told_is_done_afresh_by_a_new_process(cluster: Cluster) -> None:
    native_id = cluster.submit()
    cluster.attempt().fail(ValueError("no good"))
    assert cluster.status(native_id).state is JobState.FAILED
    assert cluster.status(cluster.submit()).state is JobState.FAILED  # this process knows it
    status = cluster.resubmit()
    assert (status.state, status.cause) == (JobState.QUEUED, "")
    assert cluster.after_look(native_id, 3).state is JobState.QUEUED  # the old failure is the old attempt's
    assert cluster.scheduler.submissions == [f"{native_id}-0", f"{native_id}-1"]
    finishes(cluster.attempt(number=1), "second")
    assert cluster.status(native_id).state is JobState.COMPLETED
    assert cluster.folder().read_result() == {"words": "second"}
    assert cluster.folder().read_failure() is None


def test_a_failure_that_nobody_heard_of_is_told_first(cluster: Cluster) -> None:
    cluster.submit()
    cluster.attempt().fail(ValueError("no good"))
    status = cluster.resubmit()
    assert (status.state, status.cause) == (JobState.FAILED, "ValueError: no good")
    assert len(cluster.scheduler.submissions) == 1
    assert cluster.resubmit().state is JobState.QUEUED


def test_a_job_done_afresh_goes_on_from_its_checkpoint(cluster: Cluster) -> None:
    native_id = cluster.submit()
    attempt = cluster.attempt()
    attempt.write_checkpoint([b"so far"])
    attempt.fail(ValueError("no good"))
    assert cluster.status(native_id).state is JobState.FAILED
    cluster.resubmit()
    checkpoint = cluster.attempt(number=1).open_checkpoint()
    assert checkpoint is not None
    checkpoint.close()


def test_a_job_done_afresh_many_times_is_still_followed(cluster: Cluster) -> None:
    """Numbers of submissions grow beyond two digits."""
    native_id = cluster.submit()
    replace(cluster.journal(), number=98, is_settled=True).write(cluster.folder())
    cluster.resubmit()
    for number in range(99, 103):
        cluster.attempt(number).fail(ValueError(f"no {number}"))
        assert cluster.status(native_id).cause == f"ValueError: no {number}"
        assert cluster.resubmit().state is JobState.QUEUED
    is_interrupted(cluster.attempt(103))
    cluster.say(JobState.FAILED)
    assert cluster.after_look(native_id, 2).state is JobState.QUEUED
    finishes(cluster.attempt(104))
    assert cluster.status(native_id).state is JobState.COMPLETED
    assert cluster.scheduler.submissions == [f"{native_id}-{number}" for number in (0, *range(99, 105))]


def test_a_folder_that_was_copied_is_another_job(cluster: Cluster) -> None:
    first = cluster.submit()
    finishes(cluster.attempt())
    shutil.copytree(cluster.folder().path, cluster.folder("copy").path)
    assert cluster.status(first).state is JobState.COMPLETED
    second = cluster.submit("copy", key="other")
    assert cluster.after_look(second).state is JobState.QUEUED
    assert cluster.folder("copy").attempts() == []


def test_a_folder_that_was_moved_keeps_its_result(cluster: Cluster) -> None:
    cluster.submit()
    finishes(cluster.attempt())
    assert cluster.resubmit().state is JobState.COMPLETED
    cluster.folder().path.rename(cluster.folder("moved").path)
    assert cluster.status(cluster.submit("moved", key="job")).state is JobState.COMPLETED
    assert len(cluster.scheduler.submissions) == 1


def test_a_folder_that_was_moved_is_not_judged_by_its_old_attempts(cluster: Cluster) -> None:
    cluster.submit()
    cluster.attempt().fail(ValueError("no good"))
    assert cluster.resubmit().state is JobState.FAILED
    cluster.folder().path.rename(cluster.folder("moved").path)
    native_id = cluster.submit("moved", key="job")
    assert cluster.after_look(native_id, 2).state is JobState.QUEUED
    assert cluster.name("moved") == f"{native_id}-1"


# --- journals that are damaged, or somebody else's ---


def hostile(**changes: object) -> bytes:
    plain = json.loads(JOURNAL)
    return (json.dumps(plain | changes, sort_keys=True, separators=(",", ":")) + "\n").encode()


JOURNAL = (
    '{"adopted":"","continued":0,"has_rivals":false,"is_cancelled":false,"is_settled":false,"key":"job","name":"NAME",'
    '"number":0,"retried":0,"scheduler_id":"1"}'
)
HOSTILE = {
    "empty": b"",
    "torn": hostile()[:40],
    "no object": b"[]\n",
    "nested": b"[" * 60000,
    "not canonical": hostile().replace(b":", b": "),
    "huge": hostile(key="x" * (64 << 10)),
    "missing": b'{"key":"job"}\n',
    "unknown": hostile(more=1),
    "a number as text": hostile(number="0"),
    "a number as truth": hostile(number=True),
    "a negative number": hostile(number=-1),
    "an endless number": hostile(number=10**30),
    "retries without submissions": hostile(retried=5),
    "negative retries": hostile(retried=-5),
    "continuations without submissions": hostile(continued=5),
    "an attempt elsewhere": hostile(adopted="../../elsewhere"),
    "an attempt at the root": hostile(adopted="/"),
    "an id with options": hostile(scheduler_id="1 --user=root"),
    "an id with a line": hostile(scheduler_id="1\n2"),
    "an id that is long": hostile(scheduler_id="1" * 1000),
    "an id of no text": hostile(scheduler_id=1),
}


def test_the_hostile_journals_are_hostile_in_one_point_only(cluster: Cluster) -> None:
    folder = cluster.folder()
    folder.path.mkdir()
    (folder.path / "batch.json").write_bytes(hostile())
    assert Journal.read(folder) == Journal("job", "NAME", scheduler_id="1")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_with_a_damaged_journal_the_job_is_found_by_its_name(cluster: Cluster, text: bytes) -> None:
    native_id = cluster.submit()
    (cluster.folder().path / "batch.json").write_bytes(text.replace(b"NAME", native_id.encode()))
    assert Journal.read(cluster.folder()) is None
    assert cluster.resubmit().state is JobState.UNKNOWN
    assert cluster.after_look(native_id, 5).state is JobState.QUEUED
    assert cluster.scheduler.submissions == [f"{native_id}-0"]
    finishes(cluster.attempt())
    assert cluster.status(native_id).state is JobState.COMPLETED


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_journal_that_is_no_plain_file_is_neither_read_nor_followed(
    cluster: Cluster, tmp_path: Path, kind: str
) -> None:
    native_id = cluster.submit()
    path = cluster.folder().path / "batch.json"
    path.rename(tmp_path / "precious")
    {"link": lambda p: p.symlink_to(tmp_path / "precious"), "fifo": os.mkfifo, "folder": Path.mkdir}[kind](
        path
    )
    before = (tmp_path / "precious").read_bytes()
    assert Journal.read(cluster.folder()) is None
    cluster.resubmit()
    assert cluster.after_look(native_id, 3).state is JobState.QUEUED
    finishes(cluster.attempt())
    assert cluster.status(native_id).state is JobState.COMPLETED
    assert cluster.scheduler.submissions == [f"{native_id}-0"]
    assert (tmp_path / "precious").read_bytes() == before


def test_without_a_journal_of_it_nothing_is_submitted_again(cluster: Cluster) -> None:
    """A later process would not know of it, and submit it once more."""
    native_id = cluster.submit()
    path = cluster.folder().path / "batch.json"
    path.unlink()
    path.mkdir()
    cluster.scheduler.say(f"{native_id}-0", JobState.FAILED, cause="its node failed", is_passing=True)
    status = cluster.after_look(native_id)
    assert status.state is JobState.FAILED
    assert status.cause.startswith("next attempt: its node failed; but it cannot be submitted again: ")
    assert len(cluster.scheduler.submissions) == 1


def test_a_damaged_journal_of_a_later_submission_is_made_up_from_its_attempts(cluster: Cluster) -> None:
    native_id = cluster.submit()
    is_interrupted(cluster.attempt())
    cluster.say(JobState.FAILED)
    cluster.look(2)
    attempt = cluster.attempt(number=1)
    cluster.say(JobState.RUNNING)
    (cluster.folder().path / "batch.json").write_bytes(b"")
    cluster.resubmit()
    assert cluster.after_look(native_id, 3).state is JobState.RUNNING
    finishes(attempt)
    assert cluster.status(native_id).state is JobState.COMPLETED
    assert cluster.scheduler.submissions == [f"{native_id}-0", f"{native_id}-1"]


def test_a_journal_that_claims_an_outcome_completes_nothing(cluster: Cluster) -> None:
    native_id = cluster.submit()
    attempt = cluster.attempt()
    attempt.write_update([b"half"])
    for claim in ("attempt-00.00", "attempt-05.00"):
        replace(cluster.journal(), adopted=claim, is_settled=False).write(cluster.folder())
        assert cluster.resubmit().state is JobState.UNKNOWN
        cluster.say(JobState.RUNNING)
        assert cluster.after_look(native_id).state is JobState.RUNNING
        assert cluster.journal().adopted == ""
    finishes(attempt)
    assert cluster.status(native_id).state is JobState.COMPLETED


def test_keys_and_folders_make_the_name(cluster: Cluster) -> None:
    names = [Journal.new(JobFolder(path), key).name for path in ("/a", "/a/", "/b") for key in ("x", "y\0")]
    assert names[:2] == names[2:4]
    assert len(set(names)) == 4
    assert all(len(name) == 31 and name.startswith("foedus-") for name in names)


def test_by_another_path_it_is_the_same_job(cluster: Cluster, tmp_path: Path) -> None:
    cluster.root = tmp_path / "real"
    cluster.root.mkdir()
    native_id = cluster.submit()
    cluster.root = tmp_path / "alias"
    cluster.root.symlink_to("real")
    cluster.begin_process()
    assert cluster.submit() == native_id
    cluster.look(3)
    assert len(cluster.scheduler.submissions) == 1


def test_with_a_damaged_journal_a_submission_that_it_told_of_is_found(cluster: Cluster) -> None:
    cluster.submit()
    cluster.look()
    cluster.attempt(0)
    cluster.say(JobState.FAILED, cause="its node failed", is_passing=True)
    cluster.look()
    submitted = list(cluster.scheduler.submissions)
    assert len(submitted) == 2
    (cluster.folder().path / "batch.json").write_text("{")
    native_id = cluster.resubmit().native_id
    assert cluster.after_look(native_id, 3).state is JobState.QUEUED
    assert cluster.scheduler.submissions == submitted
    assert cluster.journal().number == 1
