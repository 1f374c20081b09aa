"""The spec of a comparison: what entries change, and every mistake told before anything starts."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from client_tools import call
from compare_tools import COMPARE, HOSTILE, write_compare

from foedus.client.compare import parse_compare_spec
from foedus.client.compare.spec import compare_for_this_machine, load_compare_spec
from foedus.core.errors import InvalidSpec
from foedus.site.settings import read_settings


def values(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - TOML
    return {**tomllib.loads(COMPARE), **changes}


def entries(*overrides: dict[str, Any]) -> dict[str, Any]:
    listed = [{"label": f"entry {number}", **one} for number, one in enumerate(overrides, start=1)]
    return values(compare=listed)


def test_each_entry_runs_with_every_seed_and_runs_of_a_seed_stand_together() -> None:
    spec = parse_compare_spec(values())

    assert [(run.label, run.seed) for run in spec.runs] == [
        ("FedAvg", 1),
        ("FedProx µ=0.1", 1),
        ("FedAvg", 2),
        ("FedProx µ=0.1", 2),
    ]
    assert [run.spec.seed for run in spec.runs] == [1, 1, 2, 2]
    assert (spec.name, spec.rounds, spec.seeds, spec.target) == ("tiny", 2, (1, 2), 0.4)


def test_an_entry_changes_the_keys_that_it_names_and_keeps_the_rest() -> None:
    fedavg, fedprox = parse_compare_spec(values()).runs[:2]

    assert (fedavg.spec.training.epochs, fedprox.spec.training.epochs) == (1, 2)
    assert fedprox.spec.training.learning_rate == 0.1
    assert fedprox.spec.algorithm.params == {"mu": 0.1}
    same = {"algorithm", "training"}
    assert fedavg.spec.model_dump(exclude=same) == fedprox.spec.model_dump(exclude=same)


def test_arguments_go_with_the_name_that_they_belong_to() -> None:
    base = entries({"algorithm": {"name": "fedavg"}}, {"algorithm": {"name": "fedprox"}}, {})
    base["algorithm"] = {"name": "fedprox", "params": {"mu": 0.5}}
    params = [run.spec.algorithm.params for run in parse_compare_spec(base).runs[:3]]

    assert params == [{}, {"mu": 0.5}, {"mu": 0.5}]


def test_seeds_and_target_have_defaults() -> None:
    spec = parse_compare_spec({"compare": [{"label": "only"}]})

    assert (spec.seeds, spec.target, len(spec.runs)) == ((1,), None, 1)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"sedes": [1]}, "unknown key 'sedes'; did you mean 'seeds'?"),
        ({"seed": 3}, "unknown key 'seed'; did you mean 'seeds'?"),
        ({"roundz": 3}, "unknown key 'roundz'; did you mean 'rounds'?"),
        ({"training": {"epohcs": 1}}, "unknown key 'training.epohcs'; did you mean 'epochs'?"),
        ({"seeds": [1, 2, 1]}, "seeds: the seed 1 is there more than once"),
        ({"seeds": []}, "seeds: must not be empty"),
        ({"seeds": [-1]}, "seeds.0: must be at least 0 (got '-1')"),
        ({"seeds": 3}, "seeds: must be a list: [ … ] (got '3')"),
        ({"target": 1.5}, "target: must be at most 1"),
        ({"target": float("nan")}, "target: "),
        ({"compare": []}, "compare: must not be empty"),
        ({"compare": [{}]}, "entry 1 of compare.label: is missing"),
        ({"compare": [{"label": "a\nb"}]}, "entry 1 of compare.label: must be one line"),
        ({"compare": [{"label": "a\u202eb"}]}, "entry 1 of compare.label: must be one line"),
        ({"compare": [{"label": " a"}]}, "without spaces around it"),
        ({"compare": [{"label": "x" * 49}]}, "entry 1 of compare.label: must have at most 48"),
        ({"compare": [{"label": "a"}, {"label": "a"}]}, "compare: the label 'a' is there more than once"),
        ({"compare": "all"}, "compare: must be a list: [ … ]"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_compare_spec(values(**changes))

    assert fault in caught.value.message
    assert caught.value.hint


def test_a_comparison_without_entries_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="compare: is missing"):
        parse_compare_spec({"name": "nothing"})


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ({"algoritm": {"name": "fedavg"}}, "unknown key 'algoritm'; did you mean 'algorithm'?"),
        ({"rounds": 3}, "unknown key 'rounds'"),
        ({"training": {"epochs": 0}}, "training.epochs: must be at least 1 (got 0)"),
        ({"training": {"epohcs": 2}}, "unknown key 'training.epohcs'; did you mean 'epochs'?"),
        ({"training": 3}, "training: must be a table"),
        ({"policy": {"threshold": 9}}, "policy.threshold 9 exceeds"),
    ],
)
def test_a_mistake_in_the_last_entry_is_found_and_says_where(override: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_compare_spec(entries({}, override))

    assert caught.value.message.startswith("entry 2 ('entry 2'): ")
    assert fault in caught.value.message


def test_all_faults_of_all_entries_are_told_at_once() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_compare_spec(entries({"training": {"epochs": 0, "momentum": 2}}, {"nothing": {}}))

    assert len(caught.value.message.splitlines()) == 3


def test_settings_of_the_machine_reach_every_run(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, tmp_path / "images", {})
    adapted = compare_for_this_machine(parse_compare_spec(values()), settings, rounds=7)

    assert adapted.rounds == 7
    assert {run.spec.rounds for run in adapted.runs} == {7}
    assert {run.spec.data.folder for run in adapted.runs} == {str(tmp_path / "images")}


def test_command_refuses_a_spec_with_2_and_starts_nothing(tmp_path: Path) -> None:
    text = COMPARE.replace("epochs = 2", "epohcs = 2")
    result = call("compare", write_compare(tmp_path, text), "--home", tmp_path / "home")

    assert result.exit_code == 2
    assert "entry 2 ('FedProx µ=0.1'): unknown key 'training.epohcs'" in result.stderr
    assert not (tmp_path / "home" / "runs").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="there is no file"):
        load_compare_spec(tmp_path / "nothing.toml")


def test_hostile_labels_are_only_labels() -> None:
    spec = parse_compare_spec(
        values(compare=[{"label": HOSTILE[:48]}, {"label": "=1+1"}, {"label": "__proto__"}])
    )

    assert spec.labels == (HOSTILE[:48], "=1+1", "__proto__")
