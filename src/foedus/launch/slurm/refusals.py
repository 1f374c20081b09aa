"""What Slurm says when it judges that it will not take a batch job.

Nothing else is a refusal: after any other error, of the network above all, Slurm may have the batch job. What
passes (a limit of submitted jobs is reached, a partition is down) is not listed either: later it takes it.
"""

from collections.abc import Sequence

# Slurm's numbers of errors, and what stands in its words for them. Versions differ in capitals and endings.
_JUDGEMENTS = {
    2000: "invalid partition",
    2001: "no partition specified",
    2002: "access/permission denied",
    2003: "group not permitted to use this partition",
    2004: "requested nodes not in this partition",
    2005: "more processors requested than permitted",
    2006: "node count specification invalid",
    2008: "job size specification needs to be provided",
    2009: "job script not specified",
    2010: "invalid user id",
    2012: "pathname of a file, directory or other parameter too long",
    2014: "requested node configuration is not available",
    2015: "requested partition configuration not available",
    2025: "task count specification invalid",
    2029: "invalid feature specification",
    2036: "requested operation not supported on this system",
    2041: "requested more tasks than available processors",
    2044: "memory required by task is not available",
    2045: "invalid account or account/partition combination",
    2048: "invalid license specification",
    2051: "requested time limit is invalid",
    2057: "invalid wckey specification",
    2066: "invalid qos specification",
    2069: "cpu count specification invalid",
    2072: "invalid generic resource (gres) specification",
    2099: "invalid mcs_label specified",
    2102: "duplicate generic resource (gres) specification",
    2113: "invalid group id",
    2115: "invalid trackable resource (tres) specification",
    2119: "invalid gres specification",
    2122: "requested gres option unsupported",
    2130: "multiple partition job request not supported",
    2134: "insufficient gres available",
    8000: "time limit specification required",
}
_TIME_LIMIT = 2051
REFUSALS = frozenset(_JUDGEMENTS)
_OF_SBATCH = (  # which says so before it asks anybody
    "unrecognized option",
    'try "sbatch --help"',
    "invalid numeric value",
    "cli_filter plugin terminated with error",
)
_OF_A_SITE = "unspecified error"  # ends what a site's own rule (a job_submit plugin) says in words of its own


def is_refusal(lines: Sequence[str]) -> bool:
    """Tell whether sbatch's errors that end with these lines mean that Slurm will not take the batch job."""
    if not lines:
        return False
    last = lines[-1].lower()
    if _OF_A_SITE in last:
        return len(lines) > 1
    return any(words in last for words in (*_JUDGEMENTS.values(), *_OF_SBATCH))


def with_limit(words: str, walltime_s: float) -> str:
    """Add to a refusal for the time limit which one was asked for: Slurm does not say."""
    if _JUDGEMENTS[_TIME_LIMIT] not in words.lower():
        return words
    return f"{words}: walltime_s is {walltime_s:g}, and a minute was added"
