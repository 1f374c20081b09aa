"""Programs that the benchmarks start: they print one JSON line per round."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.result import CannotRun

ROOT = Path(__file__).parents[1]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Environment of programs that compute with one thread a process, as workers of Foedus do."""

_END_S = 20.0
_ERROR_LINES = 12


class Program:
    """A Python module run as a program, in a process group of its own, with whatever it starts."""

    def __init__(self, module: str, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def process_id(self) -> int:
        """The id of the program's first process."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def next_line(self) -> dict[str, Any]:
        """Wait for the next line. Raises `CannotRun` with the program's last words when there is none."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CannotRun(f"a program ended early: {self._last_words()}")
        return dict(json.loads(line))

    def go(self) -> None:
        """Let it begin its next round."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it is dead, which the next line tells
            self._process.stdin.write("\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """Let it end by itself for some seconds, then kill the group; its own children end with it."""
        with suppress(BrokenPipeError):
            self._process.communicate(timeout=_END_S if self._process.poll() is None else None)
            return
        self.kill()

    def kill(self) -> None:
        """Kill it at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        return "\n".join(self._process.stderr.read().splitlines()[-_ERROR_LINES:])


def take_turns(
    programs: Mapping[str, Program], rounds: int, say: Callable[[str], None]
) -> dict[str, list[dict[str, Any]]]:
    """Let programs, each between two rounds, take turns round by round; return what each said.

    While one works the others wait, so a machine that gets slower or faster does so for all of them.
    """
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            program.go()
            found[name].append(program.next_line())
        say(", ".join(f"{name} {lines[-1]['seconds']:.3f} s" for name, lines in found.items()))
    return found


@contextmanager
def started(programs: Sequence[tuple[str, Program]]) -> Iterator[dict[str, Program]]:
    """Kill the programs at the end, however it comes."""
    try:
        yield dict(programs)
    finally:
        for _, program in programs:
            program.kill()
