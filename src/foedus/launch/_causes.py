"""Why a worker died, in words."""

import signal

_LINES, _CHARACTERS = 5, 1000
_GUESSES = {
    signal.SIGKILL: "out of memory?",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error; is the disk full?",
    signal.SIGILL: "illegal instruction; is a library built for another CPU?",
    signal.SIGXCPU: "CPU time limit",
    signal.SIGXFSZ: "file size limit",
}


def death(code: int, log: str) -> str:
    """Say how the process ended (`code` < 0: by that signal) and what it wrote last."""
    if code >= 0:
        said = f"exited with code {code}"
    else:
        guess = next((words for number, words in _GUESSES.items() if number == -code), "")
        said = f"killed by signal {-code}" + (f" ({guess})" if guess else "")
    last = "\n".join(log.rstrip().splitlines()[-_LINES:])[-_CHARACTERS:]
    return f"{said}; its last output:\n{last}" if last else said


def out_of_memory(used_mb: int, limit_mb: int) -> str:
    """Say that a job was ended because it took more memory than it asked for."""
    return f"out of memory: it used {used_mb} of {limit_mb} MB"
