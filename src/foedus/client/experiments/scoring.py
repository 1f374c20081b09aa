"""What the final models of an experiment say of the test set, group by group, and of single examples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from foedus.client.experiments.records import ClientScore, GroupScore, RunScores
from foedus.core.canonical import derive_seed
from foedus.core.errors import FoedusError
from foedus.core.ids import Cid, ClientId
from foedus.learn.evaluation import evaluate
from foedus.learn.examples import Examples
from foedus.learn.metrics import confusion
from foedus.learn.objectives import CLASSIFICATION
from foedus.learn.weights import SHARED, Weights, Without
from foedus.rounds.home import Home
from foedus.rounds.summary import RunSummary, summarise_run
from foedus.rounds.tasks.project import Project
from foedus.store import TensorFile

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Shown:
    """Test examples as models see them, and what is true of them."""

    rows: npt.NDArray[np.int64]  # of the test set
    groups: npt.NDArray[np.int64]  # their labels
    inputs: torch.Tensor
    targets: torch.Tensor


class FinalModel:
    """A run after its last round: its project, the weights in force, and each client's last local model."""

    def __init__(self, home: Home, name: str) -> None:
        self.summary: RunSummary = summarise_run(home, name)
        if self.summary.terms is None or self.summary.current is None:
            raise FoedusError(f"run {name} has not begun", "Run the experiment again: it goes on.")
        self.project = Project(str(home.store), Cid(self.summary.terms))
        self.test = self.project.published(Cid(self.project.terms.test))
        self.groups = self._labels()

    def load_global(self) -> None:
        """Put the weights of the version in force into the model."""
        assert self.summary.current is not None
        self.project.load(self.project.state(Cid(self.summary.current)).weights)
        self.project.model.eval()

    def local_models(self) -> dict[str, Weights]:
        """Return each client's local model of the last round that was accepted, where its update is one."""
        accepted = [one for one in self.summary.rounds if one.phase == "accepted"]
        if not accepted or self.project.steps > 1:
            return {}
        last = accepted[-1]
        state = self.project.state(Cid(last.base))
        found = {}
        for one in last.clients:
            if one.cid is None or one.refused:
                continue
            specs = self.project.update_specs(state, ClientId(one.client), 1)
            with self.project.store.open(Cid(one.cid)) as file:
                source = Without(TensorFile(file), SHARED) if SHARED in specs else TensorFile(file)
                weights = self.project.strategy.scorable(state, source, self.project.parts)
            if weights is not None:
                found[one.client] = weights
        return found

    def shown(self, count: int, seed: str) -> Shown:
        """Draw test examples, each group in turn; the same for all runs with this test set."""
        random = np.random.default_rng(derive_seed("shown", seed, self.project.terms.test))
        order = random.permutation(len(self.groups))
        by_group = [order[self.groups[order] == group] for group in np.unique(self.groups)]
        rows = [rows[turn] for turn in range(count) for rows in by_group if turn < len(rows)][:count]
        chosen = torch.from_numpy(np.array(rows, np.int64))
        return Shown(
            chosen.numpy(), self.groups[chosen.numpy()], self.test.inputs[chosen], self.test.targets[chosen]
        )

    def _labels(self) -> npt.NDArray[np.int64]:
        with self.project.store.open(Cid(self.project.terms.test)) as file:
            return TensorFile(file).read("labels").astype(np.int64)


def score_run(home: Home, label: str, seed: int, name: str, groups: Sequence[str]) -> RunScores:
    """Score a run's final model on the test set, whole and group by group."""
    final = FinalModel(home, name)
    final.load_global()
    model, labels = final.project.model, final.project.terms.labels
    whole = evaluate(model, final.test, labels)
    names = groups or [str(label) for label in range(labels)]
    found = []
    for group, title in enumerate(names):
        part = _rows(final.test, final.groups == group)
        if len(part):
            one = evaluate(model, part, labels)
            score = one.accuracy if part.objective is CLASSIFICATION else one.f1
            found.append(GroupScore(title, score, one.loss, one.examples))
    return RunScores(
        label=label,
        seed=seed,
        run=name,
        test=final.project.terms.test,
        examples=whole.examples,
        began=final.summary.started_at or 0,
        ended=final.summary.changed_at or 0,
        score=whole.f1,
        accuracy=whole.accuracy,
        loss=whole.loss,
        groups=tuple(found),
        clients=tuple(_client_scores(final.summary)),
        confusion=_confusion(final) if final.test.objective is CLASSIFICATION else (),
    )


def _client_scores(summary: RunSummary) -> list[ClientScore]:
    """Return the local models' figures of the last round in which anybody trained."""
    for one in reversed(summary.rounds):
        found = [
            ClientScore(client.client, client.training.local.loss, client.training.local.f1)
            for client in one.clients
            if client.training is not None
        ]
        if found:
            return found
    return []


def _rows(data: Examples, chosen: npt.NDArray[np.bool_]) -> Examples:
    rows = torch.from_numpy(np.flatnonzero(chosen))
    return replace(data, inputs=data.inputs[rows], targets=data.targets[rows])


def _confusion(final: FinalModel) -> tuple[tuple[int, ...], ...]:
    counts = confusion(final.test.targets.numpy(), predicted(final).argmax(1), final.project.terms.labels)
    return tuple(tuple(int(count) for count in row) for row in counts)


@torch.inference_mode()
def predicted(final: FinalModel, inputs: torch.Tensor | None = None) -> npt.NDArray[np.float32]:
    """Return the model's answers to the test set, or to other inputs."""
    wanted = final.test.inputs if inputs is None else inputs
    answers = [final.project.model(wanted[start : start + _BATCH]) for start in range(0, len(wanted), _BATCH)]
    return torch.cat(answers).float().numpy()
