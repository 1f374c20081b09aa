"""A whole new platform as real processes, pages and worker, with data of two members on its disk."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foedus.server.serve import foedus

FILE = "bars.npz"
_EXAMPLES = 240
_CLASSES = 3


@dataclass(frozen=True)
class Running:
    """A platform that answers, and where its first account is made."""

    home: Path
    origin: str
    welcome: str


@contextmanager
def running(folder: Path, people: tuple[str, ...]) -> Iterator[Running]:
    """Start `foedus up` with a fresh home; each of these people has a file of data below a data root."""
    home, data = folder / "home", folder / "data"
    for seed, name in enumerate(people):
        (data / name / "scans").mkdir(parents=True)
        _write_bars(data / name / "scans" / FILE, seed)
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text(f'[server]\ndata_roots = ["{data}/{{user}}"]\n')
    command = foedus("up", "--home", str(home), "--port", "0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment()) as process:
        try:
            assert process.stdout is not None
            said = ""
            while (found := re.search(r"(http://127\.0\.0\.1:\d+)(/welcome\?code=\S+)", said)) is None:
                line = process.stdout.readline()
                assert line, f"it ended, and said: {said}"
                said += line
            yield Running(home, found[1], found[2])
        finally:
            process.terminate()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours to its end."""
    return subprocess.run(
        foedus(*arguments), capture_output=True, text=True, check=False, timeout=60, env=_environment()
    )


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FOEDUS_")}


def _write_bars(path: Path, seed: int) -> None:
    """Write images with a bar each, whose height tells the label."""
    random = np.random.default_rng(seed)
    labels = np.arange(_EXAMPLES) % _CLASSES
    images = random.integers(0, 40, (_EXAMPLES, 28, 28), dtype=np.uint8)
    for row, label in enumerate(labels):
        images[row, 8 * label : 8 * label + 8] += 180
    np.savez(path, images=images, labels=labels)
