"""cases/fedma.json, and the row weights of cases/extra.json."""

import numpy as np
import pytest
import torch
from learn_tools import cases
from matching_tools import merged, outputs
from refused_models import MODELS
from torch import nn

from foedus.core.errors import UnsupportedArchitecture, UnsupportedModel
from foedus.learn.algorithms import get_strategy
from foedus.learn.matching import layers
from foedus.learn.matching.bbp import Atoms, Prior, existing_scores, match, new_scores
from foedus.learn.matching.merge import Member, class_shares
from foedus.learn.matching.trace import analyse
from foedus.learn.weights import MemorySource, Weights

REFUSED = ("residual_add", "unet_concat_skip", "tied_weights", "convtranspose_untold", "attention")


def scores(given: dict, factor: float = 1.0) -> np.ndarray:
    """Existing atoms and one new atom per row."""
    precisions = np.array(given["V"])
    assert (precisions == precisions[:, :1]).all()  # one variance for all coordinates
    rows = np.array(given["client_atoms"])
    atoms = Atoms(np.array(given["S"]), precisions[:, 0], np.array(given["popularity"]))
    prior = Prior(given["sigma"], given["sigma0"], given["mu0"], given["gamma"], factor)
    new = new_scores(rows, len(rows), given["J"], prior)
    return np.hstack([existing_scores(rows, atoms, given["J"], prior), new])


def matched(given: dict, growth: str = "bbp", **changed: float) -> tuple[list[list[int]], int]:
    clients = [np.array(rows) for rows in given["clients"]]
    prior = Prior(
        given["sigma"],
        given["sigma0"],
        gamma=changed.get("gamma", given["gamma"]),
        max_width=given.get("max_width", 700),
        growth=growth,
    )
    found = match(clients, prior, "seed")
    return [list(assignment) for assignment in found.assignments], found.width


def pairs(first: list[int], second: list[int]) -> dict[str, int]:
    return {str(row): second.index(atom) for row, atom in enumerate(first) if atom in second}


@pytest.mark.parametrize(
    ("factor", "name"), [(1.0, "pop_factor_1_released_code"), (2.0, "pop_factor_2_papers_formula")]
)
def test_scores(factor: float, name: str) -> None:
    case = cases("fedma")["ma_cost_matrix"]
    assert scores(case["inputs"], factor) == pytest.approx(np.array(case["expected"][name]), abs=case["tol"])


def test_scores_with_other_variances_and_prior_means() -> None:
    case = cases("fedma")["ma_cost_matrix_general"]
    assert scores(case["inputs"]) == pytest.approx(np.array(case["expected"]), abs=case["tol"])


@pytest.mark.parametrize("growth", ["bbp", "fixed"])
def test_two_clients_match(growth: str) -> None:
    case = cases("fedma")["ma_two_clients_match"]
    given, expected = case["inputs"], case["expected"]
    (first, second), width = matched(given, growth)
    assert width == expected["width"]
    assert pairs(first, second) == expected["pairs_client0_to_client1"]
    for mode in ("mean", "map"):
        rows = one_layer(given["clients"], [first, second], width, mode, (given["sigma"], given["sigma0"]))
        wanted = np.array(expected[f"merged_{mode}_in_client0_order"])
        assert rows[first] == pytest.approx(wanted, abs=case["tol"])


def one_layer(
    clients: list,
    assignments: list,
    width: int,
    mode: str,
    variances: tuple[float, float] = (1.0, 1.0),
    shares: list | None = None,
) -> np.ndarray:
    """Merge rows whose last column is a bias."""
    layer = analyse(nn.Sequential(nn.Linear(2, 2))).layers[0]
    tensors = [{"0.weight": np.array(c)[:, :-1], "0.bias": np.array(c)[:, -1]} for c in clients]
    places = [np.array(a) for a in assignments]
    if mode == "map":
        result = layers.merge_map(layer, tensors, places, width, Prior(*variances))
    else:
        ones = [np.full(len(p), s) for p, s in zip(places, shares or [1.0] * len(places), strict=True)]
        result = layers.merge(layer, tensors, places, width, ones)
    return np.column_stack([result["0.weight"], result["0.bias"]])


