"""Which models are chains of layers, and what the others are told."""

import pytest
import torch
from matching_tools import Recurrent, cnn, mlp
from torch import nn
from torch.nn import functional

from foedus.core.errors import UnsupportedArchitecture
from foedus.learn.matching.trace import analyse
from foedus.learn.models.registry import build_model
from foedus.learn.state import weights_of


class Written(nn.Module):
    """A model whose forward is the given function of (model, x)."""

    def __init__(self, forward: object, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.function = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


def functions(model: Written, x: torch.Tensor) -> torch.Tensor:
    x = functional.max_pool2d(functional.relu(model.conv(x)), 2)
    x = functional.adaptive_avg_pool2d(torch.sigmoid(model.conv2(x)).tanh(), 2)
    x = functional.dropout(x, 0.2, training=model.training)
    return functional.log_softmax(model.out(torch.flatten(x, 1)), dim=1)


def layers_of(model: nn.Module, **options: bool) -> list[tuple[str, str, int]]:
    return [(layer.name, layer.kind, layer.columns) for layer in analyse(model, **options).layers]


def images(flatten: object) -> Written:
    return Written(
        lambda model, x: model.out(flatten(model.conv(x))), conv=nn.Conv2d(1, 2, 3), out=nn.Linear(2 * 16, 3)
    )


def test_layers_of_a_perceptron() -> None:
    assert layers_of(mlp()) == [("0", "linear", 0), ("2", "linear", 1), ("4", "linear", 1)]


def test_a_flatten_gives_each_channel_a_block_of_columns() -> None:
    assert layers_of(cnn()) == [("0", "conv", 0), ("3", "conv", 1), ("7", "linear", 9), ("9", "linear", 1)]


@pytest.mark.parametrize(("name", "count"), [("softmax", 1), ("2nn", 3), ("cnn", 4)])
def test_models_of_the_registry(name: str, count: int) -> None:
    assert len(layers_of(build_model(name))) == count


def test_functions_do_as_well_as_modules() -> None:
    model = Written(functions, conv=nn.Conv2d(1, 4, 3), conv2=nn.Conv2d(4, 5, 3), out=nn.Linear(20, 3))
    assert layers_of(model) == [("conv", "conv", 0), ("conv2", "conv", 1), ("out", "linear", 4)]


@pytest.mark.parametrize("is_batch_first", [True, False])
def test_every_level_of_an_lstm_is_a_layer(is_batch_first: bool) -> None:
    assert layers_of(Recurrent(2, is_batch_first)) == [
        ("embedding", "embedding", 0),
        ("lstm.l0", "lstm", 1),
        ("lstm.l1", "lstm", 1),
        ("out", "linear", 1),
    ]
    assert "one width for all its levels" in analyse(Recurrent(2)).rigid
    assert not analyse(Recurrent()).rigid


@pytest.mark.parametrize(
    "flatten",
    [
        lambda x: torch.flatten(x, 1),
        lambda x: x.flatten(1),
        lambda x: x.flatten(start_dim=1),
        lambda x: x.view(x.size(0), -1),
        lambda x: x.view((x.shape[0], -1)),
        lambda x: x.reshape(x.size()[0], -1),
        lambda x: torch.reshape(x, (x.shape[0], -1)),
        lambda x: x.view(-1, 32),
    ],
)
def test_ways_to_flatten(flatten: object) -> None:
    assert layers_of(images(flatten)) == [("conv", "conv", 0), ("out", "linear", 16)]


def test_a_flatten_that_names_its_size_fixes_the_width() -> None:
    assert "32" in analyse(images(lambda x: x.view(-1, 32))).rigid
    assert not analyse(images(lambda x: x.view(x.size(0), -1))).rigid


@pytest.mark.parametrize(
    "select",
    [
        lambda lstm, x: lstm(x)[0][:, -1],
        lambda lstm, x: lstm(x)[0][-1],
        lambda lstm, x: lstm(x)[0][:, -1, :],
        lambda lstm, x: lstm(x)[0],
        lambda lstm, x: lstm(x)[1][0][-1],
        lambda lstm, x: lstm(x)[1][0][0],
    ],
)
def test_ways_to_select_what_an_lstm_gives(select: object) -> None:
    model = Written(
        lambda model, x: model.out(select(model.lstm, x)), lstm=nn.LSTM(3, 4), out=nn.Linear(4, 2)
    )
    assert layers_of(model) == [("lstm.l0", "lstm", 0), ("out", "linear", 1)]


def test_batch_normalisation_is_taken_on_demand() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    with pytest.raises(UnsupportedArchitecture, match="BatchNorm1d") as refusal:
        analyse(model)
    assert "batch_norm = true" in refusal.value.hint
    chain = analyse(model, batch_norm=True)
    assert list(chain.norms()) == ["1.running_mean", "1.running_var"]
    assert list(chain.layers[0].trainable()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert "1 (BatchNorm1d)" in chain.rigid


def two_readers(model: Written, x: torch.Tensor) -> torch.Tensor:
    hidden = model.first(x)
    model.second(hidden)
    return model.out(hidden)


def shared(model: Written, x: torch.Tensor) -> torch.Tensor:
    return model.out(model.first(model.first(x)))


def other_parameter(model: Written, x: torch.Tensor) -> torch.Tensor:
    return functional.linear(model.first(x), model.out.weight)


def two_inputs_of_an_lstm(model: Written, x: torch.Tensor) -> torch.Tensor:
    return model.out(model.lstm(x, (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)))[0])


LINEARS = {"first": nn.Linear(4, 4), "second": nn.Linear(4, 4), "out": nn.Linear(4, 2)}
LSTM = {"lstm": nn.LSTM(4, 4), "out": nn.Linear(4, 2)}
CONVS = {"conv": nn.Conv2d(4, 4, 3), "out": nn.Linear(4, 2)}
TWO_WAYS = {**LSTM, "lstm": nn.LSTM(4, 2, bidirectional=True)}
PROJECTED = {**LSTM, "lstm": nn.LSTM(4, 6, proj_size=4)}
TWO = {"first": nn.Linear(4, 4), "out": nn.Linear(4, 2)}
REFUSED = [
    ("GroupNorm", nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Conv2d(4, 2, 3))),
    ("LayerNorm", nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))),
    ("InstanceNorm2d", nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4, affine=True))),
    ("BatchNorm1d", nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 2))),
    ("groups", nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1))),
    ("padding_mode", nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"))),
    ("PReLU", nn.Sequential(nn.Linear(4, 4), nn.PReLU(4), nn.Linear(4, 2))),
    ("GRU", nn.Sequential(nn.GRU(4, 4))),
    ("Bilinear", nn.Sequential(nn.Bilinear(4, 4, 2))),
    ("TransformerEncoderLayer", nn.Sequential(nn.TransformerEncoderLayer(4, 2, batch_first=True))),
    ("bidirectional", Written(lambda m, x: m.out(m.lstm(x)[0]), **TWO_WAYS)),
    ("proj_size", Written(lambda m, x: m.out(m.lstm(x)[0]), **PROJECTED)),
    ("constant", Written(two_inputs_of_an_lstm, **LSTM)),
    ("selected", Written(lambda m, x: m.lstm(x), lstm=nn.LSTM(4, 4))),
    ("indexing", Written(lambda m, x: m.out(m.lstm(x)[0][:, -1, :2]), **LSTM)),
    ("indexing", Written(lambda m, x: m.out(m.lstm(x)[1][1][-1]), **LSTM)),
    ("max_norm", nn.Sequential(nn.Embedding(5, 4, max_norm=1.0), nn.Linear(4, 2))),
    ("more than once", Written(shared, **LINEARS)),
    ("more than one path", Written(two_readers, **LINEARS)),
    ("out.weight", Written(other_parameter, **LINEARS)),
    ("second.weight", Written(lambda m, x: m.out(m.first(x)), **LINEARS)),
    ("more than one path", Written(lambda m, x: m.out(m.first(x) * m.second(x)), **LINEARS)),
    ("cat", Written(lambda m, x: m.out(torch.cat([m.first(x), x])), **LINEARS)),
    ("softmax", Written(lambda m, x: m.out(torch.softmax(m.first(x), 1)), **TWO)),
    (r"1 \(Softmax\)", nn.Sequential(nn.Linear(4, 4), nn.Softmax(dim=1), nn.Linear(4, 2))),
    ("transpose", Written(lambda m, x: m.out(m.first(x).transpose(0, 1)), **TWO)),
    ("cannot follow", Written(lambda m, x: m.out(m.conv(x)), **CONVS)),
    ("cannot follow", nn.Sequential(nn.Linear(4, 4), nn.MaxPool2d(2), nn.Linear(4, 2))),
    ("mul", Written(lambda m, x: m.out(2 * m.first(x)), **TWO)),
    ("view", Written(lambda m, x: m.out(m.conv(x).view(-1, 2, 2)), **CONVS)),
    ("flatten", Written(lambda m, x: m.out(m.conv(x).flatten(2)), **CONVS)),
    ("inputs", nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 2))),
    ("no blocks", Written(lambda m, x: m.out(m.conv(x).view(-1, 16)), **{**CONVS, "out": nn.Linear(64, 2)})),
    ("no blocks", nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(7, 2))),
    ("cannot be followed", Written(lambda m, x: m.first(x) if x.sum() > 0 else x, first=nn.Linear(4, 4))),
    ("no layer", nn.Sequential(nn.ReLU())),
    ("what forward returns", Written(lambda m, x: (m.first(x), x), first=nn.Linear(4, 4))),
    ("hooks", nn.utils.spectral_norm(nn.Linear(4, 4))),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "model"), REFUSED)
def test_refused(reason: str, model: nn.Module) -> None:
    before = weights_of(model)
    with pytest.raises(UnsupportedArchitecture, match=reason) as refusal:
        analyse(model)
    assert refusal.value.hint
    assert all((before[name] == array).all() for name, array in weights_of(model).items())


def test_a_second_argument_is_refused() -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x

    with pytest.raises(UnsupportedArchitecture, match="argument 'y'"):
        analyse(Two())


def test_frozen_and_parametrised_weights_are_refused() -> None:
    model = mlp()
    model[2].weight.requires_grad_(False)
    with pytest.raises(UnsupportedArchitecture, match=r"2\.weight"):
        analyse(model)
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 2))
    with pytest.raises(UnsupportedArchitecture):
        analyse(model)


def test_before_the_first_layer_data_may_take_any_shape() -> None:
    model = Written(lambda m, x: m.first(x.view(-1, 2, 2).transpose(1, 2).flatten(1)), first=nn.Linear(4, 3))
    assert layers_of(model) == [("first", "linear", 0)]
    assert not analyse(model).rigid
