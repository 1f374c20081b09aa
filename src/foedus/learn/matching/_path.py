"""The walk along a model's one path of computation."""

import operator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from torch import fx, nn

from foedus.learn.matching import _makers as makers
from foedus.learn.matching import _operations as operations
from foedus.learn.matching._operations import refuse
from foedus.learn.matching.chain import Chain, Layer

_Layout: TypeAlias = Literal["input", "features", "sequence", "channels", "pair", "states", "hidden"]
"""Where the units are in what flows: in the last dimension of vectors or sequences, in dimension 1 of images;
or what flows is an LSTM's (output, (h_n, c_n)), its (h_n, c_n), or its h_n."""


@dataclass
class Path:
    """What is known after each step of the way."""

    batch_norm: bool
    current: fx.Node | None = None  # what the next step must take
    layers: list[Layer] = field(default_factory=list)
    rigid: str = ""  # why widths cannot change
    _layout: _Layout = "input"
    _width: int = 0  # units of the last layer; 0 before the first
    _is_fresh: bool = False  # whether the last step was a layer
    _is_block: bool = False  # whether an image was flattened since the last layer
    _flat_size: int = 0  # the size that a flatten since then named; 0: none
    _levels: int = 1  # of the last LSTM
    _output: str = ""  # a step that is right for outputs only
    _sizes: set[fx.Node] = field(default_factory=set)  # what is known of shapes: no tensors
    _used: set[str] = field(default_factory=set)

    def finish(self) -> Chain:
        """Return the chain. Raises `UnsupportedArchitecture` when there is none."""
        if not self.layers:
            raise refuse("the model", "it has no layer that can be matched")
        if self._layout in ("pair", "states", "hidden"):
            raise refuse(self.layers[-1].name, "an LSTM's output, or its last hidden state, must be selected")
        return Chain(tuple(self.layers), self.rigid)

    def require_next(self, node: fx.Node, what: str) -> None:
        """Go on to a step that takes what the last one gave, and nothing else that flows."""
        tensors = [other for other in node.all_input_nodes if other not in self._sizes]
        if len(tensors) > 1:
            raise refuse(what, operations.JOIN)
        if tensors != [self.current]:
            raise refuse(what, operations.BRANCH)
        self.current = node

    def module(self, name: str, module: nn.Module) -> None:
        """Take a step that is a module of PyTorch."""
        kind, what = type(module), f"{name} ({type(module).__name__})"
        if name in self._used:
            raise refuse(what, "it is used more than once")
        self._used.add(name)
        was_fresh, self._is_fresh = self._is_fresh, False
        if isinstance(module, nn.Linear) and kind is nn.Linear:
            self._linear(what, name, module)
        elif isinstance(module, nn.Conv2d) and kind is nn.Conv2d:
            self._enter(what, ("input", "channels"), module.in_channels)
            self._add(makers.convolution(name, module, min(self._width, 1)), module.out_channels, "channels")
        elif isinstance(module, nn.LSTM) and kind is nn.LSTM:
            self._lstm(what, name, module)
        elif isinstance(module, nn.Embedding) and kind is nn.Embedding:
            self._enter(what, ("input",), 0)
            self._add(makers.embedding(name, module), module.embedding_dim, "sequence")
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and was_fresh:
            self.layers[-1] = makers.with_norm(self.layers[-1], name, module, self.batch_norm)
            self.rigid = self.rigid or f"{what} shifts units that are not there"
        else:
            self._between(what, module)

    def operation(self, node: fx.Node) -> None:
        """Take a step that is a function or a method of a tensor."""
        name = operations.name_of(node.target)
        if self._is_about_shapes(node):
            self._sizes.add(node)
            return
        if _is_unused(node):
            return  # a part of an LSTM's result
        self.require_next(node, f"{name} in forward")
        self._is_fresh = False
        if node.target is operator.getitem:
            self._select(node.args[1])
        elif self._layout == "input" and _is_one_of(node, operations.RESHAPING, operations.INPUT_METHODS):
            pass  # the data have no units
        elif _is_one_of(node, operations.FLATTEN, operations.FLATTEN_METHODS):
            self._flatten(name, (node.args[1:], dict(node.kwargs)) in _FROM_DIMENSION_1)
        elif _is_one_of(node, operations.RESHAPE, operations.RESHAPE_METHODS):
            self._reshape(name, node)
        elif _is_one_of(node, operations.POOLING, ()):
            self._require(f"{name} in forward", ("input", "channels"))
        elif _is_one_of(node, operations.OUTPUT, operations.OUTPUT_METHODS):
            self._output = f"{name} in forward"
        elif _is_one_of(node, operations.ELEMENTWISE, operations.ELEMENTWISE_METHODS):
            self._require(f"{name} in forward", _TENSORS)
        else:
            raise refuse(f"{name} in forward", operations.why_not(name))

    def _between(self, what: str, module: nn.Module) -> None:
        """Take a module without units of its own."""
        kind = type(module)
        if kind in operations.ELEMENTWISE_MODULES:
            self._require(what, _TENSORS)
        elif kind in operations.POOLING_MODULES:
            self._require(what, ("input", "channels"))
        elif isinstance(module, nn.Flatten):
            if self._layout != "input":
                self._flatten(what, module.start_dim == 1 and module.end_dim == -1)
        elif kind in operations.OUTPUT_MODULES:
            self._output = what
        else:
            raise refuse(what, operations.why_not(kind.__name__))

    def _linear(self, what: str, name: str, module: nn.Linear) -> None:
        columns = min(self._width, 1)
        if self._is_block:
            columns, rest = divmod(module.in_features, self._width)
            if rest or self._flat_size not in (0, module.in_features):
                raise refuse(what, f"its {module.in_features} inputs are no blocks of {self._width} channels")
            self._enter(what, ("features",), 0)
        else:
            self._enter(what, ("input", "features", "sequence"), module.in_features)
        layout: _Layout = "sequence" if self._layout == "sequence" else "features"
        self._add(makers.linear(name, module, columns), module.out_features, layout)

    def _lstm(self, what: str, name: str, module: nn.LSTM) -> None:
        self._enter(what, ("input", "features", "sequence"), module.input_size)
        *below, top = makers.lstm(name, module, not self._width)
        if below:
            self.rigid = self.rigid or f"{what} has one width for all its levels"
        self.layers += below
        self._levels = module.num_layers
        self._add(top, module.hidden_size, "pair")

    def _enter(self, what: str, layouts: tuple[_Layout, ...], inputs: int) -> None:
        """Check that a layer takes the units of the one before; `inputs` 0: checked otherwise."""
        if self._output:
            raise refuse(self._output, "it looks at all units of a layer together, and another layer follows")
        self._require(what, layouts)
        if inputs and self._width and inputs != self._width:
            raise refuse(what, f"it has {inputs} inputs, but the layer before it {self._width} units")

    def _add(self, layer: Layer, width: int, layout: _Layout) -> None:
        self.layers.append(layer)
        self._layout, self._width, self._is_fresh = layout, width, True
        self._is_block, self._flat_size = False, 0

    def _require(self, what: str, layouts: tuple[_Layout, ...]) -> None:
        if self._layout not in layouts:
            raise refuse(what, f"it cannot follow here: what it takes has the form {self._layout!r}")

    def _flatten(self, what: str, is_all_but_first: bool, size: int = 0) -> None:
        self._require(what, ("features", "sequence", "channels"))
        if not is_all_but_first:
            raise refuse(what, "only a flatten of everything but the examples is supported")
        if size and self._width:
            self.rigid = self.rigid or f"{what} in forward names the size {size}"
        self._is_block, self._flat_size = self._is_block or self._layout == "channels", size
        self._layout = "features"

    def _reshape(self, name: str, node: fx.Node) -> None:
        sizes = node.args[1:] or tuple(node.kwargs.values())
        if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
            sizes = tuple(sizes[0])
        if len(sizes) == 2 and _is_number_of_examples(sizes[0]) and sizes[1] == -1:
            self._flatten(name, True)
        elif (
            len(sizes) == 2 and (sizes[0] == -1 or _is_number_of_examples(sizes[0])) and type(sizes[1]) is int
        ):
            self._flatten(name, True, sizes[1])
        else:
            raise refuse(f"{name} in forward", "only a flatten of everything but the examples is supported")

    def _select(self, index: object) -> None:
        """Take a part of an LSTM's result, never of its units."""
        following = _SELECTIONS.get((self._layout, index)) if isinstance(index, int) else None
        is_last_level = self._layout == "hidden" and index in (-1, self._levels - 1)
        if is_last_level or (self._layout == "sequence" and _is_one_element(index)):
            following = "features"
        if following is None:
            raise refuse(
                "indexing in forward", "it takes more or less than an LSTM's output or last hidden state"
            )
        self._layout = following

    def _is_about_shapes(self, node: fx.Node) -> bool:
        if node.target in ("size", "dim"):
            return True
        if node.target is getattr:
            return node.args[1] == "shape"
        return node.target is operator.getitem and node.args[0] in self._sizes


