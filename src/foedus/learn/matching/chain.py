"""A model as a chain of layers whose units can be put in another order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Role: TypeAlias = Literal["matrix", "vector", "gates", "gate_vector", "recurrent", "table", "counter"]
"""How a tensor belongs to the U units of its layer:

    matrix       (U, I, …)   Linear and Conv2d weights; I are the inputs
    vector       (U,)        biases, and everything of batch normalisation
    gates        (4 U, I)    an LSTM's weights of its inputs, gate by gate
    gate_vector  (4 U,)      its biases
    recurrent    (4 U, U)    its weights of its own units
    table        (T, U)      an embedding of T tokens
    counter      ()          belongs to no unit
"""

LayerKind: TypeAlias = Literal["linear", "conv", "lstm", "embedding"]


@dataclass(frozen=True, slots=True)
class LayerTensor:
    """One tensor of a layer."""

    name: str  # in the state dict
    role: Role
    is_feature: bool = True  # whether matching looks at it


@dataclass(frozen=True, slots=True)
class Norm:
    """The batch normalisation right behind a layer: names of its tensors."""

    mean: str
    variance: str
    weight: str  # empty when it has none
    bias: str
    epsilon: float


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer whose units (neurons, channels, hidden units, embedding dimensions) are matched.

    `columns` is how many of its inputs belong to one unit of the layer before: one, or height times width
    after a flatten; 0 for the first layer, whose inputs are the data and never move.
    """

    name: str
    kind: LayerKind
    tensors: tuple[LayerTensor, ...]  # the weights come first
    columns: int
    norm: Norm | None = None

    def names(self) -> Iterator[str]:
        """Yield the names of its tensors."""
        return (tensor.name for tensor in self.tensors)

    def trainable(self) -> Iterator[str]:
        """Yield the names of its parameters: neither statistics nor counters."""
        buffers = (self.norm.mean, self.norm.variance) if self.norm else ()
        return (t.name for t in self.tensors if t.role != "counter" and t.name not in buffers)


@dataclass(frozen=True, slots=True)
class Chain:
    """A whole model. `rigid` says why its widths cannot change; it is empty when they can."""

    layers: tuple[Layer, ...]
    rigid: str = ""

    @property
    def hidden(self) -> tuple[Layer, ...]:
        """The layers that are matched: all but the last, whose rows have a meaning of their own."""
        return self.layers[:-1]

    @property
    def last(self) -> Layer:
        """The layer whose rows are the model's outputs."""
        return self.layers[-1]

    def norms(self) -> Iterator[str]:
        """Yield the names of all running statistics."""
        for layer in self.layers:
            if layer.norm:
                yield from (layer.norm.mean, layer.norm.variance)
