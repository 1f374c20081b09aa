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


def test_data_below_the_home_folder_of_nobody_are_refused(tmp_path: Path) -> None:
    result = call("dataset", "register", "~nosuch/x", "--kind", "idx", "--name", "x", "--home", tmp_path)
    assert result.exit_code == 2
    assert "PATH: nobody knows the home folder that '~nosuch/x' begins with" in result.stderr
