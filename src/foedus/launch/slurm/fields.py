"""What may stand in the fields of a batch job. Everything else is refused by name, with a hint."""

import re
import reprlib

from foedus.core.errors import InvalidSpec
from foedus.core.records import Resources
from foedus.launch.slurm.site import SlurmSite

_NAMES = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,@+-]{0,127}", re.ASCII)
_CONSTRAINT = re.compile(r"[A-Za-z0-9_(\[][A-Za-z0-9_.,&|*()\[\]-]{0,255}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/-]{0,127}", re.ASCII)
_PATH = re.compile(r"/[^\x00-\x1f\x7f\\:]{0,1023}")
_PROLOGUE_LIMIT = 16 << 10  # characters
_DAY_S = 86_400
_LONGEST_ANSWER_S = 10  # no method of a `Scheduler` may take over 30 s, and some ask three times

_TEXTS = {
    "queue": (_NAMES, "a partition's name, or several with commas"),
    "account": (_WORD, "an account's name"),
    "qos": (_WORD, "the name of a quality of service"),
    "constraint": (_CONSTRAINT, "features of nodes, such as a100&nvlink"),
    "gpu_type": (_WORD, "a type of GPU as in gres.conf, such as h100"),
}
_COUNTS = {"cpus": (1, 65_536), "gpus": (0, 4_096), "scratch_mb": (0, 1 << 31)}


def check_resources(resources: Resources) -> None:
    """Raise `InvalidSpec` for a value that Slurm cannot be given."""
    for name, (pattern, meaning) in _TEXTS.items():
        text = getattr(resources, name)
        if text and not (isinstance(text, str) and pattern.fullmatch(text)):
            raise _unfit(name, text, f"It must be {meaning}.")
    for name, (least, most) in _COUNTS.items():
        _check_count(name, getattr(resources, name), least, most)
    if resources.memory_mb is not None:
        _check_count("memory_mb", resources.memory_mb, 1, 1 << 31)
    if not 0 < resources.walltime_s <= 365 * _DAY_S:
        raise _unfit("walltime_s", resources.walltime_s, "It must be above 0 and at most a year.")
    if resources.gpu_type and not resources.gpus:
        raise InvalidSpec("gpu_type is set, but gpus is 0", "Say how many GPUs the batch job needs.")


def check_site(site: SlurmSite) -> None:
    """Raise `InvalidSpec` for a setting that cannot be used."""
    if site.cluster and not _WORD.fullmatch(site.cluster):
        raise _unfit("cluster", site.cluster, "It must be a cluster's name.")
    for module in site.modules:
        if not _MODULE.fullmatch(module):
            raise _unfit("modules", module, "Each must be the name of a module, such as python/3.11.")
    if len(site.prologue) > _PROLOGUE_LIMIT or "\0" in site.prologue:
        raise _unfit("prologue", site.prologue, f"It may have {_PROLOGUE_LIMIT} characters, and no NUL.")
    if site.container is not None:
        for path in (site.container.image, *site.container.binds):
            check_path("container", path)
    _check_count("warning_s", site.warning_s, 1, _DAY_S)
    if not 0.1 <= site.timeout_s <= _LONGEST_ANSWER_S:
        raise _unfit("timeout_s", site.timeout_s, f"It must be between 0.1 and {_LONGEST_ANSWER_S} seconds.")


def check_path(name: str, path: str) -> None:
    """Raise `InvalidSpec` unless this is an absolute path without control characters, backslash and colon."""
    if not _PATH.fullmatch(path):
        raise _unfit(name, path, "It must be an absolute path without colon, backslash or line break.")


def _check_count(name: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise _unfit(name, value, f"It must be a whole number from {least} to {most}.")


def _unfit(name: str, value: object, hint: str) -> InvalidSpec:
    return InvalidSpec(f"{name} cannot be {reprlib.repr(value)}", hint)
