"""A run begins with the version that its spec names, or says why it cannot."""

from pathlib import Path

import pytest
from tests.e2e.runs import new_run

from foedus.chain import ChainReader
from foedus.core.errors import FoedusError, ObjectMissing, UnsupportedModel
from foedus.core.ids import Cid
from foedus.rounds.home import Home
from foedus.rounds.runs import drive_run
from foedus.rounds.verify import verify_run
from foedus.rounds.view import view_run
from foedus.store import DirectoryStore, get_manifest

MISSING = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"


def version0(home: Home, run: int) -> Cid:
    reader = ChainReader.open(home.chain)
    try:
        found = view_run(list(reader.events()), run).version0
    finally:
        reader.close()
    assert found is not None
    return found


@pytest.mark.slow
def test_version_0_has_the_weights_of_the_named_version_and_is_verified(tmp_path: Path) -> None:
    home = Home(tmp_path)
    made = drive_run(home, new_run(home, 1)).current
    name = new_run(home, 1, model={"name": "2nn", "start": made})

    drive_run(home, name)

    store = DirectoryStore(home.store)
    assert get_manifest(store, version0(home, 2)).weights == get_manifest(store, made).weights
    assert get_manifest(store, version0(home, 1)).weights != get_manifest(store, made).weights
    verify_run(home, name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ({"name": "softmax"}, UnsupportedModel, "a version of '2nn', not of 'softmax'"),
        ({"name": "2nn", "args": {"classes": 11}}, UnsupportedModel, "does not fit '2nn'"),
        ({"name": "2nn", "start": MISSING}, ObjectMissing, MISSING),
    ],
)
def test_versions_that_do_not_fit_are_refused_before_the_start(
    tmp_path: Path, model: dict[str, object], error: type[FoedusError], message: str
) -> None:
    home = Home(tmp_path)
    made = drive_run(home, new_run(home, 1)).current
    name = new_run(home, 1, model={"start": made, **model})
    with pytest.raises(error, match=message):
        drive_run(home, name)
