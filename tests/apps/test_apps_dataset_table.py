"""Tables are read row by row, and labels are taken as they are or refused, never guessed."""

import tracemalloc
from pathlib import Path

import pytest
from datasets_tools import read

from foedus.apps.datasets.kinds import find_format
from foedus.apps.datasets.listing import list_files
from foedus.core.errors import InvalidData


def test_a_table_is_its_numbers_and_labels(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("x,label,y\n1,ill,2.5\n3,healthy,-4\n")
    found = read("table", tmp_path / "d.csv")
    assert found.values.tolist() == [[1.0, 2.5], [3.0, -4.0]]
    assert found.labels is not None
    assert found.labels.tolist() == [1, 0]
    assert found.names == ("healthy", "ill")


def test_labels_that_are_whole_numbers_are_kept_however_they_are_written(tmp_path: Path) -> None:
    rows = [f"1,{number}.0" for number in range(11)] + ["1,007", "1,1e1", "1, 12 "]
    (tmp_path / "d.csv").write_text("\n".join(["x,label", *rows]))
    found = read("table", tmp_path / "d.csv")
    assert found.labels is not None
    assert found.labels.tolist() == [*range(11), 7, 10, 12]
    assert found.names == ()


def test_a_table_takes_little_more_memory_than_its_numbers(tmp_path: Path) -> None:
    width, rows = 200, 2000
    line = ",".join(["7"] * width)
    head = ",".join([f"c{column}" for column in range(width)] + ["label"])
    (tmp_path / "d.csv").write_text("\n".join([head, *(f"{line},{row % 3}" for row in range(rows))]))
    listing = list_files(tmp_path)
    tracemalloc.start()
    try:
        found = find_format("table").read(listing, None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.values.shape == (rows, width)
    assert peak < 2 * found.values.nbytes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,label\n1,0\n2,\n", "line 3 has no label"),
        ("x,label\n1,0\n2,secret\n", "some labels are numbers, others are names"),
        ("x,label\n1,0.5\n2,1\n", "no whole numbers from 0"),
        ("x,label\n1,-1\n2,1\n", "no whole numbers from 0"),
        (f"x,label\n1,{'9' * 5000}\n", "no whole numbers from 0"),
        ("x,label,label\n1,0,0\n", "two columns of d.csv have the same name"),
        ("label\n1\n", "no rows of numbers"),
        ("x,y\n\n\n1,2\n\n1,secret\n", "line 6 holds something that is no number"),
        ('x,y\n"1\n",2\n1,secret\n', "line 4 holds something that is no number"),
        ("x,y\n1,1e39\n", "infinite or NaN"),
        ("x,y\n1,2,3\n", "line 2 has 3 columns, the header 2"),
        ("x,y\n1,2\n1,secret\n", "line 3 holds something that is no number"),
        ("x,y\n", "no rows"),
        ("", "no rows"),
        ("x,y\n1,nan\n", "infinite or NaN"),
        ('x,y\n"1,2\n', "no usable CSV"),
    ],
)
def test_a_faulty_table_is_told_by_line_and_never_by_content(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(InvalidData, match=words) as caught:
        read("table", tmp_path / "d.csv")
    assert "secret" not in str(caught.value)
