"""The private Slurm cluster as a fixture: started when the first test asks, stopped with the session."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.shared import missing
from tests.slurm import accounting, cluster
from tests.slurm.cluster import SlurmCluster
from tests.slurm.users import two_users

GROUP = pytest.mark.xdist_group("slurm")
"""All tests that use the cluster run in one process, and it is started once."""


@contextmanager
def running_cluster(has_accounting: bool = False) -> Iterator[SlurmCluster]:
    """Start a cluster; skip the test, or fail it, where Slurm is missing."""
    wanted = cluster.DAEMONS + (accounting.DAEMONS if has_accounting else ())
    absent = [name for name in wanted if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if absent:
        missing(f"Slurm ({', '.join(absent)}); scripts/install_slurm.sh installs it")
    if os.geteuid() != 0:
        missing("root, to run a private Slurm whose batch jobs belong to several users")
    made = SlurmCluster(has_accounting)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def slurm_session() -> Iterator[SlurmCluster]:
    """One cluster for all tests of a process."""
    with running_cluster() as made:
        yield made


@pytest.fixture
def slurm(slurm_session: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """The cluster, with all nodes up and no batch job left; our own process talks to it, too."""
    monkeypatch.setenv("SLURM_CONF", str(slurm_session.conf))
    yield slurm_session
    slurm_session.recover()


@pytest.fixture(scope="session")
def slurm_accounting_session() -> Iterator[SlurmCluster]:
    """One cluster with an accounting database for all tests of a process."""
    with running_cluster(has_accounting=True) as made:
        yield made


@pytest.fixture
def slurm_accounting(
    slurm_accounting_session: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SlurmCluster]:
    """The cluster with sacct, account `physics` and QOS `single`; otherwise like `slurm`."""
    monkeypatch.setenv("SLURM_CONF", str(slurm_accounting_session.conf))
    yield slurm_accounting_session
    slurm_accounting_session.recover()


@pytest.fixture
def users(slurm: SlurmCluster) -> Iterator[tuple[str, str]]:
    """Two throw-away users with home folders below the cluster's job area."""
    with two_users(slurm.folder) as names:
        yield names
