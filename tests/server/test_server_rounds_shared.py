"""How many of an update's examples the project shares: read from the update, told where the update is."""

import numpy as np
import pytest
from sqlalchemy import select
from tests.chain.chain_tools import CLIENTS
from tests.server.chains import found, open_platform_chain, put_model, start, whole_index
from tests.server.people import Person

from foedus.core.canonical import canonical_json
from foedus.learn.weights import SHARED
from foedus.server.db import ChainAnswer, Project, Run
from foedus.server.index import follow, rebuild
from foedus.server.platform import Platform
from foedus.store import encode

EXAMPLES = 10


def update(platform: Platform, shared: object, dtype: str = "int64") -> str:
    """Put an update into the store that says it holds so many shared examples; return its CID."""
    tensors = {"weight": np.ones(3, "float32")}
    if shared is not None:
        tensors[SHARED] = np.asarray(shared, dtype)
    return platform.store.put(b"".join(map(bytes, encode(tensors))))


def registered(platform: Platform, *cids: str) -> list[int | None]:
    """Let clients register these updates; return what the index says of each."""
    chain = open_platform_chain(platform)
    first = put_model(platform.store, 0)
    run = start(chain, found(chain), first)
    number, step, *_ = chain.view("round_of", run)
    for client, cid in zip(CLIENTS, cids, strict=False):
        scores = (EXAMPLES, 800_000_000, 700_000_000)
        chain.do(client, "register", run, number, step, first, cid, *scores, "job")
    follow(platform, chain.ledger)
    chain.close()
    with platform.reading() as db:
        return list(db.scalars(select(ChainAnswer.num_shared).order_by(ChainAnswer.client)))


def test_the_update_says_how_many(platform: Platform) -> None:
    assert registered(platform, update(platform, [4]), update(platform, [0]), update(platform, None)) == [
        4,
        0,
        0,
    ]
    made = whole_index(platform)
    rebuild(platform)
    assert whole_index(platform) == made


@pytest.mark.parametrize(
    ("shared", "dtype"),
    [
        ([11], "int64"),
        ([-1], "int64"),
        ([2**62], "int64"),
        ([float("nan")], "float32"),
        ([1, 2], "int64"),
        (3, "int64"),
    ],
)
def test_what_cannot_be_true_counts_as_none_shared(platform: Platform, shared: object, dtype: str) -> None:
    assert registered(platform, update(platform, shared, dtype)) == [0]


def test_unknown_while_the_store_lacks_the_update_or_it_is_none(platform: Platform) -> None:
    other = platform.store.put(canonical_json({"no": "update"}))
    assert registered(platform, f"baf{'missing':-<56}", other) == [None, 0]


def test_pages_and_api_tell_it(platform: Platform, alice: Person, project: str, stranger: Person) -> None:
    registered(platform, update(platform, [4]), update(platform, [0]))
    with platform.writing() as db:
        of = db.scalars(select(Project).where(Project.slug == project)).one()
        of.chain_project = 1
        mine = {"project_id": of.id, "created_by": alice.user.id, "spec": {}, "algorithm": "fedavg"}
        db.add(Run(name="lungs-1", rounds=9, state="running", chain_run=1, **mine))
    page = alice.browser.get("/runs/lungs-1/rounds/1").text
    assert "Of them shared" in page
    assert "4 (40%)" in page
    clients = alice.program.get("/api/v1/runs/lungs-1/rounds/1").json()["clients"]
    assert [one["num_shared"] for one in clients] == [4, 0]
    assert stranger.browser.get("/runs/lungs-1/rounds/1").status_code == 404
