"""Labelled images, or fields, in memory."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from foedus.core.errors import InvalidData
from foedus.learn.partitions import stratified_sample


@dataclass(frozen=True, slots=True, eq=False)
class ImageSet:
    """Images (N, H, W) uint8 and labels (N,) int64 in 0..label_count-1.

    Where labels are not what is to be learnt, but say which group an example belongs to, there are `targets`:
    masks (N, H, W) uint8 of 0 and 1, or fields (N, C, H, W) float32, whose `images` then have that form, too.
    The first `train_count` examples are those of the dataset's own training part, the others its test part.
    """

    images: npt.NDArray[np.uint8] | npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    label_count: int
    train_count: int
    source: str  # in words, for reports
    targets: npt.NDArray[np.uint8] | npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, count: int, seed: int) -> "ImageSet":
        """Return a subset in which labels are as frequent as here, in the same order.

        Raises `InvalidData` when there are not that many.
        """
        if not 0 < count <= len(self):
            raise InvalidData(f"cannot take {count} of {len(self)} images", "Ask for fewer images.")
        chosen = stratified_sample(self.labels, count, np.random.default_rng(seed))
        return replace(
            self,
            images=self.images[chosen],
            labels=self.labels[chosen],
            targets=None if self.targets is None else self.targets[chosen],
            train_count=int((chosen < self.train_count).sum()),
            source=f"{count:,} of {self.source}",
        )
