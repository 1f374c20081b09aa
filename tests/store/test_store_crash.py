"""Kill -9 at every system call of a put, and at random moments: all of an object is there, or nothing."""

import os
import random
import signal
from pathlib import Path
from typing import NoReturn

import pytest
from store_helpers import MIB

from foedus.core.ids import Cid
from foedus.store import DirectoryStore, cid_of, verify_all

CONTENT = bytes(2 * MIB + 10)
CALLS = ("write", "fsync", "rename", "mkdir", "open", "close", "unlink")


def put_and_die(root: Path, dying: int) -> NoReturn:
    """In a forked child: put, and be killed before the call number `dying`."""
    count = iter(range(1_000_000))

    def mortal(name: str) -> object:
        real = getattr(os, name)

        def call(*args: object, **kwargs: object) -> object:
            if next(count) == dying:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    store = DirectoryStore(root)
    for name in CALLS:
        setattr(os, name, mortal(name))
    store.put(CONTENT)
    os._exit(0)


def put_forever(root: Path, seed: int, pipe: int) -> NoReturn:
    """In a forked child: put one object after the other and acknowledge each in the pipe."""
    store = DirectoryStore(root)
    generator = random.Random(seed)
    while True:
        cid = store.put(generator.randbytes(generator.choice([10, 1000, MIB + 5])))
        os.write(pipe, cid.encode() + b"\n")


@pytest.mark.slow
def test_killed_at_every_system_call(tmp_path: Path) -> None:
    cid = cid_of(CONTENT)
    outcomes = set()
    for dying in range(1000):
        root = tmp_path / str(dying)
        child = os.fork()
        if not child:
            put_and_die(root, dying)
        if os.waitpid(child, 0)[1] == 0:
            break
        store = DirectoryStore(root)
        assert verify_all(store) == []
        assert os.listdir(root / "tmp") == []
        outcomes.add(store.has(cid))
        assert store.put(CONTENT) == cid
        assert store.gc() == []
        assert store.get(cid) == CONTENT
    assert dying > 20
    assert outcomes == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_killed_at_random_moments(tmp_path: Path, seed: int) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        put_forever(tmp_path / "store", seed, writing)
    os.close(writing)
    with open(reading) as acknowledged:
        cids = [Cid(acknowledged.readline().strip()) for _ in range(random.Random(seed).randint(1, 12))]
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        cids += [Cid(line.strip()) for line in acknowledged]
    store = DirectoryStore(tmp_path / "store")
    assert verify_all(store) == []
    assert os.listdir(store.root / "tmp") == []
    store.gc()
    assert set(cids) <= set(store.ls())
