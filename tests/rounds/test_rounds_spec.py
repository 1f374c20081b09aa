"""Specs that are wrong say which key, what is wrong with it and what would be right."""

import os
from pathlib import Path

import pytest

from foedus.core.errors import InvalidSpec
from foedus.rounds.spec import RunSpec, load_spec, parse_spec


def test_an_empty_spec_is_complete() -> None:
    assert parse_spec({}) == RunSpec()
    assert RunSpec().threshold == 3


def test_a_threshold_may_be_lower_than_the_number_of_clients() -> None:
    assert parse_spec({"policy": {"threshold": 2}}).threshold == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("roundz = 3", ["unknown key 'roundz'", "did you mean 'rounds'?"]),
        ("[training]\nlearningrate = 1", ["'training.learningrate'", "'learning_rate'"]),
        ("[polisy]\nbeta = 1", ["'polisy'", "'policy'"]),
        ("xyzzy = 1", ["'xyzzy'", "valid here: name, rounds"]),
        ("rounds = 0", ["rounds", "must be at least 1", "(got 0)"]),
        ('rounds = "many"', ["rounds", "must be a whole number"]),
        ('name = "Bad Name"', ["name", "must be 1 to 32 of a-z"]),
        ("[policy]\nthreshold = 5", ["policy.threshold 5 exceeds the 3 clients"]),
        ("[training]\nlearning_rate = -1", ["training.learning_rate", "must be above 0"]),
        ('[model]\ninit = "ones"', ["model.init", "default"]),
        ("[policy]\nbeta = nan", ["policy.beta"]),
        ("[policy]\ncap_ratio = inf", ["policy.cap_ratio", "finite"]),
        ("[jobs]\nwalltime_s = inf", ["jobs.walltime_s", "finite"]),
        ("[training]\nweight_decay = inf", ["training.weight_decay", "finite"]),
        ("[algorithm]\nparams = {mu = nan}", ["algorithm.params.mu", "finite"]),
        ('[policy]\ngate = "ratio"', ["policy.beta must be at least 0", "0.9 is usual"]),
        ("[policy]\ndeadline_s = 1000000001", ["policy.deadline_s", "must be at most 1,000,000,000"]),
        ("[policy]\nvote_s = 1000000001", ["policy.vote_s", "must be at most 1,000,000,000"]),
        (f"seed = {'1' * 5000}", ["is not TOML", "digits"]),
        (f"seed = {'[' * 100_000}", ["is not TOML"]),
        (f"[model.args]\n{'x.' * 5000}x = 1", ["model.args.x"]),
        (f'name = "{"x" * 100_000}"', ["name", "(got 'xxx"]),
        ("rounds = = 3", ["is not TOML"]),
    ],
)
def test_a_wrong_spec_says_what_is_wrong(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(text)
    with pytest.raises(InvalidSpec) as caught:
        load_spec(path)
    for word in words:
        assert word in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec({"roundz": 1, "seed": -1})
    assert len(caught.value.message.splitlines()) == 2


def test_a_spec_that_is_not_there_or_unreadable_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="there is no file"):
        load_spec(tmp_path / "none.toml")
    with pytest.raises(InvalidSpec, match="cannot read"):
        load_spec(tmp_path)
    with pytest.raises(InvalidSpec, match="cannot read"):
        load_spec(Path("/dev/zero"))
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(InvalidSpec, match="cannot read"):
        load_spec(tmp_path / "pipe.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidSpec, match="is not TOML"):
        load_spec(tmp_path / "binary.toml")
    (tmp_path / "huge.toml").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(InvalidSpec, match="is larger than"):
        load_spec(tmp_path / "huge.toml")


def test_a_ratio_gate_needs_a_beta_of_at_least_0() -> None:
    assert parse_spec({"policy": {"gate": "ratio", "beta": 0.9}}).policy.beta == 0.9
    assert parse_spec({"policy": {"gate": "ratio", "beta": 0}}).policy.beta == 0
