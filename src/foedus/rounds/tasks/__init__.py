"""What runs inside batch jobs: one function per task, from a job folder to its result.

A task needs its job folder and the folder of the store, nothing else: no network, no database, no chain.
"""

from foedus.core.errors import InvalidSpec
from foedus.launch import JobFolder
from foedus.rounds.home import full_disk_told
from foedus.rounds.tasks.merge import run_merge
from foedus.rounds.tasks.prepare import run_prepare
from foedus.rounds.tasks.train import run_train

_TASKS = {"prepare": run_prepare, "train": run_train, "aggregate": run_merge, "verify": run_merge}


def run_task(folder: JobFolder) -> None:
    """Do what the job folder's `spec.json` orders."""
    order = folder.read_spec()
    kind = order.get("kind")
    if not isinstance(kind, str) or kind not in _TASKS:
        raise InvalidSpec(f"{kind!r} is not a task", f"Tasks are: {', '.join(_TASKS)}.")
    with full_disk_told(folder.path):
        _TASKS[kind](folder, order)
