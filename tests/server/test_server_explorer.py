"""The explorer shows one's own projects in full, and of others what a block itself shows."""

import re

import pytest
from sqlalchemy import select
from tests.chain.chain_tools import Chain
from tests.server.chains import Story, link
from tests.server.people import Person, join

from foedus.server.db import ChainEvent, ChainTransaction, Project, Run
from foedus.server.platform import Platform
from foedus.site.chain_words import method_of

API = "/api/v1/chain"


def tx_of(platform: Platform, function: str, project: int = 1, is_failed: bool = False) -> ChainTransaction:
    """Return the first transaction of a project that calls this."""
    error = ChainTransaction.error
    with platform.reading() as db:
        query = select(ChainTransaction).filter_by(function=function, project=project)
        return db.scalars(query.where(error.is_not(None) if is_failed else error.is_(None))).first()  # type: ignore[return-value]


def test_newest_blocks_and_transactions_are_shown(alice: Person, story: Story) -> None:
    page = alice.browser.get("/chain")
    assert page.status_code == 200
    assert "Newest blocks" in page.text
    assert "create_project" not in page.text  # the newest ten of ours are votes and such
    assert alice.program.get(f"{API}/transactions").json()["total"] > 20
    contract = alice.browser.get("/chain/contract")
    assert contract.status_code == 200
    assert "RewardPaid" in contract.text
    assert re.search(r'title="0x[0-9a-fA-F]{40}"', contract.text)


def test_transaction_is_told_in_words(alice: Person, story: Story, platform: Platform) -> None:
    vote = tx_of(platform, "vote")
    page = alice.browser.get(f"/chain/transactions/{vote.hash}").text
    assert "<h1>Vote yes on round 1</h1>" in page
    assert "alice" in page
    found = alice.program.get(f"{API}/transactions/{vote.hash}").json()
    assert (found["method"], found["sender_name"]) == ("Vote yes on round 1", "alice")
    assert found["events"][0]["name"] == "Voted"


def test_refused_transaction_shows_its_reason_first(alice: Person, story: Story, platform: Platform) -> None:
    page = alice.browser.get(f"/chain/transactions/{tx_of(platform, 'vote', is_failed=True).hash}").text
    assert page.index("the run has ended") < page.index("Confirmation".lower())
    assert 'class="state failed"' in page


def test_block_knows_its_neighbours(alice: Person, story: Story) -> None:
    page = alice.browser.get("/chain/blocks/3").text
    assert 'href="/chain/blocks/2"' in page
    assert 'href="/chain/blocks/4"' in page
    assert "‹" not in alice.browser.get("/chain/blocks/0").text


@pytest.mark.parametrize("number", ["9999", "-1", "x", "9" * 30, "%00"])
def test_missing_block_says_where_the_chain_ends(number: str, alice: Person, story: Story) -> None:
    answer = alice.browser.get(f"/chain/blocks/{number}")
    assert answer.status_code == 404
    assert "The chain&#39;s head is" in answer.text


def test_transactions_of_others_look_like_missing_ones(
    alice: Person, story: Story, platform: Platform
) -> None:
    theirs = tx_of(platform, "vote", project=2)
    missing = alice.program.get(f"{API}/transactions/0x{'0' * 64}")
    found = alice.program.get(f"{API}/transactions/{theirs.hash}")
    assert (found.status_code, found.json()) == (404, missing.json())
    assert alice.browser.get(f"/chain/transactions/{theirs.hash}").status_code == 404
    block = alice.program.get(f"{API}/blocks/{theirs.block}").json()
    assert (block["transactions"], block["hidden"]) == (1, 1)
    assert theirs.hash not in alice.browser.get(f"/chain/blocks/{theirs.block}").text


@pytest.mark.parametrize("path", ["transactions", "events"])
def test_lists_name_runs_and_members(path: str, alice: Person, story: Story, platform: Platform) -> None:
    with platform.writing() as db:
        home = db.scalars(select(Project)).one()
        run = Run(name="lungs-1", project_id=home.id, spec={}, algorithm="x", rounds=2, chain_run=1)
        run.created_by = alice.user.id
        db.add(run)
    page = alice.browser.get(f"/chain/{path}").text
    assert '<a href="/runs/lungs-1">lungs-1</a>' in page
    assert re.search(r'<a href="/chain/addresses/0x[0-9a-fA-F]{40}">alice</a>', page)
    items = alice.program.get(f"{API}/{path}").json()["items"]
    assert {(one["run_name"], one["run"]) for one in items} >= {("lungs-1", 1)}


