"""What `foedus site check` says of what it finds: whether that is right, and else what to do."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from foedus.client import probe
from foedus.core.errors import FoedusError
from foedus.core.records import JobState, JobStatus, Resources
from foedus.launch import JobFolder
from foedus.launch.cluster import BATCH_LOG
from foedus.launch.slurm import SlurmSite
from foedus.site.limits import limit_setting
from foedus.site.settings import CONFIG_FILE, Settings

_NEEDED: Final = ("sbatch", "squeue", "scancel")
_USEFUL: Final = ("scontrol", "sacct")
_LINES: Final = 8  # of a log
_SHARED: Final = (
    "The home folder must lie on a file system that all nodes see under the same path: see --home."
)
_PYTHON: Final = (
    "Set {launcher}.python to the interpreter as compute nodes see it, if need be after {launcher}.prologue."
)
_SCRATCH: Final = "Set {launcher}.scratch to a folder on a disk of each node that you may write to."
_CLUES: Final = (  # what a cause holds, and what to do then; the first that fits
    (
        "refuses it",
        "Correct [resources]: the site's `sinfo` or documentation names partitions, accounts and limits.",
    ),
    (
        "no module named 'foedus'",
        "Install Foedus there for this interpreter, or set {launcher}.python to one that has it.",
    ),
    (
        "no module named",
        "Install Foedus there with all it needs, or set {launcher}.python to an interpreter that has it.",
    ),
    (
        "environment modules",
        "Leave {launcher}.modules out, or have the site's module command set up by {launcher}.prologue.",
    ),
    ("prologue ended with code", "Correct {launcher}.prologue: its last command must succeed."),
    ("not found", _PYTHON),
    ("no such file", _PYTHON),
    ("cannot be written", _SHARED),
    ("out of memory", "Ask for more: resources.memory_mb."),
    ("without a result", _SHARED),
)
_OTHERWISE: Final = (
    "What it says comes from the batch job itself; {launcher}.prologue runs before it, if there is one."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked: whether it is right, in words, and what to do if it is not."""

    name: str
    is_ok: bool
    words: str
    advice: str = ""


def commands_found(site: SlurmSite) -> Finding:
    """Say which of Slurm's commands are there. Raises `Unreachable` when one that is needed cannot be run."""
    from foedus.launch.slurm.commands import Commands

    commands = Commands(site)
    version = commands.run(_NEEDED[0], ["--version"]).strip()
    for name in _NEEDED[1:]:
        commands.run(name, ["--version"])
    lacking = [name for name in _USEFUL if not _runs(commands.run, name)]
    note = (
        f"; without {' and '.join(lacking)}, which only means fewer words about failures" if lacking else ""
    )
    return Finding("commands", True, f"{version[:60]}{note}")


def _runs(run: Any, name: str) -> bool:  # noqa: ANN401 - a bound method
    try:
        run(name, ["--version"])
    except FoedusError:
        return False
    return True


def job_failed(status: JobStatus, folder: JobFolder, settings: Settings) -> Finding:
    """Say why the batch job gave nothing."""
    cause = status.cause or f"it is {status.state}"
    if said := said_in_the_end(status, folder):
        cause = f"the batch job has failed; its log ends:\n{said}"
    log = folder.read_log().strip()
    text = f"{cause}\n{log}".lower()
    advice = next((advice for clue, advice in _clues(settings) if clue in text), _OTHERWISE)
    if advice is _OTHERWISE and settings.launcher == "slurm" and not (folder.path / BATCH_LOG).exists():
        advice = _SHARED  # Slurm makes this file, where the node sees the folder
    advice = advice.format(launcher=settings.launcher)
    return Finding("batch job", False, cause, f"{advice} Settings: {settings.home / CONFIG_FILE}")


def said_in_the_end(status: JobStatus, folder: JobFolder) -> str:
    """Return the last lines of a batch job that its launcher still waits for though it has failed."""
    is_over = status.state is JobState.RUNNING and status.scheduler_state.upper().startswith("FAILED")
    return "\n".join(folder.read_tail(BATCH_LOG).strip().splitlines()[-_LINES:]) if is_over else ""


def limit_found(
    status: JobStatus, asked: Resources, names: Sequence[str], settings: Settings
) -> Finding | None:
    """Say that the cluster will not run batch jobs that ask for so much; None where it will."""
    cause = status.cause
    if status.state is not JobState.FAILED and not cause.startswith("cannot start"):
        return None
    advice = _CLUES[0][1]
    if "time limit" in cause.lower():
        advice = (
            f"{asked.walltime_s:g} s and a minute were asked for: lower {limit_setting(settings, names)}."
        )
    advice = f"{advice} Settings: {settings.home / CONFIG_FILE}"
    return Finding("limits", False, f"{', '.join(names)}: {cause}", advice)


