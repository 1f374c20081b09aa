"""Settings of all tests. Being here, it also puts this folder on the import path."""

import os
import signal

import pytest

# Tests run side by side, one a processor: threads of numeric libraries on top would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The CPU is the tested default, also where there is a GPU; tests of devices take theirs by themselves.
os.environ.setdefault("FOEDUS_DEVICE", "cpu")

# Started in the background of a script, we inherit an ignored SIGINT, and so would
# the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_UMASK = os.umask(0)
os.umask(_UMASK)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Begin each test with our own umask: commands that run in this process make theirs private."""
    os.umask(_UMASK)
