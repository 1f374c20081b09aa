"""The private datasets of a home folder: one file of metadata each; the data stay where they are.

The file, mode 600, is the only place that holds the data's path. What others may see is `public_metadata`.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from foedus.apps.parameters import DATASET_NAME
from foedus.core.canonical import Json
from foedus.core.errors import FoedusError, InvalidData, InvalidSpec

if TYPE_CHECKING:
    from foedus.rounds.home import Home

_KEPT_PRIVATE: Final = ("path", "label_names", "fingerprint", "id", "files", "size_bytes", "name")


@dataclass(frozen=True, slots=True)
class SplitRule:
    """How examples are divided: shares of validation and test examples, and the seed that draws them."""

    seed: int = 1
    val: float = 0.1
    test: float = 0.1


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is known of a private dataset. `shape`, `ranges` and counts are those after the recipe."""

    name: str
    kind: str
    path: str  # of the data, which stay there
    fingerprint: str  # sha256 of the canonical listing of its files
    files: int
    size_bytes: int
    recipe: tuple[Mapping[str, Any], ...]  # steps, in order
    split: SplitRule
    recipe_hash: str  # of both
    id: str  # of fingerprint and recipe hash: equal ids, equal examples
    examples: int
    shape: tuple[int, ...]  # of one example
    dtype: str
    ranges: tuple[float, float]  # smallest and largest value
    histogram: tuple[int, ...]  # examples of each label from 0; empty without labels
    label_names: tuple[str, ...]
    parts: Mapping[str, int]  # examples to train, validate and test with

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    def to_json(self) -> dict[str, Json]:
        """Return all of it, for the owner."""
        return asdict(self)

    def public_metadata(self) -> dict[str, Json]:
        """Return what other members may see: never path, names of files or classes, or rows."""
        return {key: value for key, value in asdict(self).items() if key not in _KEPT_PRIVATE}


_DATASET: Final = TypeAdapter(Dataset)


def dataset_file(home: "Home", name: str) -> Path:
    """Return where a dataset's metadata are kept. Raises `InvalidSpec` for what is no name."""
    if not DATASET_NAME.fullmatch(name):
        raise InvalidSpec(
            f"{name[:60]!r} is no name of a dataset", "Use up to 48 characters of a-z, 0-9, - and _."
        )
    return home.root / "datasets" / f"{name}.json"


def dataset_names(home: "Home") -> list[str]:
    """Return the names of all datasets, sorted."""
    folder = home.root / "datasets"
    if not folder.is_dir():
        return []
    names = [path.stem for path in folder.glob("*.json") if path.is_file()]
    return sorted(name for name in names if DATASET_NAME.fullmatch(name))


def find_dataset(home: "Home", name: str) -> Dataset:
    """Look a dataset up. Raises `InvalidSpec` naming those there are, `FoedusError` for a damaged file."""
    from foedus.learn.arguments import hint_for

    path = dataset_file(home, name)
    if not path.is_file():
        known = dataset_names(home)
        hint = hint_for(name, known) if known else "Register one with `foedus dataset register`."
        raise InvalidSpec(f"there is no dataset {name!r}", hint)
    try:
        return _DATASET.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise FoedusError(
            f"the metadata of dataset {name} are damaged", "Remove it and register the data again."
        ) from error


def keep(home: "Home", dataset: Dataset) -> None:
    """Write a dataset's metadata, for its owner only. Raises `InvalidSpec` when the name is taken."""
    from foedus.rounds.home import write_json

    path = dataset_file(home, dataset.name)
    if path.exists():
        raise InvalidSpec(
            f"there is a dataset {dataset.name!r} already", "Choose another name, or remove that one first."
        )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(path, dataset.to_json())
    os.chmod(path, 0o600)


def remove(home: "Home", name: str) -> None:
    """Forget a dataset; the data themselves stay. Raises `InvalidSpec` for an unknown one."""
    path = dataset_file(home, name)
    if not path.is_file():
        find_dataset(home, name)
    path.unlink()


def place_of(dataset: Dataset) -> Path:
    """Return the data's path. Raises `InvalidData`, without the path, when nothing can be seen there."""
    if not os.path.exists(dataset.path):  # `Path.exists` raises, with the path, for a folder closed to us
        raise InvalidData(
            f"the data of dataset {dataset.name!r} are gone, or this user may not see them",
            "Put them back, or register them again.",
        )
    return Path(dataset.path)
