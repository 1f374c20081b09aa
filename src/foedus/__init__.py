"""Foedus: train one model together on the clusters you already have, without sharing data.

The names below are the Python SDK. Each is imported on first use, so `import foedus` itself costs nothing.

    import foedus

    status = foedus.run("mnist.toml", home="my-home")
    print(status.accuracy, status.model)
    foedus.verify(status.name, home="my-home")
"""

from importlib import import_module
from typing import TYPE_CHECKING

from foedus.version import VERSION as __version__

if TYPE_CHECKING:
    from foedus.client.compare import Comparison, compare
    from foedus.client.remote.client import Client
    from foedus.client.sdk import open_home, report, resume, run, runs, status, verify
    from foedus.client.status import RoundStatus, RunStatus
    from foedus.core.errors import FoedusError
    from foedus.rounds.home import Home
    from foedus.rounds.progress import Observer, Progress
    from foedus.rounds.runs import create_run, drive_run
    from foedus.rounds.spec import RunSpec, load_spec, parse_spec
    from foedus.rounds.verify import VerifySummary
    from foedus.store import DirectoryStore, ModelManifest, get_manifest, lineage

_MODULE_OF = {
    "Client": "client.remote.client",
    "Comparison": "client.compare",
    "DirectoryStore": "store",
    "FoedusError": "core.errors",
    "Home": "rounds.home",
    "ModelManifest": "store",
    "Observer": "rounds.progress",
    "Progress": "rounds.progress",
    "RoundStatus": "client.status",
    "RunSpec": "rounds.spec",
    "RunStatus": "client.status",
    "VerifySummary": "rounds.verify",
    "compare": "client.compare",
    "create_run": "rounds.runs",
    "drive_run": "rounds.runs",
    "get_manifest": "store",
    "lineage": "store",
    "load_spec": "rounds.spec",
    "open_home": "client.sdk",
    "parse_spec": "rounds.spec",
    "report": "client.sdk",
    "resume": "client.sdk",
    "run": "client.sdk",
    "runs": "client.sdk",
    "status": "client.sdk",
    "verify": "client.sdk",
}

__all__ = [
    "Client",
    "Comparison",
    "DirectoryStore",
    "FoedusError",
    "Home",
    "ModelManifest",
    "Observer",
    "Progress",
    "RoundStatus",
    "RunSpec",
    "RunStatus",
    "VerifySummary",
    "__version__",
    "compare",
    "create_run",
    "drive_run",
    "get_manifest",
    "lineage",
    "load_spec",
    "open_home",
    "parse_spec",
    "report",
    "resume",
    "run",
    "runs",
    "status",
    "verify",
]


def __getattr__(name: str) -> object:
    """Import one of the names of the SDK."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    """List the names of the SDK."""
    return __all__
