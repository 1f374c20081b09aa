"""Datasets as NumPy arrays. Nothing here needs PyTorch."""

from foedus.learn.datasets._frames import CHANGE_SCALE, frames
from foedus.learn.datasets._mnist import MnistSource, fetch_mnist, mnist
from foedus.learn.datasets._xrays import COVID_CLASSES, LUNG_GROUPS, covid, lungs
from foedus.learn.datasets.image_set import ImageSet

__all__ = [
    "CHANGE_SCALE",
    "COVID_CLASSES",
    "LUNG_GROUPS",
    "ImageSet",
    "MnistSource",
    "covid",
    "fetch_mnist",
    "frames",
    "lungs",
    "mnist",
]
