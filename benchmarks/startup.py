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
_ROUNDS = 2  # of the demo, in which memory is watched
_POLL_S = 0.005
_PATIENCE_S = 600.0
_MEMORY_POLL_S = 0.2
_CLI = "foedus.client.cli"
_MAIN = [sys.executable, "-c", f"import sys; from {_CLI} import main; sys.argv[0] = 'foedus'; main()"]


def run(options: Options) -> list[Line]:
    """Measure start-up and memory."""
    repeats = 1 if options.quick else REPEATS
    if not options.quick:
        _watch_demo(options)  # brings files into the disk cache
    watched = [_watch_demo(options, 0 if options.quick else _ROUNDS) for _ in range(repeats)]
    starts, peaks = [seconds for seconds, _ in watched], [peak for _, peak in watched]
    rss, pss = max(peak.rss for peak in peaks), max(peak.pss for peak in peaks)
    return [
        Line("start of a run → first training step", median(starts), "s", at_most(3.0), _program()),
        _help_line(repeats),
        Line("memory of the demo's processes, sum of RSS", rss / 1e9, "GB", at_most(1.5)),
        Line("memory of the demo's processes, sum of PSS", pss / 1e9, "GB", note="shared pages once"),
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
    shutil.copyfile(str(files("foedus.site") / "demo.toml"), spec)
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


def _watch_demo(options: Options, rounds: int = 0) -> tuple[float, Memory]:
    """Return the seconds to the first training step, and the largest memory from then on, for some rounds."""
    with temporary_home(options) as home:
        began = time.perf_counter()
        with _demo(home) as process:
            while not _has_begun(home, 1):
                _require_alive(process, home, began)
                time.sleep(_POLL_S)
            seconds = time.perf_counter() - began
            peak = memory_of_tree(process.pid)
            while rounds and not _has_begun(home, rounds + 1):
                time.sleep(_MEMORY_POLL_S)
                _require_alive(process, home, began)
                now = memory_of_tree(process.pid)
                peak = Memory(max(peak.rss, now.rss), max(peak.pss, now.pss), ())
            return seconds, peak


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
