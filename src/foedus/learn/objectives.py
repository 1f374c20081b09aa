"""What a model is trained for: the loss that training lowers, and the score that gate, floor and ballot use.

Every score lies in [0, 1], more is better; the contract knows nothing else of what a model is for.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import nn

from foedus.core.errors import InvalidData
from foedus.learn import score_words
from foedus.learn.metrics import confusion, f1_per_label
from foedus.learn.score_words import ScoreWords

_ABOVE: Final = 0.5  # probability from which a pixel counts as inside the mask
_MOST_LABELS: Final = 128  # that fit beside a mask in a byte


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model achieves on a set of examples. The loss may be infinite; the scores lie in [0, 1]."""

    loss: float  # mean over the examples
    f1: float  # the score of the objective, see there: macro F1, Dice, R²
    accuracy: float
    examples: int
    parts: tuple[float, ...]  # what the score is the mean of: labels, or channels


class Objective(Protocol):
    """One kind of goal. Outputs and targets are those of a batch: (B, …)."""

    name: str
    words: ScoreWords

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar with gradient."""

    def observe(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of each example (B,), and what `judge` must know of each (B, k)."""

    def judge(self, losses: torch.Tensor, seen: torch.Tensor, label_count: int) -> Evaluation:
        """Return the scores from the losses (N,) and observations (N, k) of a whole set."""


class Classification:
    """Labels 0..label_count-1. Outputs (B, labels) are logits. Loss: cross-entropy. Score: macro F1."""

    name, words = "classification", score_words.LABELS

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy."""
        return nn.functional.cross_entropy(outputs, targets)

    def observe(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cross-entropy, and truth and prediction, of each example."""
        losses = nn.functional.cross_entropy(outputs, targets, reduction="none")
        return losses, torch.stack([targets, outputs.argmax(dim=1)], dim=1)

    def judge(self, losses: torch.Tensor, seen: torch.Tensor, label_count: int) -> Evaluation:
        """Count over the project's label set. Raises `InvalidData` for labels outside of it."""
        pairs = seen.cpu().numpy()
        counts = confusion(pairs[:, 0], pairs[:, 1], label_count)
        f1 = f1_per_label(counts)
        return Evaluation(
            loss=float(losses.double().mean()),
            f1=float(f1.mean()),
            accuracy=float(counts.trace() / counts.sum()),
            examples=len(losses),
            parts=tuple(float(value) for value in f1),
        )


class Segmentation:
    """Masks (B, H, W) of 0 and 1. Outputs (B, 1, H, W) are logits of "inside". Score: mean Dice of images.

    Of an image with probabilities p and mask y (Kwon, Lee, Park 2025, §5.3; Milletari et al. 2016 for Dice):

        loss = BCE(p, y) + 1 − (2 Σ p y + 1) / (Σ p + Σ y + 1)        Dice = 2 |P ∩ Y| / (|P| + |Y|)

    P are the pixels with p > ½. Dice is the F1 of pixels; it is 1 when both masks are empty. `accuracy` is
    the share of right pixels.
    """

    name, words = "segmentation", score_words.PIXELS

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean of BCE + Dice loss over the images."""
        return _mask_losses(outputs, targets).mean()

    def observe(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return loss, and Dice and share of right pixels, of each image."""
        found, wanted = _inside(outputs) > 0, targets > _ABOVE  # a logit of 0 is a probability of ½
        both = (found & wanted).flatten(1).sum(1)
        sizes = found.flatten(1).sum(1) + wanted.flatten(1).sum(1)
        dice = torch.where(sizes > 0, 2.0 * both / sizes.clamp(min=1), 1.0)
        right = (found == wanted).flatten(1).double().mean(1)
        return _mask_losses(outputs, targets), torch.stack([dice.double(), right], dim=1)

    def judge(self, losses: torch.Tensor, seen: torch.Tensor, label_count: int) -> Evaluation:
        """Take means over the images."""
        dice, right = (float(value) for value in seen.mean(dim=0))
        return Evaluation(float(losses.double().mean()), dice, right, len(losses), (dice,))


