"""`startup`: how long until a new run trains, how fast the command line answers, what the demo occupies."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from benchmarks.homes import new_run, temporary_home
from benchmarks.memory import Memory, memory_of_tree, wait_for_end
from benchmarks.programs import ROOT
from benchmarks.result import CannotRun, Line, Options, at_most, median
from foedus.rounds.home import Home
from foedus.rounds.spec import load_spec

REPEATS = 5
_POLL_S = 0.005
_PATIENCE_S = 600.0
_MEMORY_POLL_S = 0.2
_CLI = "foedus.client.cli"
_MAIN = [sys.executable, "-c", f"import sys; from {_CLI} import main; sys.argv[0] = 'foedus'; main()"]


def run(options: Options) -> list[Line]:
    """Measure start-up and memory."""
    repeats = 1 if options.quick else REPEATS
    if not options.quick:
        _seconds_to_first_step(options)  # brings files into the disk cache
    starts = [_seconds_to_first_step(options) for _ in range(repeats)]
    peak = _peak_memory(options, rounds=0 if options.quick else 3)
    return [
        Line("start of a run → first training step", median(starts), "s", at_most(3.0), _program()),
        _help_line(repeats),
        Line("memory of the demo's processes, sum of RSS", peak.rss / 1e9, "GB", at_most(1.5)),
        Line("memory of the demo's processes, sum of PSS", peak.pss / 1e9, "GB", note="shared pages once"),
    ]


def _help_line(repeats: int) -> Line:
    what, target = "foedus --help", at_most(0.3)
    if not _has_cli():
        return Line(what, None, "s", target, f"there is no {_CLI} yet")
    seconds = []
    for _ in range(2 * repeats):
        began = time.perf_counter()
        subprocess.run([*_MAIN, "--help"], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    return Line(what, median(seconds), "s", target)


def _has_cli() -> bool:
    return importlib.util.find_spec(_CLI) is not None


def _program() -> str:
    return "foedus run demo.toml" if _has_cli() else "by benchmarks.drive: no command line yet"


@contextmanager
def _demo(home: Home) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the demo's run in the home folder, which has no full MNIST; kill it at the end."""
    home.root.mkdir()
    spec = home.root / "demo.toml"
    shutil.copyfile(str(files("foedus.client") / "demo.toml"), spec)
    if _has_cli():
        command = [*_MAIN, "run", str(spec), "--home", str(home.root)]
    else:
        run = new_run(home, load_spec(spec))
        command = [sys.executable, "-m", "benchmarks.drive", str(home.root), run]
    with (home.root / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_environment()
        )
    try:
        yield process
    finally:
        wait_for_end(process.pid, process.kill)
        process.wait()


def _environment() -> dict[str, str]:
    """Our environment without settings that would change the demo."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FOEDUS_")}


def _seconds_to_first_step(options: Options) -> float:
    with temporary_home(options) as home:
        began = time.perf_counter()
        with _demo(home) as process:
            while not _has_begun(home, 1):
                _require_alive(process, home, began)
                time.sleep(_POLL_S)
            return time.perf_counter() - began


def _peak_memory(options: Options, rounds: int) -> Memory:
    """Return the largest memory while the demo's first rounds run."""
    with temporary_home(options) as home, _demo(home) as process:
        began = time.perf_counter()
        rss, pss = 0, 0
        while not _has_begun(home, rounds + 1):
            found = memory_of_tree(process.pid)
            rss, pss = max(rss, found.rss), max(pss, found.pss)
            _require_alive(process, home, began)
            time.sleep(_MEMORY_POLL_S)
        return Memory(rss, pss, ())


def _has_begun(home: Home, number: int) -> bool:
    """Whether a train task of this round has reported its first step."""
    pattern = f"*/jobs/r{number:05d}.*/*.train/events.jsonl"
    return home.runs.is_dir() and any(_size(path) for path in home.runs.glob(pattern))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _require_alive(process: "subprocess.Popen[bytes]", home: Home, began: float) -> None:
    if process.poll() is not None or time.perf_counter() - began > _PATIENCE_S:
        words = (home.root / "output").read_text(errors="replace").splitlines()[-12:]
        raise CannotRun("the demo did not come to train: " + "\n".join(words))
