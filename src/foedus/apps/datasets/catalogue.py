"""The private datasets of a home folder: one file of metadata each; the data stay where they are."""

from typing import TYPE_CHECKING

from foedus.core.errors import InvalidSpec

if TYPE_CHECKING:
    from foedus.rounds.home import Home


def find_dataset(home: "Home", name: str) -> None:
    """Look a dataset up. Raises `InvalidSpec` naming those there are."""
    raise InvalidSpec(f"there is no dataset {name!r}")
