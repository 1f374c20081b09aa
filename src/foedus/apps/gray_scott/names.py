"""What the files and the regimes of the simulation are called; light, for whoever reads its output."""

from typing import Final

METADATA: Final = "metadata.json"
FIELDS: Final = ("u", "v")
KIND: Final = "reaction-diffusion"
REGIMES: Final = ("uniform", "spots", "stripes", "holes", "waves")
"""In the order of their labels in a dataset."""
