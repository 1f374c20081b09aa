"""The files that browsers fetch: those of others are unchanged, ours fit the pages."""

import hashlib
import re
import tomllib

import pytest
from fastapi.testclient import TestClient

from foedus.server.pages.render import FOLDER

STATIC = FOLDER / "static"
VENDORED = tomllib.loads((STATIC / "vendor/vendor.toml").read_text())["file"]
TEMPLATES = sorted((FOLDER / "templates").rglob("*.html"))


@pytest.mark.parametrize("entry", VENDORED, ids=lambda entry: entry["name"])
def test_a_vendored_file_is_what_its_list_says(entry: dict[str, str]) -> None:
    content = (STATIC / "vendor" / entry["name"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    assert entry["version"] in entry["name"]


def test_every_vendored_file_is_listed() -> None:
    there = {path.name for path in (STATIC / "vendor").glob("*.min.*")}
    assert there == {entry["name"] for entry in VENDORED}


def test_every_file_that_pages_name_is_there_and_served(nobody: TestClient) -> None:
    named = {name for path in TEMPLATES for name in re.findall(r'"(/static/[^"{]+)"', path.read_text())}
    assert named
    for name in sorted(named):
        answer = nobody.get(name)
        assert answer.status_code == 200, name
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_files_above_the_static_folder_are_not_served(nobody: TestClient) -> None:
    for path in (
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/vendor/..%5c..%5capp.py",
    ):
        answer = nobody.get(path)
        assert answer.status_code in (303, 404), path
        assert "create_app" not in answer.text


def test_our_style_and_scripts_fetch_nothing_from_elsewhere() -> None:
    for path in (STATIC / "app.css", STATIC / "app.js", STATIC / "charts.js"):
        assert not re.search(r"https?://", path.read_text()), path.name
