"""The scripts behind `make changelog` and `make lock`."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"script_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def project(folder: Path, changelog: str, **fragments: str) -> Path:
    (folder / "changes").mkdir()
    (folder / "changes" / "README.md").write_text("# How\n")
    (folder / "CHANGELOG.md").write_text(changelog)
    for name, text in fragments.items():
        (folder / "changes" / f"{name.replace('_', '.')}.md").write_text(text)
    return folder


def test_fragments_move_below_the_titles_of_their_types(tmp_path: Path) -> None:
    root = project(tmp_path, "# C\n\n## Unreleased\n", b_fix="Second\nline.\n", a_feature="New thing.\n")
    load("changelog").main(root)
    assert (root / "CHANGELOG.md").read_text() == (
        "# C\n\n## Unreleased\n\n### New\n- New thing.\n\n### Corrected\n- Second\n  line.\n"
    )
    assert [path.name for path in (root / "changes").iterdir()] == ["README.md"]


def test_later_fragments_join_earlier_ones_and_leave_releases_alone(tmp_path: Path) -> None:
    before = "# C\n\n## Unreleased\n\n### New\n- Old.\n\n## 1.0\n\n### New\n- Ancient.\n"
    root = project(tmp_path, before, a_feature="Newer.", b_fix="Right.")
    load("changelog").main(root)
    assert (root / "CHANGELOG.md").read_text() == (
        "# C\n\n## Unreleased\n\n### New\n- Newer.\n- Old.\n\n### Corrected\n- Right.\n"
        "\n## 1.0\n\n### New\n- Ancient.\n"
    )


def test_a_fragment_of_unknown_type_is_refused_and_kept(tmp_path: Path) -> None:
    root = project(tmp_path, "## Unreleased\n", a_idea="?")
    with pytest.raises(ValueError, match=r"a\.idea\.md must be called"):
        load("changelog").main(root)
    assert (root / "changes" / "a.idea.md").exists()


def test_fragments_of_this_repository_are_in_order() -> None:
    script = load("changelog")
    script.with_fragments("## Unreleased\n", script.fragments_in(script.ROOT / "changes"))


def test_lock_is_sorted_and_without_local_labels() -> None:
    lock = load("lock")
    text = lock.as_lock({"torch": "2.13.0+cpu", "foedus": "0.1.0", "pip": "23.2", "aleph-cid": "0.1.0"})
    assert text.splitlines()[-2:] == ["aleph-cid==0.1.0", "torch==2.13.0"]
    assert lock.locked_versions(text) == {"aleph-cid": "0.1.0", "torch": "2.13.0"}


def test_a_loose_version_in_the_lock_is_an_error() -> None:
    with pytest.raises(ValueError, match="not an exact version: numpy>=2"):
        load("lock").locked_versions("numpy>=2\n")
