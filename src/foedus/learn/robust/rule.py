"""Which robust rule a project uses, as its members agree on it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

RuleName: TypeAlias = Literal[
    "mean", "median", "trimmed-mean", "krum", "multi-krum", "geometric-median", "centred-clipping"
]


@dataclass(frozen=True, slots=True)
class RobustRule:
    """First `clip`, then `mix`, then `rule`. The default does nothing: the algorithm's own weighted mean."""

    rule: RuleName = "mean"
    byzantine: int = 0  # f: how many hostile clients to withstand
    clip: float = 0.0  # updates longer than this many times the median length are shortened to it; 0: none
    mix: bool = False  # nearest-neighbour mixing before the rule

    @property
    def is_plain(self) -> bool:
        """Whether nothing is to be done."""
        return self.rule == "mean" and not self.clip and not self.mix


MEAN = RobustRule()
