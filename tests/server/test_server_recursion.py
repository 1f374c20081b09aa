"""Deeply nested input raises an error; it must never overflow the stack and kill a process."""

import subprocess
import sys

import pytest

DEEP = """
import json, sys
import {module}
import eth_keyfile  # what raises the limit when it is imported late
from foedus.chain import keys
try:
    json.loads("[" * 200_000)
except (RecursionError, ValueError):
    print("raised", sys.getrecursionlimit())
"""


@pytest.mark.slow
@pytest.mark.parametrize("module", ["foedus.server.app", "foedus.server.worker.loop", "foedus.chain.keys"])
def test_deep_json_raises_in_a_fresh_process(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DEEP.format(module=module)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.startswith("raised"), (done.returncode, done.stderr[-500:])
