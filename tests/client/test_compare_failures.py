"""Why a run of a comparison counts as failed: in the words of whoever stopped it."""

from foedus.client.compare.running import failure_of
from foedus.client.status import RoundStatus, RunStatus


def test_why_a_run_counts_as_failed() -> None:
    assert failure_of(RunStatus("a", "completed", 2, version=1)) == ""
    assert failure_of(RunStatus("a", "completed", 2)) == "no round was accepted"
    assert failure_of(RunStatus("a", "interrupted", 2, version=1)) == "the run is interrupted"
    cancelled = RunStatus("a", "cancelled", 2, version=1, reason="too many rejections")
    assert failure_of(cancelled) == "the run is cancelled (too many rejections)"


def test_who_stopped_the_last_round_is_named() -> None:
    def reason(*outcomes: tuple[str, dict[str, str]]) -> str:
        votes = {"yes": 1, "no": 2, "abstain": 0}
        history = [
            RoundStatus(number, outcome, 0, 3, {}, declined, votes, {}, None, None, None)
            for number, (outcome, declined) in enumerate(outcomes, 1)
        ]
        return failure_of(RunStatus("a", "completed", 2, history=history))

    rejected, gated = ("rejected", {"client-1": "gate: 0.1"}), ("empty", {"client-2": "gate: 0.2"})

    assert reason(gated, rejected) == (
        "no round was accepted; the ballot of round 2 rejected the model: 1 yes, 2 no, 0 abstained"
    )
    assert reason(rejected, gated) == (
        "no round was accepted; round 2 was empty, the last to decline said: gate: 0.2"
    )
    assert reason(gated, ("empty", {})) == "no round was accepted; round 2 was empty"
