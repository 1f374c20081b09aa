"""The applications that come with Foedus."""

from typing import Final

from foedus.apps.registry import Application, Result
from foedus.core.records import Resources

_A_DAY_S: Final = 24 * 3600.0
_OF_ROUNDS: Final = Resources(cpus=1, memory_mb=2000, walltime_s=_A_DAY_S)

FL_TRAIN = Application(
    name="FL_TRAIN",
    title="Train a local model",
    description="One client's local training in a round (Algorithm 1), and the scores that the gate needs.",
    resources=_OF_ROUNDS,
    results=(Result("update", "content id of the update's tensors"), Result("local", "its scores")),
)
FL_AGGREGATE = Application(
    name="FL_AGGREGATE",
    title="Merge the updates of a round",
    description="Merges what was registered into the candidate for the next version (Algorithm 4).",
    resources=_OF_ROUNDS,
    results=(Result("candidate", "content id of the candidate's manifest"), Result("test", "its scores")),
)
FL_VERIFY = Application(
    name="FL_VERIFY",
    title="Check a candidate",
    description="Repeats the merge and scores the candidate on a member's own data (Algorithm 5).",
    resources=_OF_ROUNDS,
    results=(Result("candidate", "content id that this member computed"), Result("local", "its scores")),
)

BUILT_IN: Final = (FL_TRAIN, FL_AGGREGATE, FL_VERIFY)
