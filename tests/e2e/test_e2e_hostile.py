"""A hostile client among honest ones: only its update is refused, by all members, with the reason kept."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.e2e.runs import new_run

from foedus.core.ids import Cid, ClientId
from foedus.core.records import Phase
from foedus.rounds import runs
from foedus.rounds.backend import local_launcher, local_resources
from foedus.rounds.driver import Driver, World
from foedus.rounds.home import Home
from foedus.rounds.setup import members_of
from foedus.rounds.verify import verify_run
from foedus.rounds.view import RunView
from foedus.store import decode, encode, get_manifest

HOSTILE = ClientId("client-3")
Tensors = dict[str, np.ndarray]


class HostileDriver(Driver):
    """Puts something else into the store in place of one client's update, and registers that."""

    tamper: Callable[[bytes], bytes]

    def _stage_updates(self) -> None:
        known = HOSTILE in self._staged
        super()._stage_updates()
        if HOSTILE in self._staged and not known:
            honest = self._world.store.get(self._staged[HOSTILE])
            self._staged[HOSTILE] = self._world.store.put(self.tamper(honest))


def edit(change: Callable[[Tensors], Mapping[str, np.ndarray]]) -> Callable[[bytes], bytes]:
    def tamper(data: bytes) -> bytes:
        return b"".join(bytes(part) for part in encode(change(dict(decode(data)))))

    return tamper


def first_value(value: float) -> Callable[[bytes], bytes]:
    def change(tensors: Tensors) -> Tensors:
        name = min(tensors)
        tensors[name].reshape(-1)[0] = value
        return tensors

    return edit(change)


def run_with_hostile(home: Home, tamper: Callable[[bytes], bytes]) -> tuple[str, RunView]:
    name = new_run(home, 1)
    spec, folder = runs.load_run_spec(home, name), home.run_folder(name)
    with local_launcher(spec, home.root) as launcher, runs.open_site(home) as site:
        resources = partial(local_resources, spec)
        project, run = runs.started(site, spec, folder, launcher, resources)
        world = World(site.store, site.home.store, site.ledger, launcher)
        view = RunView(run, keep_history=True, project=project)
        driver = HostileDriver(world, view, members_of(spec, folder), folder, resources)
        driver.tamper = staticmethod(tamper)
        return name, driver.drive()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (first_value(float("nan")), "nonfinite"),
        (lambda data: (1 << 40).to_bytes(8, "little") + data[8:], "header"),
    ],
    ids=["nan", "huge-header"],
)
def test_only_the_hostile_update_is_refused(
    tmp_path: Path, tamper: Callable[[bytes], bytes], code: str
) -> None:
    home = Home(tmp_path)
    name, view = run_with_hostile(home, tamper)
    ((ended, outcome),) = view.history
    assert len(ended.registrations) == 3
    assert outcome.phase is Phase.ACCEPTED
    manifest = get_manifest(runs.DirectoryStore(home.store), Cid(outcome.current))
    assert manifest.refused == {HOSTILE: code}
    assert [used.client for used in manifest.updates] == ["client-1", "client-2"]
    verify_run(home, name)
