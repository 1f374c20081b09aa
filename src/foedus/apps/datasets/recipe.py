"""Pre-processing as an ordered list of steps, written down canonically and hashed.

deduplicate                       of examples with the same content the first stays
filter labels=0,6 min_std=0.01    examples with these labels, and with at least this standard deviation
grey                              images: red, green and blue become the brightness that the eye sees
resize height=14 width=14         images: each new pixel is the mean of the area that it covers. Masks and
                                  fields come along, and a mask's pixel is inside where most of its area was
normalise mean=0.13 std=0.31      (x − mean) / std; whole numbers are first divided by their type's largest.
                                  Must come last. Without numbers, those of the training examples are taken
                                  when the dataset is registered, and written down
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from foedus.apps.datasets.source import Labels, Rows, Source, Values
from foedus.apps.datasets.splits import digests
from foedus.core.canonical import Json, canonical_json
from foedus.core.errors import InvalidData, InvalidSpec
from foedus.learn.arguments import hint_for

Argument: TypeAlias = float | int | tuple[int, ...]

_LARGEST_SIDE: Final = 8192
_LARGEST_LABEL: Final = 100_000
_MOST_DIGITS: Final = 9
_LEAST_STD: Final = 1e-12
_BRIGHTNESS: Final = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601
_CHUNK: Final = 4096  # examples at a time, to bound memory


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its name and its arguments."""

    name: str
    args: Mapping[str, Argument]

    def to_json(self) -> dict[str, Json]:
        """Return the step as it is written down."""
        args = {name: list(a) if isinstance(a, tuple) else a for name, a in self.args.items()}
        return {"step": self.name, "args": args}

    @classmethod
    def from_json(cls, value: Json) -> "Step":
        """Check what was written down. Raises `InvalidSpec`."""
        if (
            not isinstance(value, dict)
            or value.keys() != {"step", "args"}
            or not isinstance(value["args"], dict)
        ):
            raise InvalidSpec("a step must have a name and arguments")
        return checked_step(str(value["step"]), value["args"])


Recipe: TypeAlias = tuple[Step, ...]

_WORDS: Final[dict[str, dict[str, Callable[[object], Argument | None]]]] = {
    "deduplicate": {},
    "grey": {},
    "filter": {"labels": lambda v: _labels(v), "min_std": lambda v: _real(v, 0.0)},
    "resize": {"height": lambda v: _side(v), "width": lambda v: _side(v)},
    "normalise": {"mean": lambda v: _real(v, -math.inf), "std": lambda v: _real(v, _LEAST_STD)},
}


def parse_step(text: str) -> Step:
    """Read a step as people write it: `resize height=14 width=14`. Raises `InvalidSpec`."""
    name, *words = text.split() or [""]
    given: dict[str, object] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign:
            raise InvalidSpec(f"step {name!r}: {word[:40]!r} is no argument", "Write NAME=VALUE.")
        given[key] = value
    return checked_step(name, given)


def checked_step(name: str, given: Mapping[str, object]) -> Step:
    """Check name and arguments of a step. Raises `InvalidSpec` naming what would be valid."""
    if name not in _WORDS:
        raise InvalidSpec(f"there is no step {name[:40]!r}", hint_for(name, _WORDS))
    args: dict[str, Argument] = {}
    for key, value in given.items():
        if key not in _WORDS[name]:
            raise InvalidSpec(f"step {name!r} has no argument {key[:40]!r}", hint_for(key, _WORDS[name]))
        found = _WORDS[name][key](value)
        if found is None:
            raise InvalidSpec(f"step {name!r}: {key} cannot be {str(value)[:40]!r}")
        args[key] = found
    if name == "resize" and len(args) < 2:
        raise InvalidSpec("step 'resize' needs height and width")
    if name == "filter" and not args:
        raise InvalidSpec("step 'filter' needs labels or min_std")
    if name == "normalise" and len(args) == 1:
        raise InvalidSpec("step 'normalise' needs mean and std, or neither")
    return Step(name, args)


def checked_recipe(steps: Sequence[Step]) -> Recipe:
    """Return the steps as a recipe. Raises `InvalidSpec` when `normalise` is not the last."""
    if any(step.name == "normalise" for step in steps[:-1]):
        raise InvalidSpec("'normalise' must be the last step", "What comes after it would undo it.")
    return tuple(steps)


def hash_of(recipe: Recipe, split: Mapping[str, Json]) -> str:
    """Return the sha256 (hex) of the recipe and of how the examples are split."""
    steps: list[Json] = [*(step.to_json() for step in recipe), {"step": "split", "args": dict(split)}]
    return hashlib.sha256(canonical_json(steps)).hexdigest()