_TENSORS: tuple[_Layout, ...] = ("input", "features", "sequence", "channels")
_SELECTIONS: dict[tuple[str, int], _Layout] = {
    ("pair", 0): "sequence",
    ("pair", 1): "states",
    ("states", 0): "hidden",
}
_FROM_DIMENSION_1: tuple[tuple[tuple[object, ...], dict[str, object]], ...] = (
    ((1,), {}),
    ((), {"start_dim": 1}),
    ((1, -1), {}),
    ((1,), {"end_dim": -1}),
    ((), {"start_dim": 1, "end_dim": -1}),
)


def _is_one_of(node: fx.Node, functions: object, methods: object) -> bool:
    return node.target in (methods if node.op == "call_method" else functions)  # type: ignore[operator]


def _is_unused(node: fx.Node) -> bool:
    """Tell whether an index leads to nothing, as when a tuple is taken apart and a part of it ignored."""
    return node.target is operator.getitem and all(_is_unused(user) for user in node.users)


def _is_one_element(index: object) -> bool:
    """Tell whether an index takes one element of a batch of sequences: x[-1], x[:, -1] or x[:, -1, :]."""
    parts = index if isinstance(index, tuple) else (index,)
    whole = slice(None)
    positions = [part for part in parts[:2] if isinstance(part, int)]
    return (
        len(positions) == 1
        and all(part == whole for part in parts[2:])
        and all(isinstance(part, int) or part == whole for part in parts[:2])
        and len(parts) <= 3
    )


def _is_number_of_examples(size: object) -> bool:
    """Tell whether a size is x.size(0) or x.shape[0]."""
    if not isinstance(size, fx.Node):
        return False
    if size.target == "size":
        return size.args[1:] == (0,) or size.kwargs == {"dim": 0}
    return size.target is operator.getitem and bool(size.args[1] == 0)
