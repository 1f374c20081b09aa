"""Compare the vendored files with the packages that they come from, or fetch them anew.

    python scripts/vendor.py            (compare; needs the program npm and a registry)
    python scripts/vendor.py --write    (fetch, and note SHA-256: after a change of a vendor.toml)

Each `vendor.toml` lists the files beside it. A new version makes new file names: change them in the
templates and in THIRD_PARTY.md, and remove the old files.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LISTS = (
    ROOT / "src/foedus/server/static/vendor/vendor.toml",
    ROOT / "tests/browser/vendor/vendor.toml",
)


def main() -> int:
    """Compare or fetch all files; return how many differ."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--write", action="store_true", help="fetch the files and note their SHA-256")
    is_writing = options.parse_args().write
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in LISTS:
            for entry in tomllib.loads(path.read_text())["file"]:
                content = fetched(entry["package"], entry["version"], entry["path"], Path(folder))
                if is_writing:
                    write(path, entry, content)
                elif (path.parent / entry["name"]).read_bytes() != content:
                    print(
                        f"{entry['name']} is not what {entry['package']} {entry['version']} has",
                        file=sys.stderr,
                    )
                    faults += 1
    return faults


def fetched(package: str, version: str, path: str, folder: Path) -> bytes:
    """Return a file of a package, which is downloaded once."""
    archive = folder / f"{re.sub(r'[^a-z0-9]+', '-', package)}-{version}.tgz"
    if not archive.exists():
        command = ["npm", "pack", "--silent", f"{package}@{version}"]
        said = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
        (folder / said.split()[-1]).rename(archive)
    with tarfile.open(archive) as opened:
        member = opened.extractfile(f"package/{path}")
        if member is None:
            raise SystemExit(f"{package} {version} has no file {path}")
        return member.read()


def write(path: Path, entry: dict[str, Any], content: bytes) -> None:
    """Write a file and, into its list, its SHA-256."""
    (path.parent / entry["name"]).write_bytes(content)
    parts = path.read_text().split("[[file]]")
    new = f'sha256 = "{hashlib.sha256(content).hexdigest()}"'
    path.write_text("[[file]]".join(_with(part, entry["name"], new) for part in parts))


def _with(part: str, name: str, line: str) -> str:
    return re.sub(r'sha256 = ".*"', line, part) if f'name = "{name}"\n' in part else part


if __name__ == "__main__":
    sys.exit(main())
