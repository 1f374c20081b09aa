"""FedMA. Wang, Yurochkin, Sun, Papailiopoulos, Khazaeni: Federated learning with matched averaging.
ICLR 2020. https://arxiv.org/abs/2002.06440

Units of a layer may come in any order, so averaging weights by their place mixes units that do different
things. FedMA first finds whose unit is whose (`foedus.learn.matching.bbp`), then averages, layer by layer:

    each client k:       trains its net; for n = 1 … N:
      hands over         layer n, its inputs in the global order
    server:              π_k = match(rows of layer n);  row i = mean of the rows of the m_i clients having i
      n = N:             rows are outputs and keep their places;  row c = Σ_k p_kc row c of k,   Σ_k p_kc = 1
    each client:         takes layers 1 … n as they are now, freezes them, moves the inputs of layer n + 1 by
                         π_k (inputs it lacks weigh 0), and trains layers n + 1 … N

A round has N exchanges. In the next round a client starts from its own units of the global net. With
`exchange = "model"` a round has one exchange: all layers are matched one after another, without training
between.

Further training, as in the released code: the last layer alone learns at a tenth of the rate, three times as
many epochs, with weight decay 1e-4. `retrain_epochs` is 1 here, so that a round costs N + 1 epochs beside the
first training; the authors take 20, in few rounds.

When to use it: clients that start from different initial weights, or drift far apart in long local training.
Plain chains of layers only; batch normalisation with `buffers = "average"` only. Cost: N exchanges per round,
and the matching: seconds for some hundred units.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

from torch import nn

from foedus.core.errors import InvalidSpec, UnsupportedArchitecture
from foedus.core.ids import ClientId
from foedus.core.records import WAD
from foedus.learn.algorithms._delta import contributing
from foedus.learn.algorithms._mean import merge_by_mean
from foedus.learn.arguments import Parameter
from foedus.learn.examples import Examples
from foedus.learn.matching import local, record, resize
from foedus.learn.matching.bbp import Growth, Prior
from foedus.learn.matching.chain import Chain, Layer
from foedus.learn.matching.layers import shape_with, units
from foedus.learn.matching.merge import (
    Averaging,
    Member,
    Reference,
    RowMerge,
    match_layers,
    merge_layers,
    merge_robustly,
)
from foedus.learn.matching.trace import analyse
from foedus.learn.robust import MEAN, RobustRule
from foedus.learn.state import weights_of
from foedus.learn.strategy import SERVER, MergeRules, ServerState, Strategy, Turn, Update, part_of
from foedus.learn.training import DEFAULT_SETTINGS, LocalResult, TrainSettings, local_sgd
from foedus.learn.weights import Array, Parts, Spec, Specs, TensorSource, Weights, dtype_name, specs_of

_FIXED = 'Set growth = "fixed".'
_NO_LABELS = "Set label_weights = false."


def _choice(name: str, meaning: str, *choices: str) -> Parameter:
    """Return a parameter that is one of several words, the first unless said otherwise."""
    return Parameter(name, choices[0], meaning, choices=choices)


@dataclass(frozen=True)
class FedMA(Strategy):
    """Average units that do the same, wherever in their layers they are."""

    exchange: Literal["layers", "model"] = "layers"
    growth: Growth = "fixed"
    merge: RowMerge = "mean"
    sigma: float = 1.0
    sigma0: float = 1.0
    mu0: float = 0.0
    gamma: float = 7.0
    max_width: int = 700
    popularity_factor: float = 1.0
    sweeps: int = 5
    client_init: Literal["own", "global"] = "own"
    retrain_epochs: int = 1
    row_weights: Literal["uniform", "weighted"] = "uniform"
    label_weights: bool = False
    batch_norm: bool = False
    fallback: Literal["none", "fedavg"] = "none"

    name: ClassVar[str] = "fedma"
    title: ClassVar[str] = "FedMA"
    source: ClassVar[str] = "Wang et al., ICLR 2020, arXiv:2002.06440"
    accepts: ClassVar[str] = (
        "chains of Linear, Conv2d, LSTM and Embedding layers with element-wise activations, dropout, pooling"
    )
    parameters: ClassVar[tuple[Parameter, ...]] = (
        _choice(
            "exchange", "one exchange per layer, with training between; or whole models", "layers", "model"
        ),
        _choice("growth", "widths stay, or the net grows by units that resemble no other", "fixed", "bbp"),
        _choice("merge", "mean of the rows, or the posterior mode, which shrinks them", "mean", "map"),
        Parameter("sigma", 1.0, "variance of a client's row around the global row", low=1e-6, high=1e6),
        Parameter("sigma0", 1.0, "variance of global rows around mu0", low=1e-6, high=1e6),
        Parameter("mu0", 0.0, "mean of global rows", low=-1000.0, high=1000.0),
        Parameter("gamma", 7.0, "how readily the global net grows", low=1e-12, high=1e12),
        Parameter("max_width", 700, "units of a layer beyond which it does not grow", low=1, high=100_000),
        Parameter("popularity_factor", 1.0, "1 as released, 2 as in the paper's formula", low=0.0, high=10.0),
        Parameter("sweeps", 5, "how often every client is matched again", low=0, high=100),
        _choice("client_init", "clients start from weights of their own, or from version 0", "own", "global"),
        Parameter("retrain_epochs", 1, "local epochs after each matched layer", low=0, high=1000),
        _choice("row_weights", "clients count equally, or by their examples", "uniform", "weighted"),
        Parameter("label_weights", False, "clients tell their label counts, which weigh the last layer"),
        Parameter("batch_norm", False, "take models with batch normalisation; widths must stay"),
        _choice("fallback", "refuse other models, or treat them as FedAvg does", "none", "fedavg"),
    )

    @property
    def has_fixed_shapes(self) -> bool:  # type: ignore[override]  # decided by a parameter, never set
        """Whether widths stay."""
        return self.growth == "fixed"

    def check(
        self, model: nn.Module, robust: RobustRule = MEAN, settings: TrainSettings = DEFAULT_SETTINGS
    ) -> None:
        """Refuse models that are no chain of layers, and parameters that contradict each other."""
        if self.merge == "map" and self.row_weights == "weighted":
            raise InvalidSpec(
                'merge = "map" knows no weights', 'Use merge = "mean" or row_weights = "uniform".'
            )
        if self._chain(model) is None or robust.is_plain:
            return
        if self.growth == "bbp" or self.merge == "map" or self.label_weights:
            raise InvalidSpec(
                f"FedMA combines robust rules ({robust.rule!r}) only with fixed widths, means, no labels",
                'Use growth = "fixed", merge = "mean" and label_weights = false, or no robust rule.',
            )

    def steps(self, model: nn.Module) -> int:
        """Return the number of layers, or 1 when whole models are exchanged."""
        chain = self._chain(model)
        return len(chain.layers) if chain and self.exchange == "layers" else 1

    def fit(self, model: nn.Module, weights: Weights) -> None:
        """Give the model the weights' widths, in place, and load them."""
        resize.fit(model, weights)

    def update_specs(self, state: ServerState, client: ClientId, rules: MergeRules) -> Specs:
        """Return the present layer's tensors, or all: own units, inputs as the server has them.

        Raises `UpdateRefused` (`absent`) for a client that missed one of this round's exchanges before.
        """
        chain = self._chain_of(rules)
        if chain is None:
            return super().update_specs(state, client, rules)
        record.require_averaged(chain, rules)
        record.require_present(chain, state, client, rules.step if self.exchange == "layers" else 1)
        widths = record.local_widths(chain, state)
        specs: dict[str, Spec] = {}
        before = 0
        for layer in self._todo(chain, rules.step):
            if self.exchange == "layers" and rules.step > 1:
                before = units(chain.layers[rules.step - 2], state.weights)
            for tensor in layer.tensors:
                like = state.weights[tensor.name]
                shape = shape_with(layer, tensor, like.shape, widths[layer.name], before)
                specs[tensor.name] = (dtype_name(like.dtype), shape)
            before = widths[layer.name]
        if self._is_last(chain, rules.step):
            if self.exchange == "layers":
                specs.update(specs_of({name: state.weights[name] for name in chain.norms()}))
            if self.label_weights:
                specs[local.LABELS] = ("I64", (widths[chain.last.name],))
        return specs

    def scorable(self, state: ServerState, source: TensorSource, parts: Parts) -> Weights | None:
        """Return the local model when the update is a whole one of the global shape."""
        shown = set(source.names())
        if any(n not in shown or tuple(source.spec(n)[1]) != w.shape for n, w in state.weights.items()):
            return None
        return super().scorable(state, source, parts)

    @property
    def plain_pull(self) -> None:
        """Clients start from units, or weights, of their own."""

    def train(
        self, model: nn.Module, state: ServerState, data: Examples, settings: TrainSettings, turn: Turn
    ) -> LocalResult:
        """Train the whole own net in a round's first exchange, and what is not yet matched in later ones."""
        chain = self._chain(model)
        if chain is None:
            return super().train(model, state, data, settings, turn)
        own, done = record.assignments(state, part_of(turn.client)), list[str]()
        if self.exchange == "model" or turn.step == 1:
            own = own or local.first_units(chain, record.local_widths(chain, state))
            self.fit(model, local.restricted(chain, state.weights, own))
            if self.client_init == "own" and not record.merges(state):
                local.initialise(model, turn.seed, turn.client)
        else:
            self.fit(model, local.continued(chain, turn.memory, state.weights, own, turn.step))
            settings = self._retraining(settings, turn.step == len(chain.layers))
            done = [name for layer in chain.layers[: turn.step - 1] for name in layer.names()]
        with local.frozen(model, done):
            result = local_sgd(
                model, data, settings, turn.seed, on_step=turn.on_step, checkpoints=turn.checkpoints
            )
        return self._handed_over(chain, model, data, result, turn.step)

    def aggregate(self, state: ServerState, updates: Sequence[Update], rules: MergeRules) -> ServerState:
        """Match and merge the present layer, or all."""
        chain = self._chain_of(rules)
        if chain is None:
            return merge_by_mean(state, updates, rules)
        step = rules.step if self.exchange == "layers" else 1
        members = [self._member(chain, update, step) for update in contributing(updates)]
        if not members:
            return state
        extras = tuple(chain.norms()) if self._is_last(chain, step) and self.exchange == "layers" else ()
        is_plain, seed = rules.robust.is_plain, str(record.merges(state))
        matched = match_layers(chain, self._todo(chain, step), members, self._prior, seed, not is_plain)
        if is_plain:
            how = Averaging(self._prior, self.merge, self.row_weights == "weighted")
            merged = merge_layers(matched, members, how, extras)
        else:
            own = record.assignments(state, SERVER) if step > 1 else {}
            reference = Reference(state.weights, own, chain.layers[step - 2].name if step > 1 else "")
            merged = merge_robustly(matched, members, reference, self._prior, rules.robust, extras)
        return record.next_state(chain, state, members, merged, step > 1)

    @property
    def _prior(self) -> Prior:
        return Prior(
            self.sigma,
            self.sigma0,
            self.mu0,
            self.gamma,
            self.popularity_factor,
            self.max_width,
            self.sweeps,
            self.growth,
        )

    def _chain(self, model: nn.Module) -> Chain | None:
        """Return the model's layers; None when they cannot be matched and FedAvg is to take over."""
        try:
            chain = analyse(model, self.batch_norm)
            if self.growth == "bbp" and chain.rigid:
                raise UnsupportedArchitecture("growth", f"widths cannot change: {chain.rigid}", _FIXED)
            if self.label_weights and chain.last.kind != "linear":
                raise UnsupportedArchitecture(chain.last.name, "its rows are no labels", _NO_LABELS)
        except UnsupportedArchitecture:
            if self.fallback == "none":
                raise
            return None
        return chain

    def _chain_of(self, rules: MergeRules) -> Chain | None:
        assert rules.model is not None, "FedMA looks at the model's layers"
        return self._chain(rules.model)

    def _todo(self, chain: Chain, step: int) -> tuple[Layer, ...]:
        return chain.layers if self.exchange == "model" else (chain.layers[step - 1],)

    def _is_last(self, chain: Chain, step: int) -> bool:
        return self.exchange == "model" or step == len(chain.layers)

    def _retraining(self, settings: TrainSettings, is_last: bool) -> TrainSettings:
        if not is_last:
            return dataclasses.replace(settings, epochs=self.retrain_epochs)
        rate, epochs = settings.learning_rate / 10, 3 * self.retrain_epochs
        return dataclasses.replace(settings, epochs=epochs, learning_rate=rate, weight_decay=1e-4)

    def _handed_over(
        self, chain: Chain, model: nn.Module, data: Examples, result: LocalResult, step: int
    ) -> LocalResult:
        """Return the result with what the others get of it, and what the client goes on from."""
        is_last, weights = self._is_last(chain, step), result.weights
        extras: dict[str, Array] = {}
        if is_last and self.label_weights:
            extras[local.LABELS] = local.label_counts(data, units(chain.last, weights))
        if self.exchange == "model":
            return dataclasses.replace(result, update={**weights, **extras} if extras else None)
        if is_last and any(chain.norms()):
            local.recompute_statistics(model, data)
            weights = weights_of(model)
            extras.update({name: weights[name] for name in chain.norms()})
        update = {**{name: weights[name] for name in chain.layers[step - 1].names()}, **extras}
        memory: Weights = {} if is_last else weights
        return dataclasses.replace(result, weights=weights, update=update, memory=memory)

    def _member(self, chain: Chain, update: Update, step: int) -> Member:
        labels = (
            update.source.read(local.LABELS) if self.label_weights and self._is_last(chain, step) else None
        )
        examples = float(Fraction(update.weight * WAD, update.bonus))
        return Member(update.client, update.source, float(update.weight), examples, labels)
