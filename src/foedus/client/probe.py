"""What `foedus site check` runs as a batch job: it tells what it finds there, or waits to be cancelled."""

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

import foedus
from foedus.core.canonical import Json
from foedus.launch import JobFolder
from foedus.launch.local import usable_cpus

ENTRY = "foedus.client.probe:run"
_PACKAGES = ("torch", "numpy")
_LONGEST_WAIT_S = 3600.0


def run(folder: JobFolder) -> None:
    """Do what the spec says: `{"word": …, "wait": bool, "beside": PATH}`."""
    spec = folder.read_spec()
    print(spec["word"], flush=True)
    if spec["wait"]:
        time.sleep(_LONGEST_WAIT_S)
    folder.finish({**surroundings(), **_gpus(), **_scratch(), "beside": _text_of(str(spec["beside"]))})


def surroundings() -> dict[str, Json]:
    """Return where this process runs, and with what."""
    torch = sys.modules.get("torch")  # imported by the worker's setup
    return {
        "host": os.uname().nodename,
        "user": os.getuid(),
        "interpreter": sys.executable,
        "versions": versions(),
        "cpus": usable_cpus(),
        "threads": torch.get_num_threads() if torch is not None else 0,
    }


def versions() -> dict[str, str]:
    """Return the versions that decide the last digits of results."""
    found = {"foedus": foedus.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not there"
    return found


def _gpus() -> dict[str, Json]:
    torch = sys.modules.get("torch")
    given = [word for word in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if word]
    has_cuda = torch is not None and torch.version.cuda is not None
    return {"gpus": given, "usable_gpus": torch.cuda.device_count() if torch and has_cuda else 0}


def _scratch() -> dict[str, Json]:
    """Write a file where temporary files go."""
    try:
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(1 << 20))
            file.flush()
            return {"scratch": tempfile.gettempdir(), "free_mb": shutil.disk_usage(file.name).free >> 20}
    except OSError as error:
        return {"scratch": str(error), "free_mb": -1}


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text()[:100]
    except (OSError, ValueError) as error:
        return str(error)
