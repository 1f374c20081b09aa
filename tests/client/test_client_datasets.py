"""The commands about private datasets, where something is wrong with them."""

import json
from pathlib import Path

import pytest
from tests.client.client_tools import call
from tests.client.dataset_tools import dataset_at

from foedus.apps.datasets.catalogue import keep
from foedus.rounds.home import Home


@pytest.mark.parametrize("content", ["", '{"name": "torn', "[]", '{"name": 3}'])
def test_a_damaged_dataset_hides_no_other(tmp_path: Path, content: str) -> None:
    keep(Home(tmp_path), dataset_at(tmp_path / "place"))
    (tmp_path / "datasets" / "torn.json").write_text(content)

    listed = json.loads(call("dataset", "list", "--format", "json", "--home", tmp_path).stdout)
    table = call("dataset", "list", "--home", tmp_path)

    assert [(one["name"], "damaged" in one) for one in listed] == [("spots", False), ("torn", True)]
    assert table.exit_code == 0
    assert "torn: " in table.stdout
    assert call("dataset", "remove", "torn", "--home", tmp_path).exit_code == 0
    assert "torn" not in call("dataset", "list", "--home", tmp_path).stdout


def test_a_dataset_is_shown_as_it_was_when_it_was_registered(tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text(
        "a,b,label\n" + "".join(f"{n},{n * n},{n % 2}\n" for n in range(40))
    )
    home = ("--home", tmp_path / "home")
    arguments = ("--kind", "table", "--name", "numbers", *home)
    registered = call("dataset", "register", tmp_path / "numbers.csv", *arguments).stdout
    shown = call("dataset", "show", "numbers", *home).stdout
    assert registered.splitlines()[1:] == shown.splitlines()
    assert " 1 file, " in shown
    for text in (shown, call("dataset", "show", "numbers", "--public", *home).stdout):
        line = next(line for line in text.splitlines() if line.startswith("parts"))
        assert line.split(maxsplit=1)[1] == "train 32, val 4, test 4"


@pytest.mark.parametrize(
    ("kind", "message"), [("arrays", "there is no .npy or .npz file"), ("table", "there is no CSV file")]
)
def test_where_there_is_no_file_nobody_is_asked_to_name_one(tmp_path: Path, kind: str, message: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "notes.txt").touch()
    result = call(
        "dataset", "register", tmp_path / "data", "--kind", kind, "--name", "x", "--home", tmp_path / "home"
    )
    assert result.exit_code != 0
    assert message in result.stderr
    assert "Name the file" not in result.stderr


def test_data_below_the_home_folder_of_nobody_are_refused(tmp_path: Path) -> None:
    result = call("dataset", "register", "~nosuch/x", "--kind", "idx", "--name", "x", "--home", tmp_path)
    assert result.exit_code == 2
    assert "PATH: nobody knows the home folder that '~nosuch/x' begins with" in result.stderr
