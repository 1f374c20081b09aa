"""Image datasets as NumPy arrays. Nothing here needs PyTorch."""

from foedus.learn.datasets._mnist import MnistSource, fetch_mnist, mnist
from foedus.learn.datasets.image_set import ImageSet

__all__ = ["ImageSet", "MnistSource", "fetch_mnist", "mnist"]
