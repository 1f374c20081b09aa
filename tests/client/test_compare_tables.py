"""Means, deviations, marks and CSV of comparisons, on figures that can be checked by hand."""

import csv
import io
from dataclasses import replace

import pytest
from compare_tools import HOSTILE, a_round, a_run, made_up, summed
from hypothesis import given
from hypothesis import strategies as st

from foedus.client.compare.collecting import differences
from foedus.client.compare.records import Comparison, Stat, stat
from foedus.client.compare.summing import entry_result
from foedus.client.compare.tables import rounds_csv, summary_csv
from foedus.client.compare.words import COUNTED, DEVIATION, Cell, plus_minus, table


def cells(comparison: Comparison, title: str) -> list[Cell]:
    titles, rows = table(comparison)
    return [row[titles.index(title)] for row in rows]


def test_deviation_is_that_of_a_sample() -> None:
    assert stat([0.5, 0.7, 0.9]) == Stat(pytest.approx(0.7), pytest.approx(0.2), 3)  # type: ignore[arg-type]
    assert stat([0.8, 0.9]) == Stat(pytest.approx(0.85), pytest.approx(0.1 / 2**0.5), 2)  # type: ignore[arg-type]


def test_a_single_seed_has_no_deviation_and_none_has_no_mean() -> None:
    assert stat([0.9]) == Stat(0.9, None, 1)
    assert stat([]) is None
    assert plus_minus(stat([0.9])) == "0.9000 ± –"
    assert plus_minus(stat([0.8, 0.9])) == "0.8500 ± 0.0707"
    assert plus_minus(None) == "–"


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_seeds_does_not_matter(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert stat(shuffled) == stat(values)


def test_an_entry_is_summed_over_its_seeds() -> None:
    runs = [a_run("A", 1, [0.2, 0.8, 0.6]), a_run("A", 2, [0.4, 0.6, 0.8])]
    found = entry_result("A", runs, target=0.7)

    assert found.accuracy == Stat(pytest.approx(0.7), pytest.approx(0.02**0.5), 2)  # type: ignore[arg-type]
    assert found.f1 is not None
    assert found.loss is not None
    assert (found.f1.mean, found.loss.mean) == (pytest.approx(0.35), pytest.approx(0.3))
    assert (found.best_round, found.best_accuracy) == (2, pytest.approx(0.7)), "the earlier of two equal ones"
    assert found.to_target == Stat(2.5, pytest.approx(0.5**0.5), 2)  # type: ignore[arg-type]
    assert (found.accepted, found.rejected, found.empty) == (6, 0, 0)
    assert found.bytes_per_turn == 6 * 600 / (2 * 3 * 3)
    assert found.seconds == Stat(15, pytest.approx(50**0.5), 2)  # type: ignore[arg-type]
    assert found.training_seconds == Stat(4.5, 0.0, 2)


def test_failed_and_missing_runs_count_in_no_mean() -> None:
    failed = a_run("A", 2, [0.1], state="failed", reason="diverged")
    missing = a_run("A", 3, [], state="missing", run=None)
    found = entry_result("A", [a_run("A", 1, [0.5, 0.9]), failed, missing], None)

    assert found.accuracy == Stat(0.9, None, 1)
    assert (found.completed, found.planned, found.accepted) == (1, 3, 2)


def test_an_entry_without_a_completed_run_has_dashes() -> None:
    comparison = summed([a_run("A", 1, [], state="failed", reason="x")], ("A",), (1,), 2, target=0.9)
    _, rows = table(comparison)

    assert [cell.text for cell in rows[0]] == ["A", "0/1", *["–"] * 5, "0/0/0", "–", "–", "–"]
    assert comparison.accuracy[0].mean == ()
    assert [run.reason for run in comparison.unfinished] == ["x"]


def test_a_curve_has_gaps_where_a_seed_has_no_value() -> None:
    comparison = summed([a_run("A", 1, [None, 0.4, 0.6]), a_run("A", 2, [0.2, 0.6])], ("A",), (1, 2), 3)

    assert comparison.accuracy[0].mean == (None, 0.5, None)
    assert comparison.accuracy[0].std == (None, pytest.approx(0.02**0.5), None)


def test_a_target_that_some_seeds_reached_says_how_many() -> None:
    runs = [a_run("A", 1, [0.9]), a_run("A", 2, [0.1]), a_run("B", 1, [0.1]), a_run("B", 2, [0.1])]
    comparison = summed(runs, ("A", "B"), (1, 2), 1, target=0.5)

    assert [cell.text for cell in cells(comparison, "rounds to 0.5")] == ["1.0 ± – (1 of 2)", "not reached"]


def test_the_best_of_each_column_is_marked() -> None:
    comparison = summed(
        [a_run("A", 1, [0.9]), a_run("B", 1, [0.5]), a_run("C", 1, [0.9])], ("A", "B", "C"), (1,), 1
    )

    for title in ("accuracy", "F1", "loss"):
        assert [cell.is_best for cell in cells(comparison, title)] == [True, False, True]
    assert not any(cell.is_best for cell in cells(comparison, "sent")), "where all are equal nobody is best"


def test_what_looks_the_same_is_marked_alike() -> None:
    sizes = {"A": 3_000_001, "B": 3_000_000, "C": 9_000_000}
    runs = [a_run(label, 1, [0.5], rounds=(a_round(1, 0.5, sent=3 * size),)) for label, size in sizes.items()]
    comparison = summed(runs, ("A", "B", "C"), (1,), 1)

    assert [cell.is_best for cell in cells(comparison, "sent")] == [True, True, False]


def test_the_lowest_loss_bytes_and_seconds_are_the_best() -> None:
    cheap = a_run("A", 1, [0.5], rounds=(a_round(1, 0.5, sent=30),), seconds=4)
    comparison = summed([cheap, a_run("B", 1, [0.7], seconds=8)], ("A", "B"), (1,), 1)

    assert [cell.is_best for cell in cells(comparison, "loss")] == [False, True]
    for title in ("sent", "time"):
        assert [cell.is_best for cell in cells(comparison, title)] == [True, False]
    assert cells(comparison, "sent")[0].text == "10 bytes"


def test_bytes_are_not_known_when_the_store_lacks_an_object() -> None:
    lacking = a_run("A", 1, [], rounds=(a_round(1, 0.5), a_round(2, 0.5, sent=None)))

    assert entry_result("A", [lacking], None).bytes_per_turn is None


def test_words_say_what_is_counted() -> None:
    assert "updates" in COUNTED.replace("update ", "updates ")
    assert "members and rounds" in COUNTED
    assert "parts that differ from the base's" in COUNTED
    assert "n − 1" in DEVIATION


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_long_csv_has_a_line_per_run_and_round() -> None:
    runs = [a_run("A", 7, [], rounds=(a_round(1, None, "empty", None), a_round(2, 0.25)))]
    first, second = read(rounds_csv(summed(runs, ("A",), (7,), 2)))

    assert (first["label"], first["seed"], first["round"], first["outcome"]) == ("A", "7", "1", "empty")
    assert (first["accuracy"], first["score"], first["loss"], first["bytes_sent"]) == ("", "", "", "")
    assert (second["accuracy"], second["score"], second["loss"]) == ("0.25", "0.125", "0.75")
    assert (second["seconds"], second["training_seconds"], second["bytes_sent"]) == ("2", "1.5", "600")


def test_summary_csv_has_a_line_per_entry_and_no_deviation_of_one_seed() -> None:
    one, two = read(summary_csv(summed([a_run("A", 1, [0.5]), a_run("B", 1, [0.7])], ("A", "B"), (1,), 1)))

    assert (one["label"], one["accuracy_mean"], one["accuracy_std"]) == ("A", "0.5", "")
    assert (two["label"], two["runs_completed"], two["bytes_per_client_and_round"]) == ("B", "1", "200.0")


@pytest.mark.parametrize("label", ["=1+1", "+1", "-2+3", "@SUM(A1)", "|calc", "%x"])
def test_no_label_is_a_formula(label: str) -> None:
    comparison = summed([a_run(label, 1, [0.5])], (label,), (1,), 1)

    for text in (rounds_csv(comparison), summary_csv(comparison)):
        assert read(text)[0]["label"] == f"'{label}"


@pytest.mark.parametrize("label", [HOSTILE, 'a,"b"', "FedAvg", "µ"])
def test_other_labels_stand_in_csv_as_they_are(label: str) -> None:
    comparison = summed([a_run(label, 1, [0.5])], (label,), (1,), 1)

    assert read(rounds_csv(comparison))[0]["label"] == label


def test_equal_starts_are_no_difference() -> None:
    assert differences(made_up().runs) == []


def test_other_data_or_weights_are_told() -> None:
    a, b = a_run("A", 1, [0.5]), a_run("B", 1, [0.5])

    assert differences([a, replace(b, data="other")]) == ["B had other data than A."]
    assert differences([a, replace(b, weights="other")]) == ["B began with other weights than A."]
    assert differences([a, replace(b, seed=2, data="other")]) == [], "another seed has other data"
    assert differences([a, replace(b, data=None)]) == [
        "Which data B had is not known: the job folders of demo-1 are gone."
    ]
