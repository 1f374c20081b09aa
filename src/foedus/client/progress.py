"""Shows a run while it goes on: live bars in a terminal, plain lines everywhere else."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from foedus.client.output import console, one_line, printable, seconds_text
from foedus.client.status import RunStatus
from foedus.client.watch import ClientNow, Watch
from foedus.rounds.progress import Observer, Progress

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

_LOG = logging.getLogger("foedus.run")
_FRAMES_PER_S = 5
_MOST_CLIENTS = 12
_BAR_WIDTH = 24
_COLOURS = {"train": "cyan", "verify": "magenta", "aggregate": "magenta"}


@contextmanager
def show_progress(status: RunStatus, file: IO[str] | None = None) -> Iterator[Observer]:
    """Show a run on a stream (standard output by default): bars if it is a terminal, lines if not.

    Yields the observer to give to `drive_run`.
    """
    out = console(sys.stdout if file is None else file)
    watch = Watch(status)
    if out.is_terminal and not out.is_dumb_terminal:
        with _live(out, watch) as observer:
            yield observer
    else:
        yield _lines(out, watch)


def _lines(out: "Console", watch: Watch) -> Observer:
    def observe(progress: Progress) -> None:
        _log(progress)
        for line in watch.take(progress):
            out.print(printable(line), markup=False, soft_wrap=True)
            out.file.flush()

    return observe


@contextmanager
def _live(out: "Console", watch: Watch) -> Iterator[Observer]:
    from rich.live import Live

    with Live(_Display(watch), console=out, refresh_per_second=_FRAMES_PER_S, transient=True) as live:

        def observe(progress: Progress) -> None:
            _log(progress)
            for line in watch.take(progress):
                live.console.print(_coloured(line), markup=False, soft_wrap=True)

        yield observe


def _log(progress: Progress) -> None:
    if progress.what != "step":
        _LOG.info("%s round=%d client=%s", progress.what, progress.round, progress.client)


class _Display:
    """Draws the state of a watch; Rich asks for it a few times a second, from a thread of its own."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def __rich__(self) -> "RenderableType":
        from rich.table import Table

        watch = self._watch
        table = Table.grid(padding=(0, 1))
        if not watch.is_set_up:
            table.add_row(
                f"preparing data and model of {watch.run} …",
                _text(f"[dim]{watch.seconds():.0f} s"),
                _plain(watch.preparing),
            )
            return table
        table.add_row(
            _text(f"[bold]{watch.run}"),
            _bar(watch.ended_rounds / watch.rounds, "green"),
            _text(
                f"round {min(watch.ended_rounds + 1, watch.rounds)}/{watch.rounds}, version {watch.version}"
                f"{f', exchange {watch.exchange}' if watch.exchange > 1 else ''}"
                f"[dim], {seconds_text(watch.seconds())}"
            ),
        )
        self._add_clients(table)
        return table

    def _add_clients(self, table: "Table") -> None:
        clients = list(self._watch.clients.items())
        is_busy = {name: now.doing in _COLOURS for name, now in clients}
        chosen = sorted(clients, key=lambda item: (not is_busy[item[0]], item[0]))[:_MOST_CLIENTS]
        for name, now in sorted(chosen):
            table.add_row(_plain(f"  {name}"), _client_bar(now), _activity(now))
        if len(clients) > len(chosen):
            table.add_row(_text(f"  [dim]and {len(clients) - len(chosen)} more"))


def _bar(share: float, colour: str) -> "RenderableType":
    from rich.progress_bar import ProgressBar

    return ProgressBar(
        total=1.0, completed=share, width=_BAR_WIDTH, complete_style=colour, finished_style=colour
    )


def _client_bar(now: ClientNow) -> "RenderableType":
    if now.doing == "train":
        return _bar(now.share or 0.0, "cyan")
    if now.doing in _COLOURS:
        return _bar(1.0, _COLOURS[now.doing])
    return _bar(0.0 if now.doing in ("waiting", "failed") else 1.0, "bright_black")


def _activity(now: ClientNow) -> "RenderableType":
    if now.waits and not now.share:
        return _plain(f"{now.doing}, {now.waits}")
    text = f"[{_COLOURS[now.doing]}]{now.doing}[/]" if now.doing in _COLOURS else f"[dim]{now.doing}[/]"
    if now.share is not None:
        text += f" {now.share:.0%}"
    if now.loss is not None and now.doing == "train":
        text += f"[dim], loss {now.loss:.3f}[/]"
    return _text(text)


def _text(markup: str) -> "RenderableType":
    """Parse markup at once: lines printed meanwhile say that markup is off, and that would hold for these."""
    from rich.text import Text

    return Text.from_markup(markup)


def _plain(text: str) -> "RenderableType":
    """Show a text that may be of others: no markup, no control characters."""
    from rich.text import Text

    return Text(one_line(text))


def _coloured(line: str) -> "RenderableType":
    from rich.text import Text

    text = Text(printable(line))
    text.highlight_words(["accepted"], "green")
    text.highlight_words(["rejected", "empty", "failed", "alarm"], "yellow")
    text.highlight_regex(r"(?<=test accuracy )\S+", "bold")
    text.highlight_regex(r"(?m)^    .*$", "dim")
    return text