def test_reward_weights_of_rows() -> None:
    case = cases("extra")["compose_reward_fedma_rows"]
    given = case["inputs"]
    clients = [given["rows_client0"], given["rows_client1"]]
    rows = one_layer(clients, [[0, 1], [1, 0]], 2, "mean", shares=given["weights"])
    assert rows == pytest.approx(np.array(case["expected"]), abs=case["tol"])


@pytest.mark.parametrize("growth", ["bbp", "fixed"])
def test_fixed_width(growth: str) -> None:
    case = cases("fedma")["ma_fixed_width"]
    (first, second), width = matched(case["inputs"], growth)
    assert width == case["expected"]["width"]
    assert pairs(first, second) == case["expected"]["pairs_client0_to_client1"]


@pytest.mark.parametrize(("gamma", "name"), [(7.0, "width_gamma_7"), (1e-3, "width_gamma_1e_3")])
def test_gamma_decides_whether_small_twins_are_one(gamma: float, name: str) -> None:
    case = cases("fedma")["ma_gamma7_duplicates_small_neurons"]
    atoms = np.array(case["inputs"]["atoms"])
    given = {**case["inputs"], "clients": [atoms, atoms[case["inputs"]["permutation"]]], "gamma": gamma}
    assert matched(given)[1] == case["expected"][name]


def test_the_wider_client_comes_first() -> None:
    case = cases("fedma")["ma_unequal_widths"]
    given = case["inputs"]
    (first, second), width = matched(given)
    assert width == case["expected"]["width"]
    assert pairs(first, second) == case["expected"]["pairs_client0_to_client1"]
    rows = one_layer(given["clients"], [first, second], width, "mean")
    assert (rows[second] == np.array(given["clients"][1])).all()
    with pytest.raises(UnsupportedModel, match="different widths"):
        matched(given, "fixed")


def from_lists(layers_of: list) -> Weights:
    """Weights of Linear, ReLU, Linear …"""
    weights = {}
    for number, layer in enumerate(layers_of):
        weights[f"{2 * number}.weight"] = np.array(layer["W"])
        weights[f"{2 * number}.bias"] = np.array(layer["b"])
    return weights


def two_layers() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()


def test_growth_preserves_the_function() -> None:
    case = cases("fedma")["ma_growth_preserves_function"]
    given, model = case["inputs"], two_layers()
    clients = [from_lists(given["model"]), from_lists(given["permuted"])]
    model.load_state_dict({name: torch.tensor(array) for name, array in clients[0].items()})
    state = merged(model, clients, gamma=given["gamma"])
    assert len(state.weights["0.bias"]) == case["expected"]["hidden_width"]
    found = outputs(model, state.weights, torch.tensor(given["X"], dtype=torch.float64))
    assert found == pytest.approx(np.array(case["expected"]["outputs"]), abs=case["tol"])


@pytest.mark.parametrize("growth", ["bbp", "fixed"])
def test_rows_of_the_last_layer_keep_their_places(growth: str) -> None:
    given = cases("fedma")["ma_growth_preserves_function"]["inputs"]  # an MLP 4-5-3, as the case asks for
    assert cases("fedma")["ma_last_layer_not_permuted"]["inputs"].startswith("mlp_4_5_3")
    model, own = two_layers(), from_lists(given["model"])
    swapped = {**own, "2.weight": own["2.weight"][[1, 0, 2]], "2.bias": own["2.bias"][[1, 0, 2]]}
    inputs = torch.tensor(given["X"], dtype=torch.float64)
    before = outputs(model, own, inputs)
    after = outputs(model, merged(model, [own, swapped], growth=growth).weights, inputs)
    assert np.abs(after[:, :2] - before[:, :2]).max() > 0.01
    assert after[:, 2] == pytest.approx(before[:, 2], abs=1e-9)


