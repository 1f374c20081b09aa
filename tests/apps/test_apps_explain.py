"""Pictures of images and heat maps, and the process that computes the latter."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from foedus.apps.explain.order import ORDER, ExplainOrder, Place, Question
from foedus.apps.explain.pictures import VIRIDIS, example_png, map_png
from foedus.apps.explain.task import run
from foedus.core.errors import FoedusError, InvalidData
from foedus.rounds.home import read_json, write_json


def pixels(data: bytes) -> npt.NDArray[Any]:
    return np.asarray(Image.open(BytesIO(data)))


def test_bytes_are_drawn_as_they_are() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(pixels(example_png(grey)), grey)
    assert np.array_equal(pixels(example_png(grey[None])), grey)
    colour = np.arange(36, dtype=np.uint8).reshape(3, 3, 4)
    assert np.array_equal(pixels(example_png(colour)), colour.transpose(1, 2, 0))


def test_other_values_are_stretched_from_black_to_white() -> None:
    values = np.array([[-1.0, 0.0], [1.0, 3.0]], np.float32)
    assert pixels(example_png(values)).tolist() == [[0, 64], [128, 255]]
    assert pixels(example_png(np.full((2, 2), 7.0))).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("shape", [(4,), (2, 3, 3), (0, 3), (1, 1, 3, 3)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidData, match="no images"):
        example_png(np.zeros(shape, np.uint8))


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InvalidData, match="finite"):
        example_png(np.array([[np.nan, 1.0]]))


def test_a_map_is_viridis_and_its_values_can_be_read_back() -> None:
    image = Image.open(BytesIO(map_png(np.array([[0.0, 0.5], [1.0, 2.0]]))))
    assert np.asarray(image).tolist() == [[0, 128], [255, 255]]
    shown = image.convert("RGB")
    assert shown.getpixel((0, 0)) == VIRIDIS[0]
    assert shown.getpixel((0, 1)) == VIRIDIS[-1]


def test_the_colours_grow_brighter_with_the_value() -> None:
    brightness = [0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in VIRIDIS]
    assert brightness == sorted(brightness)


def test_each_question_has_an_answer_although_others_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foedus.apps.explain.task.prepare_worker", lambda: None)
    np.save(tmp_path / "image.npy", np.zeros((28, 28), np.uint8))
    missing = f"baf{'k' * 56}"
    questions = [
        Question(id=number, cid=missing, example="image.npy", target=None, layer="") for number in (1, 2)
    ]
    order = ExplainOrder(store=str(tmp_path / "store"), questions=questions)
    write_json(tmp_path / ORDER, order.to_json())
    run(tmp_path)
    for number in (1, 2):
        answer: Any = read_json(Place(tmp_path, number).answer)
        assert missing in answer["cause"]
        assert not Place(tmp_path, number).heat.exists()


def test_an_order_that_is_none_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / ORDER, {"store": "x", "questions": [], "more": 1})
    with pytest.raises(FoedusError, match=r"order\.json"):
        run(tmp_path)
