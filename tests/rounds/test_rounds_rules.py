"""Algorithms 2 and 5 on the published cases."""

import json
import math

import pytest
from tests.shared import case_file

from foedus.core.canonical import to_ppb
from foedus.core.records import Choice, GateMode
from foedus.rounds.rules import ballot_accepts, gate_passes, vote_for


def case(name: str) -> dict:  # type: ignore[type-arg]  # JSON of any shape
    return next(
        case for case in json.loads(case_file("chain.json").read_text())["cases"] if case["id"] == name
    )


def test_gate_table() -> None:
    for row in case("gate_table")["inputs"]:
        local = float(row["f1_local"])
        mode = GateMode[row["mode"].upper()]
        beta = round(row["beta"] * 10**9)
        passes = math.isfinite(local) and gate_passes(to_ppb(local), to_ppb(row["f1_global"]), beta, mode)
        assert passes == row["expected"], row


def test_vote_table() -> None:
    for row in case("vote_table")["inputs"]:
        assert ballot_accepts(row["enrolled"], row["yes"], row["no"], row["abstain"]) == row["expected"], row


@pytest.mark.parametrize(("score", "choice"), [(680, Choice.YES), (679, Choice.NO), (900, Choice.YES)])
def test_a_candidate_may_be_epsilon_worse(score: int, choice: Choice) -> None:
    assert vote_for(score, 700, 20) is choice


def test_scores_that_are_none_never_pass() -> None:
    assert not gate_passes(10**9 + 1, 0, 0, GateMode.MARGIN)
    assert not gate_passes(-1, 0, -(10**9), GateMode.MARGIN)
