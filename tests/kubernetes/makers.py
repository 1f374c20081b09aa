"""Launchers on Kubernetes for tests: on the fake API server, and on a real cluster where one is lent.

A real cluster is used when KUBECONFIG and FOEDUS_TEST_KUBERNETES=1 are set; docs/how-to/kubernetes.md says
what else it needs.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.kubernetes.fake_api import FakeApi, fake_api

from foedus.core.protocols import Launcher
from foedus.core.records import Resources
from foedus.launch.cluster import ClusterLauncher, Order, Program, Times
from foedus.launch.kubernetes import KubernetesScheduler, KubernetesSite, Volume

CLAIM, MOUNT = "work", "/volume"
QUICK = Times(poll_s=0.1, slow_poll_s=0.1, settle_s=1.0)
_SETTING = "FOEDUS_TEST_KUBERNETES"


def site_of(api: FakeApi, folder: Path, root: str | Path, **settings: object) -> KubernetesSite:
    """Return the settings for a fake API server whose only volume holds `root`. Writes its kubeconfig."""
    api.cluster.claims[CLAIM] = str(root)
    config = api.write_kubeconfig(folder / "kubeconfig")
    defaults: dict[str, object] = {"kubeconfig": config, "user": 1000, "group": 1000}
    return KubernetesSite(
        "foedus:1",
        Volume(CLAIM, str(root), MOUNT),
        **(defaults | settings),  # type: ignore[arg-type]
    )


def kubernetes_makers(application: Path) -> dict[str, Callable[[], AbstractContextManager[Launcher]]]:
    """Return makers of launchers that run `application` of the module in this file."""
    made = {"kubernetes (fake API)": lambda: on_fake(application)}
    if os.environ.get("KUBECONFIG") and os.environ.get(_SETTING) == "1":
        made["kubernetes (real cluster)"] = lambda: on_real_cluster(application)
    return made


def order(folder: Path, number: int = 0, argv: tuple[str, ...] = ("/bin/sleep", "1000")) -> Order:
    """Return an order for a job folder below this one."""
    path = folder / "job"
    path.mkdir(exist_ok=True)
    return Order(f"foedus-{number:024}-0", argv, str(path), Resources(walltime_s=600))


def until(met: Callable[[], bool]) -> None:
    """Wait until it is so; fail after half a minute."""
    deadline = time.monotonic() + 30
    while not met():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


@contextmanager
def on_fake(application: Path) -> Iterator[Launcher]:
    """A fake API server that runs pods' commands as processes."""
    root = tempfile.gettempdir()
    with fake_api() as api, tempfile.TemporaryDirectory() as folder:
        scheduler = KubernetesScheduler(site_of(api, Path(folder), root))
        program = Program(f"{application.stem}:application", path=(str(application.parent),))
        with ClusterLauncher(scheduler, program, QUICK) as launcher:
            yield launcher


@contextmanager
def on_real_cluster(application: Path) -> Iterator[Launcher]:
    """A cluster that mounts our folder for temporary files (TMPDIR) under the same path."""
    names = ("CLAIM", "IMAGE", "NAMESPACE", "PYTHON")
    claim, image, namespace, python = (os.environ.get(f"{_SETTING}_{name}", "") for name in names)
    root = tempfile.gettempdir()
    site = KubernetesSite(image, Volume(claim, root), namespace or "foedus")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(application, folder)
        program = Program(f"{application.stem}:application", python=python or "python3", path=(folder,))
        with ClusterLauncher(KubernetesScheduler(site), program, Times(settle_s=30)) as launcher:
            yield launcher
