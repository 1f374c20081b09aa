"""Which robust rule a project uses, as its members agree on it, and how many updates it needs."""

from dataclasses import dataclass, fields
from typing import ClassVar, Literal, TypeAlias

from foedus.core.errors import InvalidData, InvalidSpec
from foedus.learn.arguments import Parameter, check_arguments

RuleName: TypeAlias = Literal[
    "mean", "median", "trimmed-mean", "krum", "multi-krum", "geometric-median", "centred-clipping"
]

SELECTING: tuple[RuleName, ...] = ("mean", "krum", "multi-krum")
"""The rules that keep clients apart, so that `select` can use them."""

PARAMETERS = (
    Parameter(
        "rule",
        "mean",
        "What takes the place of the weighted mean",
        choices=(
            "mean",
            "median",
            "trimmed-mean",
            "krum",
            "multi-krum",
            "geometric-median",
            "centred-clipping",
        ),
    ),
    Parameter("byzantine", 0, "f: how many hostile clients to withstand", low=0, high=10_000),
    Parameter(
        "clip", 0.0, "Shorten updates to this many times the median length; 0 leaves them", low=0.0, high=1e6
    ),
    Parameter("mix", False, "Nearest-neighbour mixing: each update becomes the mean of its n - f nearest"),
    Parameter("iterations", 32, "Steps of geometric-median and centred-clipping", low=1, high=1000),
    Parameter(
        "smoothing",
        1e-6,
        "geometric-median: shortest distance told from 0, in median lengths",
        low=1e-9,
        high=1.0,
    ),
    Parameter(
        "radius",
        0.0,
        "centred-clipping: the longest step of one client; 0: the median length",
        low=0.0,
        high=1e150,
    ),
)
"""The rule's arguments, for specs and documentation; the names are the fields of `RobustRule`."""

_FEWEST = 3  # of two that differ, nobody can tell which is honest


class NoCentre(InvalidData):
    """The updates that arrived have no robust centre, so the round has no candidate.

    `code` is stable and short: `few` (too few updates to withstand a single hostile one) or `far` (what the
    rule gives is beyond float64). Permanent for these updates; the next round may have better ones.
    """

    def __init__(self, code: Literal["few", "far"], message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code


@dataclass(frozen=True, slots=True)
class RobustRule:
    """First `clip`, then `mix`, then `rule`. The default does nothing: the algorithm's own weighted mean.

    With any rule but `mean`, and after mixing, all clients count the same: their example counts are claims.
    Creating one raises `InvalidSpec` when an argument is not what `PARAMETERS` says, or when `trimmed-mean`
    or `mix` has `byzantine` 0, with which they would be plain means.
    """

    parameters: ClassVar[tuple[Parameter, ...]] = PARAMETERS

    rule: RuleName = "mean"
    byzantine: int = 0  # f
    clip: float = 0.0
    mix: bool = False
    iterations: int = 32
    smoothing: float = 1e-6
    radius: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        check_arguments("the robust rule", PARAMETERS, {f.name: getattr(self, f.name) for f in fields(self)})
        if not self.byzantine and (self.mix or self.rule == "trimmed-mean"):
            what = "mix" if self.mix else self.rule
            raise InvalidSpec(f"{what} with byzantine 0 is a plain mean", "Set byzantine to at least 1.")

    @property
    def is_plain(self) -> bool:
        """Whether nothing is to be done."""
        return self.rule == "mean" and not self.clip and not self.mix

    @property
    def measures(self) -> bool:
        """Whether lengths or distances matter; median and trimmed mean alone go element by element."""
        return bool(self.clip) or self.mix or self.rule not in ("mean", "median", "trimmed-mean")

    @property
    def fewest(self) -> int:
        """Return how many updates it takes to withstand `byzantine` hostile ones.

        2f + 1, for Krum and Multi-Krum 2f + 3 (Blanchard et al. 2017), and never fewer than 3. The mean
        without mixing takes any number, clipped or not: clipping bounds an update by what others there are.
        """
        if self.rule == "mean" and not self.mix:
            return 1
        return max(_FEWEST, 2 * self.byzantine + self._beyond)

    def require(self, clients: int) -> None:
        """Raise `InvalidSpec` when so many clients cannot withstand `byzantine` hostile ones."""
        if clients >= self.fewest:
            return
        most = (clients - self._beyond) // 2
        hint = f"Set byzantine to at most {most}, or" if clients >= _FEWEST and most >= 1 else "Use"
        raise InvalidSpec(
            f"{self.title} takes {self.fewest} clients to withstand {self.byzantine} hostile, not {clients}",
            f"{hint} more clients. `foedus config check` tells before a run.",
        )

    def withstands(self, updates: int) -> int:
        """Return f for a merge: `byzantine`, or the most that so few updates allow.

        Raises `NoCentre` (`few`) when that most is 0 though `byzantine` is not, or when there are fewer than
        3: a plain mean never takes the rule's place.
        """
        if self.rule == "mean" and not self.mix:
            if updates:
                return self.byzantine
            raise NoCentre("few", "there is no update to merge")
        most = (updates - self._beyond) // 2
        if updates < _FEWEST or most < min(1, self.byzantine):
            needed = max(_FEWEST, 2 * min(1, self.byzantine) + self._beyond)
            raise NoCentre(
                "few",
                f"{self.title} takes at least {needed} updates, and {updates} arrived",
                "Wait for more clients in the next round. `foedus config check` tells before a run.",
            )
        return min(self.byzantine, most)

    @property
    def title(self) -> str:
        """Return the rule in words."""
        return f"mixing and {self.rule}" if self.mix else self.rule

    @property
    def _beyond(self) -> int:
        return 3 if self.rule in ("krum", "multi-krum") else 1


MEAN = RobustRule()
