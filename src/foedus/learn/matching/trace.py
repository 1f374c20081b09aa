"""Find the chain of layers in a model, or say which part of it is none (FedMA's architectures).

The model's own code runs once with symbols instead of numbers (torch.fx). Every operation must take what the
one before gave, and must be one of those that treat all units alike; anything else is refused by name.
"""

from collections.abc import Mapping

from torch import fx, nn

from foedus.core.errors import UnsupportedArchitecture
from foedus.learn.matching._operations import HINT, refuse
from foedus.learn.matching._path import Path
from foedus.learn.matching.chain import Chain


def analyse(model: nn.Module, batch_norm: bool = False) -> Chain:
    """Return the model's layers in the order of computation. The model is not changed.

    `batch_norm`: whether batch normalisation is wanted (widths cannot change then). Raises
    `UnsupportedArchitecture` naming the part that cannot be matched.
    """
    _require_plain_parameters(model)
    modules = dict(model.named_modules())
    path = Path(batch_norm)
    for node in _trace(model).nodes:
        if node.op == "call_module":
            path.require_next(node, f"{node.target} ({type(modules[str(node.target)]).__name__})")
            path.module(str(node.target), modules[str(node.target)])
        elif node.op in ("call_function", "call_method"):
            path.operation(node)
        else:
            _visit_end(path, node)
    chain = path.finish()
    _require_all_covered(model, chain)
    return chain


def _trace(model: nn.Module) -> fx.Graph:
    try:
        return fx.Tracer().trace(model)
    except Exception as error:  # whatever the model's own code raises when it meets symbols
        reason = f"its computation cannot be followed: {type(error).__name__}: {error}"
        raise UnsupportedArchitecture(type(model).__name__, reason, HINT) from error


def _visit_end(path: Path, node: fx.Node) -> None:
    """Take what enters and leaves the model."""
    if node.op == "placeholder" and path.current is None and not node.args:
        path.current = node
    elif node.op == "placeholder":
        raise refuse(f"argument {node.target!r} of forward", "a chain of layers has one input")
    elif node.op == "get_attr":
        raise refuse(str(node.target), "a parameter or constant is used outside of a module")
    else:
        path.require_next(node, "what forward returns")


def _require_plain_parameters(model: nn.Module) -> None:
    """Refuse what the trace would not show."""
    owners: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in owners:
            raise refuse(name, f"its weights are tied to those of {owners[id(parameter)]}")
        if not parameter.requires_grad:
            raise refuse(name, "frozen weights must be equal everywhere, and matching would move them")
        owners[id(parameter)] = name
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            raise refuse(name or type(module).__name__, "its hooks may do anything to its units")


def _require_all_covered(model: nn.Module, chain: Chain) -> None:
    covered = {name for layer in chain.layers for name in layer.names()}
    state: Mapping[str, object] = model.state_dict()
    for name in state:
        if name not in covered:
            raise refuse(name, "it belongs to no layer of the chain")
