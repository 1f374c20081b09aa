"""The folder browser: nothing outside the roots, no links, and whatever is hidden looks missing."""

from pathlib import Path

import pytest

from foedus.server.errors import NotFound
from foedus.server.services.places import browse, check_again, path_of, roots_of


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, ...]:
    (tmp_path / "data" / "alice" / "scans").mkdir(parents=True)
    (tmp_path / "data" / "bob").mkdir()
    (tmp_path / "data" / "alice" / "a.npy").write_bytes(b"123")
    (tmp_path / "data" / "alice" / ".secret").mkdir()
    (tmp_path / "data" / "alice" / "way-out").symlink_to(tmp_path / "data" / "bob")
    return roots_of((tmp_path / "data" / "{user}",), "alice")


def test_a_root_is_the_persons_own(roots: tuple[Path, ...]) -> None:
    assert [root.name for root in roots] == ["alice"]


def test_links_and_hidden_names_are_not_listed(roots: tuple[Path, ...]) -> None:
    shown = browse(roots, 0, "")
    assert [(one.name, one.is_folder, one.size_bytes) for one in shown.entries] == [
        ("scans", True, 0),
        ("a.npy", False, 3),
    ]


@pytest.mark.parametrize(
    "place",
    [
        "..",
        "../bob",
        "scans/../../bob",
        "way-out",
        "way-out/x",
        ".secret",
        "/etc",
        "no",
        "a\0b",
        "scans/",
        "x" * 2000,
    ],
)
def test_what_may_not_be_opened_looks_missing(roots: tuple[Path, ...], place: str) -> None:
    messages = set()
    for wanted in (place, "certainly-missing"):
        with pytest.raises(NotFound) as caught:
            path_of(roots, 0, wanted)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_another_root_number_looks_missing(roots: tuple[Path, ...]) -> None:
    with pytest.raises(NotFound):
        browse(roots, 1, "")


def test_a_folder_exchanged_for_a_link_is_refused_when_it_is_used(roots: tuple[Path, ...]) -> None:
    path = path_of(roots, 0, "scans")
    check_again(roots, path)
    path.rmdir()
    path.symlink_to(roots[0].parent / "bob")
    with pytest.raises(NotFound):
        check_again(roots, path)


def test_a_path_outside_of_all_roots_is_refused(roots: tuple[Path, ...]) -> None:
    with pytest.raises(NotFound):
        check_again(roots, roots[0].parent / "bob")
