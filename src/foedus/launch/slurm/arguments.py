"""The arguments of sbatch. A list, one option in each; no shell ever reads them."""

import math
from pathlib import Path

from foedus.core.records import Resources
from foedus.launch.cluster import Order
from foedus.launch.cluster._job import BATCH_LOG
from foedus.launch.slurm.site import Container, SlurmSite

PROLOGUE, ENVIRONMENT = "prologue.sh", "environment"
SCRIPT = Path(__file__).with_name("job.sh")
_MINUTE_S = 60


def sbatch_arguments(order: Order, site: SlurmSite) -> list[str]:
    """Return the options of sbatch, the fixed script and its arguments.

    What the job sees of our environment is in a file of the job folder, `ENVIRONMENT`.
    """
    log = f"{order.folder}/{BATCH_LOG}".replace("%", "%%")
    options = [
        "--parsable",
        f"--job-name={order.name}",
        f"--chdir={order.folder}",
        f"--output={log}",
        "--open-mode=append",
        f"--export-file={order.folder}/{ENVIRONMENT}",  # and nothing else; --export would run a login shell
        "--requeue",
        "--input=/dev/null",
        *_resource_options(order.resources, site),
    ]
    if site.cluster:
        options.append(f"--clusters={site.cluster}")
    return [*options, str(SCRIPT), *script_arguments(order, site)]


def script_arguments(order: Order, site: SlurmSite) -> list[str]:
    """Return the arguments of the fixed script."""
    prologue = f"{order.folder}/{PROLOGUE}" if site.prologue else ""
    return [prologue, *site.modules, "--", *_command(order, site.container)]


def minutes(walltime_s: float) -> int:
    """Slurm counts whole minutes. One more than asked for: our own supervisor keeps the exact limit."""
    return math.ceil(walltime_s / _MINUTE_S) + 1


def _resource_options(wanted: Resources, site: SlurmSite) -> list[str]:
    time_limit = f"--time={_time(wanted.walltime_s)}"
    options = ["--nodes=1", "--ntasks=1", f"--cpus-per-task={wanted.cpus}", time_limit]
    if wanted.walltime_s > 2 * _MINUTE_S:  # Slurm sends it up to a minute early
        options.append(f"--signal=B:USR1@{min(site.warning_s, int(wanted.walltime_s / 2))}")
    if wanted.memory_mb is not None:
        options.append(f"--mem={wanted.memory_mb}M")
    if wanted.gpus:
        kind = f":{wanted.gpu_type}" if wanted.gpu_type else ""
        options.append(f"--gres=gpu{kind}:{wanted.gpus}")
    if wanted.scratch_mb:
        options.append(f"--tmp={wanted.scratch_mb}M")
    named = {"partition": wanted.queue, "account": wanted.account, "qos": wanted.qos}
    named["constraint"] = wanted.constraint
    return options + [f"--{name}={text}" for name, text in named.items() if text]


def _time(seconds: float) -> str:
    hours, rest = divmod(minutes(seconds), 60)
    return f"{hours}:{rest:02}:00"


def _command(order: Order, container: Container | None) -> list[str]:
    if container is None:
        return list(order.argv)
    binds = [order.folder, *container.binds]
    if container.runtime == "apptainer":
        gpu = ["--nv"] if order.resources.gpus else []
        bound = [f"--bind={path}" for path in binds]
        return ["apptainer", "exec", "--no-home", *gpu, *bound, container.image, *order.argv]
    bound = [f"--bind={path}:{path}" for path in binds]
    return ["ch-run", *bound, container.image, "--", *order.argv]
