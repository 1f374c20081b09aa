"""The search finds what one may see of everything, and nothing else."""

import pytest
from sqlalchemy import select
from tests.server.chains import Story
from tests.server.people import Person, join

from foedus.server.db import Dataset, Project, Run
from foedus.server.pages.render import short
from foedus.server.platform import Platform

API = "/api/v1/search"


@pytest.fixture
def run(alice: Person, story: Story, platform: Platform) -> str:
    """A run of Alice's project on the platform."""
    with platform.writing() as db:
        project = db.scalars(select(Project).filter_by(slug="lungs")).one()
        new = Run(name="lungs-1", project_id=project.id, created_by=alice.user.id, spec={}, rounds=3)
        new.algorithm, new.chain_run = "fedavg", 1
        db.add(new)
    return "lungs-1"


@pytest.mark.parametrize(
    ("words", "kind", "href"),
    [
        ("LUNG", "project", "/projects/lungs"),
        ("lungs-1", "run", "/runs/lungs-1"),
        ("alice", "member", "/projects/lungs/members"),
        ("7", "chain", "/chain/blocks/7"),
    ],
)
def test_things_are_found_by_name(words: str, kind: str, href: str, alice: Person, run: str) -> None:
    items = alice.program.get(API, params={"q": words}).json()["items"]
    assert (kind, href) in {(item["kind"], item["href"]) for item in items}
    page = alice.browser.get("/search", params={"q": words})
    assert page.status_code == 200
    assert f'href="{href}"' in page.text


def test_models_are_found_by_cid_and_by_run(alice: Person, run: str, story: Story) -> None:
    for words in (story.second, story.second[:20], "lungs-1"):
        items = alice.program.get(API, params={"q": words}).json()["items"]
        assert f"/models/{story.second}?project=lungs" in {item["href"] for item in items}


def test_projects_and_runs_come_before_models_whose_cids_are_short(
    alice: Person, run: str, story: Story, platform: Platform
) -> None:
    with platform.writing() as db:
        db.add(Dataset(owner_id=alice.user.id, name="lungs-of-alice", kind="arrays", request={}))
    page = alice.browser.get("/search", params={"q": "lungs"}).text
    titles = ("Projects", "Runs", "Datasets", "Models")
    places = [page.index(f"<h2>{title}</h2>") for title in titles]
    assert places == sorted(places)
    assert f'<code title="{story.second}">{short(story.second)}</code>' in page
    assert f">{story.second}<" not in page


def test_datasets_are_found_by_their_owners(alice: Person, stranger: Person, platform: Platform) -> None:
    with platform.writing() as db:
        mine = Dataset(owner_id=alice.user.id, name="lobes", kind="arrays", request={})
        db.add(mine)
        db.flush()
        href = f"/datasets/{mine.id}"
    (found,) = alice.program.get(API, params={"q": "lobe"}).json()["items"]
    assert (found["kind"], found["title"], found["href"]) == ("dataset", "lobes", href)
    assert stranger.program.get(API, params={"q": "lobe"}).json()["items"] == []


def test_strangers_find_nothing_of_it(stranger: Person, run: str, story: Story, alice: Person) -> None:
    for words in ("lung", "lungs-1", "alice", "Alice", story.first, story.second[:12], "baf", "%", "_"):
        assert stranger.program.get(API, params={"q": words}).json()["items"] == []
        assert "Nothing matches" in stranger.browser.get("/search", params={"q": words}).text


def test_invited_people_find_nothing_yet(stranger: Person, run: str, platform: Platform) -> None:
    join(platform, stranger, "lungs")
    assert stranger.program.get(API, params={"q": "lungs-1"}).json()["items"]
    with platform.writing() as db:
        project = db.scalars(select(Project).filter_by(slug="lungs")).one()
        for membership in project.memberships:
            membership.state = "invited"
    assert stranger.program.get(API, params={"q": "lungs-1"}).json()["items"] == []


@pytest.mark.parametrize("words", ["", " ", "%", "'; DROP TABLE users; --", "<script>", "💥", "9" * 150])
def test_odd_words_do_no_harm(words: str, alice: Person, run: str) -> None:
    page = alice.browser.get("/search", params={"q": words})
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert alice.program.get(API, params={"q": words}).json()["items"] == []


def test_overlong_words_are_refused(alice: Person) -> None:
    assert alice.browser.get("/search", params={"q": "x" * 201}).status_code == 422
    assert alice.program.get(API, params={"q": "x" * 5000}).status_code == 422
