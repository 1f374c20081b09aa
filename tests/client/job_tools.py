"""A home folder with batch jobs of all kinds, as their launchers and tasks leave them."""

from pathlib import Path

from foedus.core.canonical import Json
from foedus.core.ids import NativeId
from foedus.core.records import JobState, JobStatus, Resources
from foedus.launch import JobFolder
from foedus.launch.cluster.journal import Journal
from foedus.rounds.home import Home

TRAIN = "runs/mnist-1/jobs/r00001.1/client-1.train"


def made(home: Path, below: str, **spec: Json) -> JobFolder:
    """Make a job folder with this spec."""
    folder = JobFolder(home / below)
    folder.path.mkdir(parents=True)
    folder.write_spec(spec)
    return folder


def home_with_jobs(folder: Path) -> Home:
    """Make one: `sim-1` waits on a cluster, `mnist-1/prepare` has failed, and a task of training is done."""
    done = made(folder, TRAIN, kind="train", client="client-1")
    done.finish({})
    waiting = made(folder, "jobs/sim-1", application="SIM")
    waiting.begin("app/sim-1", Resources(cpus=2, gpus=1, walltime_s=60))
    Journal.new(waiting, "app/sim-1").write(waiting)
    waiting.write_status(
        JobStatus(
            NativeId(Journal.new(waiting, "app/sim-1").name),
            JobState.QUEUED,
            "waiting for resources",
            "77",
            "PENDING (Resources)",
        )
    )
    failed = made(folder, "runs/mnist-1/jobs/prepare", kind="prepare")
    failed.fail(ValueError("no data\nat all"))
    made(folder, "jobs/sim-2", application="SIM")
    (folder / "jobs/sim-2/status.json").write_text("{broken")
    made(folder, "runs/mnist-1/held/0a1b/0001", affinity="client-2")
    return Home(folder)