@pytest.mark.parametrize("path", ["transactions", "events"])
def test_lists_hold_nothing_of_others(path: str, alice: Person, story: Story) -> None:
    text = alice.browser.get(f"/chain/{path}?format=json").text
    assert story.second in text or "vote" in text
    for secret in ("hearts", "hidden", story.theirs):
        assert secret not in text


def test_stranger_learns_no_name_and_no_transaction(
    stranger: Person, story: Story, platform: Platform
) -> None:
    with platform.reading() as db:
        address = db.scalars(select(ChainEvent).filter_by(name="MemberSet")).first()
    assert address is not None
    transactions = stranger.program.get(f"{API}/transactions").json()
    assert {item["function"] for item in transactions["items"]} <= {"", "set_validators"}
    assert {item["name"] for item in stranger.program.get(f"{API}/events").json()["items"]} <= {
        "ValidatorsSet"
    }
    assert stranger.browser.get(f"/chain/addresses/{address.address}").status_code == 404
    for words in ("alice", story.first, story.second, str(address.address), address.tx):
        answer = stranger.browser.get("/chain", params={"q": words})
        assert answer.status_code == 200, "nothing to go to"


def test_search_leads_to_what_was_meant(alice: Person, story: Story, platform: Platform) -> None:
    vote = tx_of(platform, "vote")
    block_hash = alice.program.get(f"{API}/blocks/3").json()["hash"]
    for words, place in (
        ("3", "/chain/blocks/3"),
        (block_hash, "/chain/blocks/3"),
        (vote.hash, f"/chain/transactions/{vote.hash}"),
        (vote.hash[2:].upper(), f"/chain/transactions/{vote.hash}"),
        (vote.sender, f"/chain/addresses/{vote.sender}"),
        (vote.sender.lower(), f"/chain/addresses/{vote.sender}"),
        ("alice", f"/chain/addresses/{vote.sender}"),
        (story.second, f"/models/{story.second}"),
    ):
        assert alice.browser.get("/chain", params={"q": words}).headers["location"] == place, words
    for words in ("9999", "nobody", "0x" + "0" * 64, "<script>", "💥"):
        assert "Nothing here is called" in alice.browser.get("/chain", params={"q": words}).text
    assert alice.browser.get("/chain", params={"q": "x" * 300}).status_code == 422


def test_address_shows_who_it_is_and_what_it_sent(alice: Person, story: Story, platform: Platform) -> None:
    page = alice.browser.get(f"/chain/addresses/{tx_of(platform, 'vote').sender}").text
    assert "<h1>alice</h1>" in page
    assert "lungs" in page
    assert "hearts" not in page
    for bad in ("0x", "nothing", "0x" + "g" * 40):
        assert alice.browser.get(f"/chain/addresses/{bad}").status_code == 404


def test_index_behind_the_chain_says_so(alice: Person, story: Story, platform: Platform) -> None:
    chain = Chain(platform.home.root)
    for name in ("third", "fourth", "fifth", "sixth"):  # a living chain is always a little ahead
        chain.do("lead", "create_project", name, "terms")
    chain.close()
    assert "The index is at block" in alice.browser.get("/chain").text
    assert alice.program.get(API).json()["is_behind"] is True
    platform.home.chain.unlink()
    assert "The chain does not answer" in alice.browser.get("/chain").text


def test_what_members_may_see_ends_with_their_membership(
    stranger: Person, story: Story, platform: Platform
) -> None:
    with platform.writing() as db:
        db.add(Project(slug="hearts", title="Hearts", draft={}))
    link(platform, "hearts", 2)
    join(platform, stranger, "hearts", "auditor")
    theirs = tx_of(platform, "vote", project=2)
    assert stranger.program.get(f"{API}/transactions/{theirs.hash}").json()["sender_name"] == "alice"
    assert stranger.program.get(f"{API}/transactions/{tx_of(platform, 'vote').hash}").status_code == 404


@pytest.mark.parametrize(
    ("function", "args", "words"),
    [
        ("vote", {"choice": 2, "round": 7}, "Vote no on round 7"),
        ("set_member", {"name": "bob", "role": 1}, "Make bob a member with the role auditor"),
        ("vote", {}, "vote"),
        ("destroy", {"x": 1}, "destroy"),
        ("create_project", {"name": "{run.__class__}"}, "Found the project {run.__class__}"),
    ],
)
def test_calls_are_said_in_words(function: str, args: dict[str, object], words: str) -> None:
    assert method_of(function, args) == words
