"""Words and shapes of what is printed."""

import json
from pathlib import Path

import pytest

from foedus.client.log import report_defect
from foedus.client.output import (
    one_line,
    print_json,
    print_pairs,
    print_table,
    printable,
    seconds_text,
    short,
    size_text,
)
from foedus.client.shell import Shell
from foedus.rounds.home import Home
from foedus.site.settings import Settings


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


def test_json_is_ascii_so_that_no_terminal_obeys_it(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\x1b[2J\x9b\u202e\ud800"

    print_json({"reason": text})

    printed = capsys.readouterr().out
    assert printed.isascii()
    assert "\x1b" not in printed
    assert json.loads(printed) == {"reason": text}


def test_a_text_of_others_stays_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert one_line("a\nb\u2028c\x1b") == "a b c\ufffd"

    print_pairs([("reason", "bad\nstate  done")])
    print_table(("reason",), [("bad\nstate  done",)])

    lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if line.startswith("state")]


def test_a_defect_is_told_without_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    report_defect(ValueError("\x1b[2J\nsecond"), debug=False)
    report_defect(ValueError("\x1b[2J"), debug=True)

    text = capsys.readouterr().err
    assert "\x1b" not in text
    assert "ValueError: \ufffd[2J second" in text


def test_the_home_option_of_printed_commands_is_quoted(tmp_path: Path) -> None:
    def option(folder: Path) -> str:
        return Shell(Settings(folder, origin={"home": "command line"}), Home(folder)).home_option

    assert option(tmp_path / "my home") == f" --home '{tmp_path / 'my home'}'"
    assert option(tmp_path / "plain") == f" --home {tmp_path / 'plain'}"
