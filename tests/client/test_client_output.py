"""Words and shapes of what is printed."""

import json

import pytest

from foedus.client.output import (
    print_json,
    print_pairs,
    print_table,
    printable,
    seconds_text,
    short,
    size_text,
)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (1_700_000, "1.7 MB"), (3e12, "3.0 TB")],
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (59.9, "59.9 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_ids_are_shortened_in_the_middle() -> None:
    assert short("bafkrei" + "a" * 52) == "bafkreiaa…aaaaaa"
    assert short("0x" + "1" * 64) == "0x111111…111111"
    assert short("client-1") == "client-1"


def test_control_characters_of_others_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert printable("a\x1b[31m\nb\r\x07") == "a\ufffd[31m\nb\ufffd\ufffd"

    print_table(("name",), [("\x1b[31m[bold]x",)])
    print_pairs([("name", "\x1b[31m[bold]x")])

    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert text.count("[31m[bold]x") == 2


def test_json_is_sorted_and_complete(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"b": 10**18, "a": "µ"})

    text = capsys.readouterr().out
    assert json.loads(text) == {"a": "µ", "b": 10**18}
    assert text.index('"a"') < text.index('"b"')