class LabelledSegmentation:
    """A mask and a label of each image at once. Outputs (B, 1 + labels, H, W), targets as of `with_labels`.

    Channel 0 is the mask's, as for `Segmentation`; each of the others has the logit of a label in all pixels.
    Loss: that of the mask + cross-entropy. Score: Dice alone, so gate and ballot do not judge the labels.
    `accuracy` is the share of right labels, not pixels.
    """

    name, words = "segmentation", score_words.PIXELS_AND_LABELS

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean of BCE + Dice loss + cross-entropy over the images."""
        return _mask_losses(outputs[:, :1], targets & 1).mean() + _label_losses(outputs, targets).mean()

    def observe(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return loss, and Dice and whether the label is right, of each image.

        Raises `InvalidData` for labels that the model does not know.
        """
        labels, known = _labels(targets), outputs.shape[1] - 1
        if int(labels.max()) >= known:
            raise InvalidData(
                f"there are labels up to {int(labels.max())}, and the model tells {known} apart",
                "Set classes in model.args to the number of labels.",
            )
        losses, seen = SEGMENTATION.observe(outputs[:, :1], targets & 1)
        right = (label_logits(outputs).argmax(1) == labels).double()
        return losses + _label_losses(outputs, targets), torch.stack([seen[:, 0], right], dim=1)

    def judge(self, losses: torch.Tensor, seen: torch.Tensor, label_count: int) -> Evaluation:
        """Take means over the images."""
        dice, right = (float(value) for value in seen.mean(dim=0))
        return Evaluation(float(losses.double().mean()), dice, right, len(losses), (dice,))


class Regression:
    """Fields (B, C, …) of any real values. Loss: mean squared error. Score: R², clipped to [0, 1].

    R² = 1 − Σ (y − ŷ)² / Σ (y − ȳ)² of each channel over all its values in the set, then the mean over the
    channels. A channel that is the same everywhere explains nothing: 0. `accuracy` is the score again.
    """

    name, words = "regression", score_words.FIELDS

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean squared error of all values."""
        return nn.functional.mse_loss(outputs, targets)

    def observe(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each example's mean squared error, and of each channel Σ(y−ŷ)², Σy, Σy² and the count."""
        if outputs.shape != targets.shape:
            raise InvalidData(f"outputs are {tuple(outputs.shape)}, targets {tuple(targets.shape)}")
        wanted = targets.double().flatten(2)  # (B, C, values)
        wrong = (wanted - outputs.double().flatten(2)).square()
        count = torch.full_like(wanted[:, :, 0], wanted.shape[2])
        seen = torch.cat([wrong.sum(2), wanted.sum(2), wanted.square().sum(2), count], dim=1)
        return wrong.flatten(1).mean(1), seen

    def judge(self, losses: torch.Tensor, seen: torch.Tensor, label_count: int) -> Evaluation:
        """Add up over the set."""
        wrong, total, squares, count = seen.sum(dim=0).cpu().reshape(4, -1)
        spread = squares - total * total / count
        # rounding leaves of a constant field a spread that is tiny against its squares
        explained = torch.where(spread > 1e-12 * squares, 1 - wrong / spread.clamp(min=1e-300), 0.0)
        parts = tuple(float(value) for value in explained.clamp(0, 1).nan_to_num(0.0))
        score = sum(parts) / len(parts)
        return Evaluation(float(losses.double().mean()), score, score, len(losses), parts)


def with_labels(masks: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the targets (N, H, W) of `LabelledSegmentation`: mask + 2 · label in every pixel, uint8.

    Masks are uint8 of 0 and 1. Raises `InvalidData` for labels outside of 0..127.
    """
    if not bool(((labels >= 0) & (labels < _MOST_LABELS)).all()):
        raise InvalidData(f"labels beside masks are from 0 to {_MOST_LABELS - 1}")
    return masks + 2 * labels.to(torch.uint8)[:, None, None]


def label_logits(outputs: torch.Tensor) -> torch.Tensor:
    """Return the logits (B, labels) in the outputs of a model of masks and labels."""
    return outputs[:, 1:, 0, 0].float()


def _labels(targets: torch.Tensor) -> torch.Tensor:
    return (targets[:, 0, 0] >> 1).long()


def _label_losses(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(label_logits(outputs), _labels(targets), reduction="none")


def _inside(outputs: torch.Tensor) -> torch.Tensor:
    if outputs.ndim != 4 or outputs.shape[1] != 1:
        raise InvalidData(f"a model for masks gives (B, 1, H, W), not {tuple(outputs.shape)}")
    return outputs[:, 0]


def _mask_losses(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return BCE + Dice loss of each image; `outputs` are logits (B, 1, H, W)."""
    logits, wanted = _inside(outputs).flatten(1).float(), targets.flatten(1).float()
    crossed = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(1)
    found = logits.sigmoid()
    overlap = (2 * (found * wanted).sum(1) + 1) / (found.sum(1) + wanted.sum(1) + 1)
    return crossed + 1 - overlap


CLASSIFICATION: Final[Objective] = Classification()
SEGMENTATION: Final[Objective] = Segmentation()
LABELLED_SEGMENTATION: Final[Objective] = LabelledSegmentation()
REGRESSION: Final[Objective] = Regression()
