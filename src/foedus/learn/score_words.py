"""What the figures of a model are called: known without PyTorch, so that pages and tables can tell them."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ScoreWords:
    """The name of the score that gate, floor and ballot use, and what score and accuracy are, in words."""

    name: str
    means: str
    accuracy_means: str


LABELS: Final = ScoreWords("F1", "Mean over all labels", "Share of examples classified correctly")
PIXELS: Final = ScoreWords("Dice", "Mean over the images", "Share of right pixels")
PIXELS_AND_LABELS: Final = ScoreWords("Dice", "Mean over the images", "Share of right labels")
FIELDS: Final = ScoreWords("R²", "Clipped to 0 … 1, mean over the fields", "The same as R²")
UNKNOWN: Final = ScoreWords("score", "Between 0 and 1, more is better", "Share of right answers")
