"""The registry of models: what `[model] name = "…"` of a run spec may say."""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from foedus.core.errors import InvalidSpec, UnsupportedModel
from foedus.learn.arguments import Argument, Parameter, check_arguments, hint_for
from foedus.learn.objectives import CLASSIFICATION, Objective
from foedus.learn.shapes import InputShape
from foedus.learn.state import trainable_parameters, weights_of
from foedus.learn.weights import Weights

CLASSES = Parameter("classes", 10, "number of labels", low=2, high=100_000)
"""The argument that every classifier takes."""

Factory = Callable[..., nn.Module]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a registered model before it is built."""

    name: str
    title: str
    input_shape: InputShape
    factory: Factory
    parameters: tuple[Parameter, ...] = (CLASSES,)
    channels_last: bool = False  # whether that memory order makes it faster
    is_linear: bool = False  # without hidden layer; only such a model learns from all-zero weights
    objective: Objective = CLASSIFICATION


_REGISTRY: dict[str, ModelInfo] = {}


def register_model(
    name: str,
    *,
    title: str,
    input_shape: InputShape,
    parameters: Sequence[Parameter] = (CLASSES,),
    channels_last: bool = False,
    is_linear: bool = False,
    objective: Objective = CLASSIFICATION,
) -> Callable[[Factory], Factory]:
    """Register the decorated function as the factory of a model; it gets the checked arguments by keyword.

    Raises ValueError when the name is taken.
    """

    def register(factory: Factory) -> Factory:
        if name in _REGISTRY:
            raise ValueError(f"there already is a model {name!r}")
        _REGISTRY[name] = ModelInfo(
            name, title, input_shape, factory, tuple(parameters), channels_last, is_linear, objective
        )
        return factory

    return register


def model_names() -> tuple[str, ...]:
    """Return the names of all models, sorted."""
    _import_models()
    return tuple(sorted(_REGISTRY))


def model_info(name: str) -> ModelInfo:
    """Look a model up. Raises `InvalidSpec` naming the nearest valid name."""
    if name not in model_names():
        raise InvalidSpec(f"there is no model {name!r}", hint_for(name, model_names()))
    return _REGISTRY[name]


def build_model(name: str, args: Mapping[str, Argument] | None = None, seed: int = 0) -> nn.Module:
    """Build a model with PyTorch's default initialisation, drawn from `seed`; global randomness is untouched.

    Raises `InvalidSpec` for an unknown name or an unusable argument.
    """
    info = model_info(name)
    checked = check_arguments(f"model {name!r}", info.parameters, args or {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return info.factory(**checked)


def initial_weights(
    name: str,
    args: Mapping[str, Argument] | None,
    seed: int,
    init: Literal["default", "zeros"] = "default",
) -> Weights:
    """Return the weights of version 0. Publish them by CID: a seed gives other bytes on other processors.

    `zeros` is the paper's wording and suits linear models only. With a hidden layer every hidden gradient is
    then exactly zero for ever, so it raises `UnsupportedModel` (ALGORITHMS §0).
    """
    model = build_model(name, args, seed)
    if init == "zeros":
        if not model_info(name).is_linear:
            raise UnsupportedModel(
                f"model {name!r} cannot start from zeros: its hidden layers would never get a gradient, "
                "and it would predict the same label share for every input",
                'Use init = "default", or the linear model "softmax".',
            )
        with torch.no_grad():
            for parameter in trainable_parameters(model):
                parameter.zero_()
    return weights_of(model)


@functools.cache
def _import_models() -> None:
    """Import every module of this package once, so that the decorators in them run."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        try:
            importlib.import_module(f"{__package__}.{module.name}")
        except Exception as error:  # a file that somebody added: whatever is wrong with it is theirs to know
            raise UnsupportedModel(f"the model file {module.name}.py cannot be loaded: {error}") from error
