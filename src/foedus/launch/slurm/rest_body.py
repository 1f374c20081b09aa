"""What slurmrestd is sent for a batch job. The script is fixed; every value stands in a field of its own."""

import json
from collections.abc import Mapping
from pathlib import Path

from foedus.core.canonical import Json
from foedus.core.errors import InvalidSpec
from foedus.core.records import Resources
from foedus.launch.cluster import Order
from foedus.launch.cluster._job import BATCH_LOG
from foedus.launch.slurm.arguments import SCRIPT, minutes, script_arguments
from foedus.launch.slurm.commands import job_environment
from foedus.launch.slurm.site import SlurmSite

HEAD = Path(__file__).with_name("rest.sh")
ARGUMENT = "FOEDUS_ARGUMENT_"
_OLDEST = "v0.0.38"


def submission(order: Order, site: SlurmSite, version: str, user: str) -> bytes:
    """Return the body for `job/submit` of this version of the interface.

    Raises `InvalidSpec` for a text that cannot be sent: with NUL, or not UTF-8.
    """
    log = f"{order.folder}/{BATCH_LOG}".replace("%", "%%")
    job: dict[str, Json] = {
        "name": order.name,
        "current_working_directory": order.folder,
        "standard_input": "/dev/null",
        "standard_output": log,
        "requeue": True,
        "tasks": 1,
        "cpus_per_task": order.resources.cpus,
        **_named(order.resources),
        **(_old if version == _OLDEST else _new)(order.resources, _environment(order, site, user)),
    }
    return json.dumps({"script": HEAD.read_text() + SCRIPT.read_text(), "job": job}).encode()


def _named(wanted: Resources) -> dict[str, Json]:
    """Return the fields that are called the same in all versions."""
    fields: dict[str, Json] = {
        "partition": wanted.queue,
        "account": wanted.account,
        "qos": wanted.qos,
        "constraints": wanted.constraint,
        "temporary_disk_per_node": wanted.scratch_mb,
    }
    return {name: value for name, value in fields.items() if value}


def _old(wanted: Resources, environment: Mapping[str, str]) -> dict[str, Json]:
    """Return the other fields for v0.0.38, which knows no warning signal for the script itself."""
    job: dict[str, Json] = {"environment": environment, "open_mode": "append", "nodes": [1, 1]}
    job["time_limit"] = minutes(wanted.walltime_s)
    if wanted.memory_mb is not None:
        job["memory_per_node"] = wanted.memory_mb
    if wanted.gpus:
        job["gres"] = _gpus(wanted)
    return job


def _new(wanted: Resources, environment: Mapping[str, str]) -> dict[str, Json]:
    """Return the other fields for v0.0.40 and above."""
    lines = [f"{name}={value}" for name, value in environment.items()]
    job: dict[str, Json] = {"environment": lines, "open_mode": ["APPEND"], "nodes": "1"}
    job["time_limit"] = {"set": True, "infinite": False, "number": minutes(wanted.walltime_s)}
    if wanted.memory_mb is not None:
        job["memory_per_node"] = {"set": True, "infinite": False, "number": wanted.memory_mb}
    if wanted.gpus:
        job["tres_per_node"] = f"gres/{_gpus(wanted)}"
    return job


def _gpus(wanted: Resources) -> str:
    kind = f":{wanted.gpu_type}" if wanted.gpu_type else ""
    return f"gpu{kind}:{wanted.gpus}"


def _environment(order: Order, site: SlurmSite, user: str) -> Mapping[str, str]:
    """Return all that the batch job sees beside what Slurm adds: the script's arguments, too."""
    variables = {**job_environment(), "USER": user, "LOGNAME": user}
    variables |= {f"{ARGUMENT}{n}": text for n, text in enumerate(script_arguments(order, site))}
    for text in variables.values():
        if "\0" in text or not _is_utf8(text):
            hint = "It must be UTF-8 without NUL."
            raise InvalidSpec(f"slurmrestd cannot be sent the text {text[:80]!r}", hint)
    return variables


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
