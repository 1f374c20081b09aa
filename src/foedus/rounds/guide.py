"""Steers a driver from outside: stops it, and lets people decide ballots."""

from typing import Final, Protocol

from foedus.core.ids import ClientId
from foedus.core.records import RoundView
from foedus.rounds.machine import Vote
from foedus.rounds.view import RunView


class Guide(Protocol):
    """What whoever runs a driver may do between its steps. This one does nothing."""

    def before_sweep(self, run: RunView) -> None:
        """Be told that the driver looks at the run again, several times a second. Raise to end driving."""
        return

    def vote(self, client: ClientId, view: RoundView, advice: Vote) -> Vote | None:
        """Return how a client votes; None to be asked again. `advice` is what it computed (Algorithm 5)."""
        return advice


class _Unguided(Guide):
    """Leaves everything to the driver."""


UNGUIDED: Final[Guide] = _Unguided()
