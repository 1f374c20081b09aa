"""The folder between whoever asks for heat maps and the process that computes them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from foedus.rounds.documents import CidText, Document, Text

ORDER: Final = "order.json"


class Question(Document):
    """One image under one version. `target`: a class, None for the predicted one. `layer` may be empty."""

    id: int
    cid: CidText
    example: str  # name of the .npy file
    target: int | None
    layer: Text


class ExplainOrder(Document):
    """Questions, and the store that has the models."""

    store: str
    questions: list[Question]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the answer to a question lies."""

    folder: Path
    id: int

    @property
    def answer(self) -> Path:
        """What was found, as JSON; written last."""
        return self.folder / f"{self.id}.json"

    @property
    def heat(self) -> Path:
        """The heat map as PNG."""
        return self.folder / f"{self.id}-heat.png"

    @property
    def mask(self) -> Path:
        """The class's probability in each pixel as PNG; not there for classifications."""
        return self.folder / f"{self.id}-mask.png"
