"""Registers data as a private dataset, and loads them again, each time checked against the fingerprint."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from foedus.apps.datasets import catalogue
from foedus.apps.datasets.catalogue import Dataset
from foedus.apps.datasets.catalogue import SplitRule as SplitRule  # what `register` is given
from foedus.apps.datasets.kinds import find_format
from foedus.apps.datasets.listing import Listing, OnBytes, fingerprint, list_files
from foedus.apps.datasets.recipe import Recipe, Step, apply_step, checked_recipe, hash_of, measured, resized
from foedus.apps.datasets.source import Each, Labels, Source, Values, checked
from foedus.apps.datasets.splits import PARTS, split_parts
from foedus.core.errors import InvalidData, InvalidSpec

if TYPE_CHECKING:
    from foedus.rounds.home import Home


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A dataset in memory, after its recipe: values (N, ...), labels (N,) or none, parts (N,) in `PARTS`.

    `names` are those of the labels from 0; none where the labels are but numbers. `files` are the names of
    the examples' files below the dataset's place; none where they have no file each. `targets` are masks
    (N, H, W) uint8 of 0 and 1, or fields (N, C, H, W) float32, where the data have them.
    """

    dataset: Dataset
    values: Values
    labels: Labels | None
    parts: npt.NDArray[np.uint8]
    names: tuple[str, ...]
    files: tuple[str, ...]
    targets: Values | None = None

    def rows(self, part: str) -> npt.NDArray[np.int64]:
        """Return which rows belong to a part; `all` is all of them. Raises `InvalidSpec` for another name."""
        if part == "all":
            return np.arange(len(self.values))
        if part not in PARTS:
            raise InvalidSpec(f"there is no part {part!r}", f"Parts are {', '.join(PARTS)} and all.")
        return np.flatnonzero(self.parts == PARTS.index(part))


DEFAULT_SPLIT: Final = SplitRule()


def register(
    home: "Home",
    name: str,
    kind: str,
    path: Path,
    recipe: Sequence[Step] = (),
    split: SplitRule = DEFAULT_SPLIT,
    observer: OnBytes = lambda done, total: None,
) -> Dataset:
    """Read and check data once, and keep their metadata under a name; nothing is copied.

    Raises `InvalidData` for data that are not usable, `InvalidSpec` for a name that is taken, unknown kinds
    and wrong steps.
    """
    if catalogue.dataset_file(home, name).exists():
        raise InvalidSpec(
            f"there is a dataset {name!r} already", "Choose another name, or remove that one first."
        )
    steps, listing = checked_recipe(recipe), _files(kind, path)
    data_print = fingerprint(listing, observer)
    prepared = _prepared(kind, listing, steps, split)
    recipe_hash = hash_of(prepared.recipe, asdict(split))
    found = Dataset(
        name=name,
        kind=kind,
        path=str(path.expanduser().resolve()),
        fingerprint=data_print,
        files=len(listing.names),
        size_bytes=listing.size_bytes,
        recipe=tuple(step.to_json() for step in prepared.recipe),
        split=split,
        recipe_hash=recipe_hash,
        id=hashlib.sha256(f"{data_print}\n{recipe_hash}\n".encode()).hexdigest(),
        **prepared.figures(),
    )
    catalogue.keep(home, found)
    return found


def load(home: "Home", name: str) -> Loaded:
    """Load a dataset and apply its recipe. The same data give the same arrays.

    Raises `InvalidData` when the data are gone or not what was registered; no error tells their path.
    """
    dataset, listing = verified(home, name)
    with without_places(name):
        recipe = tuple(Step.from_json(dict(step)) for step in dataset.recipe)
        found = _prepared(dataset.kind, listing, recipe, dataset.split)
    source = found.source
    return Loaded(
        dataset, source.values, source.labels, found.parts, source.names, source.files, source.targets
    )


def verified(home: "Home", name: str) -> tuple[Dataset, Listing]:
    """Return a dataset and its files, which are those that were registered. Raises as `load` does."""
    dataset = catalogue.find_dataset(home, name)
    path = catalogue.place_of(dataset)
    with without_places(name):
        changed, listing = differences(dataset), _files(dataset.kind, path)
    if changed:
        raise InvalidData(
            f"the data of dataset {name!r} have changed: {changed}",
            "Register them again, under another name.",
        )
    return dataset, listing


@contextmanager
def without_places(name: str) -> Iterator[None]:
    """Replace errors that name files: whoever meets them in a batch job writes them to its log."""
    try:
        yield
    except (InvalidData, OSError):
        hint = f"`foedus dataset show {name} --check` says why."
        raise InvalidData(f"the data of dataset {name!r} cannot be read any more", hint) from None


def differences(dataset: Dataset, observer: OnBytes = lambda done, total: None) -> str:
    """Say in what the data differ from those that were registered; nothing when they are the same."""
    listing = _files(dataset.kind, catalogue.place_of(dataset))
    if len(listing.names) != dataset.files:
        return f"there are {len(listing.names):,} files, {dataset.files:,} were registered"
    if listing.size_bytes != dataset.size_bytes:
        return f"there are {listing.size_bytes:,} bytes, {dataset.size_bytes:,} were registered"
    return (
        "" if fingerprint(listing, observer) == dataset.fingerprint else "names or contents are not the same"
    )


def _files(kind: str, path: Path) -> Listing:
    found = find_format(kind)
    listing = list_files(path)
    return listing.keep(found.pick(listing))


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """Examples after a recipe, which now has its numbers."""

    source: Source
    parts: npt.NDArray[np.uint8]
    recipe: Recipe

    def figures(self) -> dict[str, Any]:
        """Return what the metadata tell about the examples."""
        values, labels = self.source.values, self.source.labels
        return {
            "examples": len(values),
            "shape": values.shape[1:],
            "dtype": str(values.dtype),
            "ranges": (float(values.min()), float(values.max())),
            "histogram": () if labels is None else tuple(np.bincount(labels).tolist()),
            "label_names": self.source.names,
            "parts": {one: int((self.parts == index).sum()) for index, one in enumerate(PARTS)},
        }


def _prepared(kind: str, listing: Listing, recipe: Recipe, split: SplitRule) -> _Prepared:
    """Read the data and do the steps; the split comes before `normalise`, which measures one part."""
    source: Source = checked(find_format(kind).read(listing, _first_resize(recipe)))
    is_normalised = bool(recipe) and recipe[-1].name == "normalise"
    for step in recipe[:-1] if is_normalised else recipe:
        source = apply_step(step, source)
    parts = split_parts(source.values, source.labels, split.seed, split.val, split.test)
    if is_normalised:
        last = recipe[-1] if recipe[-1].args else measured(source.values[parts == 0])
        recipe = (*recipe[:-1], last)
        source = apply_step(last, source)
    return _Prepared(source, parts, recipe)


def _first_resize(recipe: Recipe) -> Each:
    """Return what brings pictures of different sizes to one before they are put together."""
    if not recipe or recipe[0].name != "resize":
        return None
    args = recipe[0].args
    return partial(resized, height=int(str(args["height"])), width=int(str(args["width"])))