def test_labels_weigh_the_last_layer() -> None:
    case = cases("fedma")["ma_last_layer_class_weights"]
    given, expected = case["inputs"], case["expected"]
    counts = [np.array(each) for each in given["counts"]]
    members = [Member(str(j), MemorySource({}), 1.0, float(n.sum()), n) for j, n in enumerate(counts)]
    shares = np.array(class_shares(members, 3))
    assert shares / shares.sum(axis=0) == pytest.approx(np.array(expected["p"]), abs=case["tol"])
    model = nn.Sequential(nn.Linear(2, 3)).double()
    clients = [
        {"0.weight": np.array(w), "0.bias": np.array(b)} for w, b in zip(given["W"], given["b"], strict=True)
    ]
    extras = [{"@labels": each.astype(np.int64)} for each in counts]
    found = merged(model, clients, [15, 30], extras, label_weights=True).weights
    assert found["0.weight"] == pytest.approx(np.array(expected["W"]), abs=case["tol"])
    assert found["0.bias"] == pytest.approx(np.array(expected["b"]), abs=case["tol"])


class OneLstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4)
        self.out = nn.Linear(4, 2)

    def forward(self, sequence: torch.Tensor) -> torch.Tensor:
        return self.out(self.lstm(sequence)[0][-1])


def test_one_permutation_serves_all_gates_of_an_lstm() -> None:
    case = cases("fedma")["ma_lstm_permuted"]
    given, inputs = case["inputs"]["model"], case["inputs"]
    names = {"weight_ih_l0": "Wih", "weight_hh_l0": "Whh", "bias_ih_l0": "bih", "bias_hh_l0": "bhh"}
    own = {f"lstm.{ours}": np.array(given[theirs]) for ours, theirs in names.items()}
    own |= {"out.weight": np.array(given["Wo"]), "out.bias": np.array(given["bo"])}
    order = np.array(inputs["perm"])
    gates = np.concatenate([order + 4 * gate for gate in range(4)])
    other = {name: array[gates] if name.startswith("lstm") else array for name, array in own.items()}
    other["lstm.weight_hh_l0"] = other["lstm.weight_hh_l0"][:, order]
    other["out.weight"] = own["out.weight"][:, order]
    model = OneLstm().double()
    data = torch.tensor(inputs["X"], dtype=torch.float64)
    expected = np.array(case["expected"]["outputs"])
    assert outputs(model, own, data) == pytest.approx(expected, abs=case["tol"])
    for growth in ("bbp", "fixed"):
        state = merged(model, [own, other], gamma=inputs["gamma"], growth=growth)
        assert state.weights["lstm.weight_hh_l0"].shape == (4 * case["expected"]["width"], 4)
        assert outputs(model, state.weights, data) == pytest.approx(expected, abs=case["tol"])
    by_place = {name: (own[name] + other[name]) / 2 for name in own}
    trap = np.abs(outputs(model, by_place, data) - expected).max()
    assert trap == pytest.approx(case["fedavg_max_abs_error"], abs=case["tol"])


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    case = cases("fedma")[f"ma_refuse_{name}"]
    build, part = MODELS[case["inputs"]]
    for strategy in (get_strategy("fedma"), get_strategy("fedma", {"exchange": "model", "growth": "bbp"})):
        with pytest.raises(UnsupportedArchitecture, match=part) as refusal:
            strategy.check(build())
        assert refusal.value.exit_code == 2
        assert "fallback" in refusal.value.hint


def test_one_exchange_per_layer() -> None:
    """What each exchange hands over and freezes is in test_learn_fedma_rounds."""
    case = cases("fedma")["ma_communication_schedule"]
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(case["inputs"]["layers"])))
    assert get_strategy("fedma").steps(model) == case["expected"]["server_steps"]
    chain = analyse(model)
    numbers = {layer.name: number for number, layer in enumerate(chain.layers, 1)}
    assert [numbers[layer.name] for layer in chain.hidden] == case["expected"]["matched_layers"]
    assert numbers[chain.last.name] == case["expected"]["averaged_last"]


def test_all_cases_are_covered() -> None:
    named = {f"ma_refuse_{name}" for name in REFUSED} | {
        "ma_cost_matrix",
        "ma_cost_matrix_general",
        "ma_two_clients_match",
        "ma_fixed_width",
        "ma_gamma7_duplicates_small_neurons",
        "ma_unequal_widths",
        "ma_growth_preserves_function",
        "ma_last_layer_not_permuted",
        "ma_last_layer_class_weights",
        "ma_lstm_permuted",
        "ma_communication_schedule",
    }
    assert named == set(cases("fedma"))
