"""What an algorithm, a model and a way to run them are to each other is found before the first round."""

from pathlib import Path

import pytest
from client_tools import TINY, call, write_spec

from foedus.client.drive import _input_error
from foedus.core.errors import InvalidData, InvalidSpec, UnsupportedModel
from foedus.learn.robust import NoCentre
from foedus.rounds.home import Home

FEDMA = "[algorithm]\nname = 'fedma'\n"
NORMALISED = TINY.replace('"2nn"', '"cnn-bn"')


def test_errors_of_a_task_are_known_by_their_name_and_by_that_of_their_kind() -> None:
    kinds = {
        "InvalidSpec": InvalidSpec,
        "InvalidData": InvalidData,
        NoCentre.__name__: InvalidData,
        "UnsupportedModel": UnsupportedModel,
        "UnsupportedArchitecture": UnsupportedModel,
    }
    assert {name: _input_error(name) for name in kinds} == kinds
    assert [_input_error(name) for name in ("FoedusError", "StorageFull", "ValueError", "")] == [None] * 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (NORMALISED + FEDMA, "batch normalisation"),
        (TINY + FEDMA + "[jobs]\nlauncher = 'batched'\nhosts = 1", "exchanges of a round"),
        (TINY + "[robust]\nrule = 'krum'\nbyzantine = 1", "krum"),
    ],
    ids=["architecture", "batched", "centre"],
)
def test_a_run_that_its_algorithm_cannot_do_is_not_kept(tmp_path: Path, text: str, said: str) -> None:
    spec, home = write_spec(tmp_path, text), Home(tmp_path / "home")

    result = call("run", spec, "--home", home.root)

    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert home.run_names() == []
    assert list(home.runs.iterdir()) == []


@pytest.mark.slow
def test_what_stands_in_for_the_algorithm_is_said(tmp_path: Path) -> None:
    fallback = FEDMA + 'params = { fallback = "fedavg" }\n'
    spec, home = write_spec(tmp_path, NORMALISED + fallback), tmp_path / "home"
    note = "fedma does not take this model ("

    checked = call("config", "check", spec, "--home", home)
    as_json = call("config", "check", spec, "--home", home, "--format", "json")
    run = call("run", spec, "--home", home, "--rounds", "1")

    for text in (checked.stdout, as_json.stderr, run.stdout):
        assert text.count(note) == 1, text
        assert "it is treated as FedAvg" in " ".join(text.split())
    assert note not in as_json.stdout
    assert Home(home).run_names() == ["tiny-1"]


@pytest.mark.slow
def test_an_algorithm_that_takes_the_model_needs_no_stand_in(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, TINY + FEDMA + 'params = { fallback = "fedavg" }\n')

    checked = call("config", "check", spec, "--home", tmp_path / "home")

    assert checked.exit_code == 0, checked.output
    assert "FedAvg" not in checked.output


@pytest.mark.slow
def test_gradients_of_single_batches_are_warned_of(tmp_path: Path) -> None:
    fedsgd = '[algorithm]\nname = "fedsgd"\n'
    single = write_spec(tmp_path, TINY + fedsgd + "params = { batch = 1 }\n")
    assert "most easily reconstructed" in call("config", "check", single, "--home", tmp_path / "home").stdout
    full = write_spec(tmp_path, TINY + fedsgd)
    assert "reconstructed" not in call("config", "check", full, "--home", tmp_path / "home").stdout
