"""What commands print: tables, JSON, sentences and errors. Rich is imported on first use: it is slow."""

import csv
import json
import sys
import time
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import IO, TYPE_CHECKING

from foedus.core.errors import FoedusError

if TYPE_CHECKING:
    from rich.console import Console

_FORMULAS = ("=", "+", "-", "@")
_PIPE_WIDTH = 200  # columns of a table that goes into a file or another program
_CID_ENDS = (9, 6)
_HASH_ENDS = (8, 6)


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


def console(file: IO[str] | None = None) -> "Console":
    """Return a console for standard output, or the given stream, that guesses no colours from the text."""
    from rich.console import Console

    stream = sys.stdout if file is None else file
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, emoji=False)


def print_json(value: object) -> None:
    """Print a value as indented JSON with sorted keys, in ASCII: no terminal obeys what others wrote."""
    json.dump(value, sys.stdout, indent=2, sort_keys=True, ensure_ascii=True, default=str)
    sys.stdout.write("\n")


def say(text: str, style: str = "") -> None:
    """Print one line as it is: no markup, no wrapping, so that commands and paths in it can be copied."""
    console().print(one_line(text), style=style or None, markup=False, soft_wrap=True)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "", right: Sequence[str] = ()
) -> None:
    """Print rows below a header; `right` names the columns of numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(str(cell))) for cell in row))
    console().print(table)


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as CSV below a header. What a spreadsheet would take for a formula begins with a quote."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_harmless(one_line(str(cell))) for cell in row] for row in rows)


def _harmless(text: str) -> str:
    return f"'{text}" if text[:1] in _FORMULAS else text


def print_pairs(pairs: Iterable[tuple[str, object]], indent: str = "") -> None:
    """Print names and values in two columns, one pair a line, without wrapping."""
    listed = [(name, str(value)) for name, value in pairs]
    width = max((len(name) for name, _ in listed), default=0)
    out = console()
    for name, value in listed:
        out.print(f"{indent}{name:<{width}}  ", style="dim", end="", markup=False)
        out.print(one_line(value), markup=False, soft_wrap=True)


def print_error(error: FoedusError) -> None:
    """Print message and hint to standard error."""
    err = console(sys.stderr)
    err.print("error:", style="bold red", end=" ")
    err.print(printable(error.message), markup=False, soft_wrap=True)
    if error.hint:
        err.print(printable(error.hint), style="dim", markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """Print one line to standard error."""
    console(sys.stderr).print(one_line(text), markup=False, soft_wrap=True)


def printable(text: str) -> str:
    """Replace what a terminal would obey: control characters in text that others wrote."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def one_line(text: str) -> str:
    """Replace control characters, and line ends by spaces: no text of others passes for a line of ours."""
    return printable(" ".join(text.splitlines()))


def short(text: str) -> str:
    """Shorten a CID, hash or address in the middle; short texts stay."""
    head, tail = _CID_ENDS if text.startswith("baf") else _HASH_ENDS
    return text if len(text) <= head + tail + 1 else f"{text[:head]}…{text[-tail:]}"


def size_text(size_bytes: int) -> str:
    """Say a size in bytes as people do: `1.7 MB`."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def seconds_text(seconds: float) -> str:
    """Say a duration: `4.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def time_text(seconds: int) -> str:
    """Say a block's time in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