def limits_kept(every: Mapping[Resources, Sequence[str]]) -> Finding:
    """Say what the cluster takes."""
    said = [f"{', '.join(names)} with {asked.walltime_s:,.0f} s" for asked, names in every.items()]
    return Finding("limits", True, f"the scheduler takes {'; '.join(said)}")


def _clues(settings: Settings) -> Iterable[tuple[str, str]]:
    section = settings.sections.get(settings.launcher)
    scratch = section.get("scratch") if isinstance(section, Mapping) else None
    return [(str(scratch).lower(), _SCRATCH), *_CLUES] if scratch else _CLUES


def too_slow(what: str, status: JobStatus) -> Finding:
    """Say that there was no more time to wait for a batch job."""
    cause = f": {status.cause}" if status.cause else ""
    advice = (
        "It was cancelled. Where batch jobs wait long, give --timeout more seconds, or name another queue."
    )
    return Finding(what, False, f"the batch job was still {status.state}{cause} when time was over", advice)


def log_found(is_there: bool) -> Finding:
    """Say whether what the batch job printed can be read here."""
    if is_there:
        return Finding("log", True, "what the batch job printed can be read here")
    return Finding("log", False, "what the batch job printed cannot be read here", _SHARED)


def home_found(is_shared: bool, home: Path, said: str) -> Finding:
    """Say whether the batch job saw the home folder."""
    if is_shared:
        return Finding("home folder", True, f"{home} is seen there, too")
    return Finding("home folder", False, f"another file of {home} is not seen there: {said[:200]}", _SHARED)


def user_found(there: object, here: int) -> Finding:
    """Say whether the batch job ran as its owner."""
    is_same = there == here
    advice = (
        ""
        if is_same
        else "Batch jobs must run as who submits them: files of theirs are readable by nobody else."
    )
    return Finding("user", is_same, f"user number {there}" + ("" if is_same else f", here {here}"), advice)


def program_found(result: Mapping[str, Any], launcher: str) -> Finding:
    """Say whether the versions are ours."""
    ours, theirs = probe.versions(), dict(result["versions"])
    other = [
        f"{name} {theirs.get(name)} instead of {ours[name]}"
        for name in ours
        if theirs.get(name) != ours[name]
    ]
    if not other:
        versions = ", ".join(f"{name} {version}" for name, version in ours.items())
        return Finding("program", True, f"{result['interpreter']} with {versions}")
    advice = (
        "Results would differ in their last digits, and verifying them fail. "
        f"Install the same versions there, or set {launcher}.python."
    )
    return Finding("program", False, f"{result['interpreter']} has {'; '.join(other)}", advice)


def processors_found(result: Mapping[str, Any], asked: Resources, threads: int) -> Finding:
    """Say whether there are as many processors and threads as were asked for."""
    words = f"{result['cpus']} to use, {result['threads']} threads; asked for {asked.cpus} and {threads}"
    if result["cpus"] < asked.cpus:
        return Finding("processors", False, words, "Slurm's --cpus-per-task was not kept: ask the site why.")
    if result["threads"] != threads:
        return Finding("processors", False, words, "Something there sets the number of threads: a prologue?")
    return Finding("processors", True, words)


def gpus_found(result: Mapping[str, Any], asked: Resources) -> Finding:
    """Say whether the GPUs that were asked for can be used."""
    given, usable = result["gpus"], result["usable_gpus"]
    words = (
        f"{len(given)} given ({', '.join(given) or 'none'}), asked for {asked.gpus}; PyTorch can use {usable}"
    )
    if len(given) != asked.gpus:
        return Finding(
            "GPUs", False, words, "CUDA_VISIBLE_DEVICES does not tell them: ask the site about its GRES."
        )
    if usable != asked.gpus:
        return Finding(
            "GPUs", False, words, "Install a PyTorch there that is made for these GPUs, and their driver."
        )
    return Finding("GPUs", True, words)


def scratch_found(result: Mapping[str, Any], asked: Resources, launcher: str) -> Finding:
    """Say whether temporary files can be written, and enough of them."""
    free_mb = result["free_mb"]
    if free_mb < 0:
        words = f"temporary files cannot be written: {result['scratch']}"
        return Finding("scratch", False, words, _SCRATCH.format(launcher=launcher))
    words = f"{result['scratch']}, {free_mb:,} MB free"
    if free_mb < asked.scratch_mb:
        return Finding(
            "scratch",
            False,
            f"{words}, asked for {asked.scratch_mb:,}",
            f"Set {launcher}.scratch to a larger disk.",
        )
    return Finding("scratch", True, words)
