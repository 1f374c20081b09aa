"""What the batch jobs of the conformance suite do; a module of its own, since it is imported on its own."""

import os
import signal

from foedus.launch import JobFolder


def application(folder: JobFolder) -> None:
    """Do what the spec says. Backends that start a new program run just this function."""
    do = folder.read_spec()["do"]
    print(f"doing {do}")
    if do == "finish":
        folder.emit({"progress": 1})
        folder.write_update([b"weights"])
        folder.finish({"done": True})
    elif do == "raise":
        raise ValueError("the reason")
    elif do == "die":
        os._exit(3)
    elif do == "wait":
        signal.pause()
