"""Answers of slurmrestd: both of its dialects mean the same, and nothing in them can do harm."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.records import JobState
from foedus.launch.slurm.rest_json import native_jobs, parsed, trouble
from foedus.launch.slurm.words import seen

NAME, USER = f"foedus-{'0' * 24}-0", "somebody"
RECORD = {"job_id": 5, "name": NAME, "user_name": USER, "job_state": "RUNNING"}


def counted(number: int) -> dict[str, object]:
    return {"set": True, "infinite": False, "number": number}


UNSET = {"set": False, "infinite": False, "number": 0}


@pytest.mark.parametrize(
    ("old", "new", "state", "words"),
    [
        ({"job_state": "PENDING", "state_reason": "Resources"}, {}, JobState.QUEUED, "waiting for resources"),
        (
            {"job_state": "COMPLETING"},
            {"job_state": ["COMPLETED", "COMPLETING"]},
            JobState.RUNNING,
            "",
        ),
        (
            {"job_state": "FAILED", "exit_code": 42 << 8},
            {"exit_code": {"return_code": counted(42), "signal": {"id": UNSET}}},
            JobState.FAILED,
            "code 42",
        ),
        (
            {"job_state": "FAILED", "exit_code": 11},
            {"exit_code": {"return_code": UNSET, "signal": {"id": counted(11), "name": "SEGV"}}},
            JobState.FAILED,
            "signal 11",
        ),
        ({"job_state": "TIMEOUT", "exit_code": 0}, {"exit_code": None}, JobState.FAILED, "time limit"),
        ({"job_state": "SPECIAL_EXIT"}, {"job_state": ["FAILED", "SPECIAL_EXIT"]}, JobState.QUEUED, ""),
        (
            {
                "job_state": "PENDING",
                "state_reason": "JobHeldUser",
                "state_description": "launch failed requeued held",
            },
            {},
            JobState.FAILED,
            "could not start it",
        ),
        (
            {"job_state": "REVOKED"},
            {"job_state": ["PENDING", "REVOKED"]},
            JobState.UNKNOWN,
            "another cluster",
        ),
        ({"job_state": "ODD"}, {"job_state": ["ODD"]}, JobState.UNKNOWN, "'ODD'"),
    ],
)
def test_old_and_new_answers_mean_the_same(
    old: dict[str, object], new: dict[str, object], state: JobState, words: str
) -> None:
    base = {**RECORD, **old}
    newer = {**base, "job_state": [base["job_state"]], **new}
    for values in (base, newer):
        (job,) = native_jobs(parsed(json.dumps({"jobs": [values]}).encode()), USER)
        sight = seen(job)
        assert (sight.scheduler_id, sight.state) == ("5", state)
        assert words in sight.cause + sight.ended


@pytest.mark.parametrize(
    "count", [{"set": False, "number": 9}, counted(9) | {"infinite": True}, {}, -1, True]
)
def test_a_count_that_is_not_set_is_none(count: object) -> None:
    values = RECORD | {"exit_code": {"return_code": count, "signal": {"id": count}}}
    (job,) = native_jobs({"jobs": [values]}, USER)
    assert (job.exit_code, job.exit_signal) == (None, None)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
KEYS = [*RECORD, "exit_code", "state_reason", "state_description"]


@given(
    st.dictionaries(st.sampled_from(["jobs", "errors", "job_id"]), JSON),
    st.dictionaries(st.sampled_from(KEYS), JSON),
)
def test_any_answer_can_be_read(values: dict[str, object], odd: dict[str, object]) -> None:
    answer = parsed(json.dumps(values | {"jobs": [RECORD | odd]}).encode())
    assert all(job.name == NAME and job.scheduler_id.isdigit() for job in native_jobs(answer, USER))
    assert len(trouble(answer).words) <= 500


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"5", b"{", b'{"a": NaN}', b"\xff", b"[" * 100_000, b"1" * 9999]
)
def test_what_is_no_object_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parsed(data)


def test_the_words_of_errors_are_joined_bounded_and_printable() -> None:
    entries = [
        {"error": "Unspecified error", "description": "Unable to process key", "error_number": -1},
        {"error": "a\nb\x1b[1m", "error_code": 9001},
        {"error": "x" * 9999},
        "strange",
    ]
    told = trouble({"errors": entries})
    assert told.words.startswith("Unable to process key; a\ufffdb\ufffd[1m; xxx")
    assert len(told.words) == 500
    assert told.numbers == {-1, 9001}
    assert not trouble({"errors": []})
    assert not trouble({})
