"""Ways to call the command line in tests: inside this process, or as a program of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner, Result

from foedus.client.cli import app

ROOT = Path(__file__).parents[2]

TINY = """
name = "tiny"
rounds = 2
[model]
name = "2nn"
[data]
source = "small"
images = 300
test = 60
shared = 60
[partition]
kind = "iid"
clients = 2
[training]
learning_rate = 0.1
batch_size = 16
[policy]
beta = -0.5
epsilon = 0.5
"""


def call(*args: str | Path, environ: Mapping[str, str] | None = None) -> Result:
    """Call the command line in this process, which keeps its umask."""
    umask = os.umask(0)
    os.umask(umask)
    try:
        return CliRunner().invoke(app, [str(arg) for arg in args], env=dict(environ or {}))
    finally:
        os.umask(umask)


def clean_environment(**extra: str) -> dict[str, str]:
    """Return our environment without settings of Foedus, plus those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOEDUS_")}
    return kept | extra


def start(*args: str | Path) -> subprocess.Popen[str]:
    """Start the command line as a program in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "foedus.client.cli", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=clean_environment(),
        start_new_session=True,
    )


def write_spec(folder: Path, text: str = TINY) -> Path:
    """Write a spec file and return its path."""
    path = folder / "spec.toml"
    path.write_text(text)
    return path