def apply_step(step: Step, source: Source) -> Source:
    """Do one step; `normalise` must have its numbers. Raises `InvalidData` when the data do not suit it."""
    values = source.values
    match step.name:
        case "deduplicate":
            _, first = np.unique(digests(values), return_index=True)
            return _rows(source, np.sort(first))
        case "filter":
            return _rows(source, np.flatnonzero(_is_kept(step, values, source.labels)))
        case "grey":
            return replace(source, values=grey(values))
        case "resize":
            size = int(_number(step, "height")), int(_number(step, "width"))
            targets = None if source.targets is None else resized(source.targets, *size)
            return replace(source, values=resized(values, *size), targets=targets)
        case _:
            mean, std = np.float64(_number(step, "mean")), np.float64(_number(step, "std"))
            found = np.empty(values.shape, np.float32)
            for start in range(0, len(values), _CHUNK):
                found[start : start + _CHUNK] = (_unit(values[start : start + _CHUNK]) - mean) / std
            return replace(source, values=found)


def measured(values: Values) -> Step:
    """Return `normalise` with mean and deviation of the values. Raises `InvalidData` for constants."""
    total = squares = 0.0
    for start in range(0, len(values), _CHUNK):
        chunk = _unit(values[start : start + _CHUNK])
        total += float(chunk.sum())
        squares += float((chunk * chunk).sum())
    mean = total / values.size
    std = math.sqrt(max(0.0, squares / values.size - mean * mean))
    if std < _LEAST_STD:
        raise InvalidData("all values are the same, so they cannot be normalised")
    return Step("normalise", {"mean": mean, "std": std})


def resized(images: Values, height: int, width: int) -> Values:
    """Return images (..., H, W) in another size; each pixel is the mean of the area it covers."""
    if images.ndim < 2:
        raise InvalidData("only images can be resized")
    down, across = _overlaps(images.shape[-2], height), _overlaps(images.shape[-1], width)
    flat = images.reshape(-1, *images.shape[-2:])
    found = np.empty((len(flat), height, width), images.dtype)
    for start in range(0, len(flat), _CHUNK):
        mean = down @ flat[start : start + _CHUNK].astype(np.float64) @ across.T
        found[start : start + _CHUNK] = np.rint(mean) if images.dtype.kind in "ui" else mean
    return found.reshape(*images.shape[:-2], height, width)


def grey(images: Values) -> Values:
    """Return colour images (N, 3, H, W) as grey ones (N, H, W), as bright as they look; grey ones stay."""
    if images.ndim == 3:
        return images
    if images.ndim != 4 or images.shape[1] != len(_BRIGHTNESS):
        raise InvalidData("only images with 3 channels can be made grey")
    found = np.empty((len(images), *images.shape[2:]), images.dtype)
    for start in range(0, len(images), _CHUNK):
        sums = np.tensordot(images[start : start + _CHUNK].astype(np.float64), _BRIGHTNESS, (1, 0))
        found[start : start + _CHUNK] = np.rint(sums) if images.dtype.kind in "ui" else sums
    return found


def _overlaps(old: int, new: int) -> Values:
    """Return by how much of each new pixel each old one is covered: (new, old), rows sum to 1."""
    edges, lines = np.arange(new + 1) * (old / new), np.arange(old)
    low, high = np.maximum(edges[:-1, None], lines), np.minimum(edges[1:, None], lines + 1)
    shares = np.clip(high - low, 0.0, None)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _unit(values: Values) -> Values:
    whole = values.dtype.kind in "ui"
    return values.astype(np.float64) / np.iinfo(values.dtype).max if whole else values.astype(np.float64)


def _is_kept(step: Step, values: Values, labels: Labels | None) -> Values:
    kept = np.ones(len(values), dtype=bool)
    wanted = step.args.get("labels")
    if wanted is not None:
        if labels is None:
            raise InvalidData("the data have no labels to filter by")
        kept &= np.isin(labels, np.asarray(wanted))
    if "min_std" in step.args:
        rows = (values[index : index + 1].astype(np.float64).std() for index in range(len(values)))
        kept &= np.fromiter(rows, np.float64, len(values)) >= _number(step, "min_std")
    return kept


def _rows(source: Source, rows: Rows) -> Source:
    if not len(rows):
        raise InvalidData("no example is left after the recipe")
    return source.rows(rows)


def _number(step: Step, name: str) -> float:
    value = step.args[name]
    assert isinstance(value, (int, float)), "checked when the step was made"
    return value


def _side(value: object) -> int | None:
    number = _whole(str(value))
    return number if number is not None and 0 < number <= _LARGEST_SIDE else None


def _real(value: object, low: float) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= low else None


def _labels(value: object) -> tuple[int, ...] | None:
    words = [str(one) for one in value] if isinstance(value, (list, tuple)) else str(value).split(",")
    numbers = {word: _whole(word) for word in words}
    found = {number for number in numbers.values() if number is not None and number < _LARGEST_LABEL}
    return tuple(sorted(found)) if found.issuperset(numbers.values()) else None


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None
