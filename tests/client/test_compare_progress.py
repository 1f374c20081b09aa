"""What is said while a comparison goes on."""

import io

from compare_tools import HOSTILE

from foedus.client.compare.progress import CompareWatch, show_comparison
from foedus.client.compare.running import BEGINS, ENDED
from foedus.rounds.progress import Progress

ABOUT = {"number": 2, "of": 4, "label": "FedAvg", "seed": 7, "run": "demo-2", "rounds": 10, "done": 0}


def test_a_run_counts_by_its_rounds() -> None:
    watch = CompareWatch()
    assert (watch.share, watch.now()) == (0.0, "checking every entry …")

    watch.take(Progress(BEGINS, values=ABOUT))
    assert watch.share == 1 / 4
    watch.take(Progress("task-done", 5, None, {"test_accuracy": 0.75}))
    watch.take(Progress("round-ended", 5, None, {"outcome": "accepted"}))
    assert watch.share == 1.5 / 4
    assert watch.now() == "run 2/4  FedAvg, seed 7  round 6/10  test accuracy 0.750"
    watch.take(Progress("task-done", 6, None, {"test_accuracy": 0.75, "test_f1": 0.5}))
    assert watch.now() == "run 2/4  FedAvg, seed 7  round 6/10  test accuracy 0.750  score 0.500"
    watch.take(Progress(ENDED, values={**ABOUT, "accuracy": 0.8}))
    assert watch.share == 2 / 4


def test_lines_tell_beginning_rounds_and_end() -> None:
    watch = CompareWatch()

    assert watch.take(Progress(BEGINS, values=ABOUT)) == "run 2/4  FedAvg, seed 7  begins (demo-2)"
    line = watch.take(Progress("round-ended", 1, None, {"outcome": "empty"}))
    assert line.split() == ["round", "1/10", "empty"]
    assert watch.take(Progress("step", 1)) == ""
    ended = watch.take(Progress(ENDED, values={**ABOUT, "accuracy": 0.8}))
    assert ended.startswith("run 2/4  FedAvg, seed 7  completed: test accuracy 0.800, ")


def test_a_run_that_goes_on_says_from_where_and_one_that_is_done_says_so() -> None:
    watch = CompareWatch()

    assert "goes on after round 3" in watch.take(Progress(BEGINS, values={**ABOUT, "done": 3}))
    assert watch.take(Progress(BEGINS, values={**ABOUT, "done": 10, "has_ended": True})) == ""
    ended = watch.take(Progress(ENDED, values={**ABOUT, "accuracy": 0.8, "has_ended": True}))
    assert ended.endswith("completed: test accuracy 0.800, was done")


def test_a_failed_run_says_why_in_one_line() -> None:
    watch = CompareWatch()
    line = watch.take(Progress(ENDED, values={**ABOUT, "reason": "no\nround \x1b[31m"}))

    assert line == "run 2/4  FedAvg, seed 7  failed: no round \N{REPLACEMENT CHARACTER}[31m"


def test_outside_a_terminal_there_are_plain_lines() -> None:
    out = io.StringIO()
    with show_comparison(out) as observe:
        observe(Progress(BEGINS, values={**ABOUT, "label": HOSTILE + "[bold]"}))

    assert out.getvalue() == f"run 2/4  {HOSTILE}[bold], seed 7  begins (demo-2)\n"


def test_in_a_terminal_only_the_ends_of_runs_stay() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    with show_comparison(out) as observe:
        observe(Progress(BEGINS, values={**ABOUT, "label": "[bold]x"}))
        observe(Progress("round-ended", 1, None, {"outcome": "accepted"}))
        observe(Progress(ENDED, values={**ABOUT, "label": "[bold]x", "accuracy": 0.8}))

    assert "[bold]x, seed 7  completed" in out.getvalue()
    assert "begins" not in out.getvalue()
