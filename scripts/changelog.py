"""Move the fragments of `changes/` into the section Unreleased of CHANGELOG.md (`make changelog`)."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TITLES = {
    "feature": "New",
    "performance": "Faster",
    "fix": "Corrected",
    "security": "Security",
    "docs": "Documentation",
    "removal": "Removed",
}
HEADING = "## Unreleased\n"


def main(root: Path = ROOT) -> None:
    """Write the changelog, then delete the fragments."""
    fragments = fragments_in(root / "changes")
    changelog = root / "CHANGELOG.md"
    changelog.write_text(with_fragments(changelog.read_text(), fragments))
    for path in fragments:
        path.unlink()
    sys.stdout.write(f"moved {len(fragments)} fragments into {changelog.name}\n")


def fragments_in(folder: Path) -> list[Path]:
    """Return the fragments in order of their names. Raises ValueError for a file that is none."""
    found = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    for path in found:
        if path.name.count(".") != 2 or path.name.split(".")[1] not in TITLES:
            raise ValueError(f"{path.name} must be called <name>.<type>.md, type one of {', '.join(TITLES)}")
    return found


def with_fragments(changelog: str, fragments: list[Path]) -> str:
    """Return the changelog with the fragments' texts as items below their types' titles."""
    before, heading, after = changelog.partition(HEADING)
    if not heading:
        raise ValueError("CHANGELOG.md has no section Unreleased")
    released_from = after.find("\n## ")
    cut = len(after) if released_from < 0 else released_from
    present, released = after[:cut], after[cut:]
    for kind, title in TITLES.items():
        items = [_item(path) for path in fragments if path.name.split(".")[1] == kind]
        present = _added(present, f"### {title}\n", "".join(items)) if items else present
    return before + heading + present + released


def _added(section: str, title: str, items: str) -> str:
    if title in section:
        before, _, after = section.partition(title)
        return before + title + items + after.lstrip("\n")
    body = section.rstrip("\n")
    return (f"{body}\n\n" if body else "\n") + title + items


def _item(path: Path) -> str:
    return "- " + path.read_text().strip().replace("\n", "\n  ") + "\n"


if __name__ == "__main__":
    main()
