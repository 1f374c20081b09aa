"""The registry shows the versions of one's projects, and gives them away unharmed or not at all."""

from dataclasses import replace

import pytest
from sqlalchemy import select
from tests.server.chains import Story, link
from tests.server.people import Person, join

from foedus.server.db import AuditEntry, Project
from foedus.server.platform import Platform
from foedus.server.services.model_views import graph_of, lineage_in_words
from foedus.server.services.models import find_model
from foedus.store import get_manifest

API = "/api/v1/models"


def test_versions_of_ones_projects_are_listed(alice: Person, story: Story) -> None:
    found = alice.program.get(f"{API}?sort=version").json()
    assert [(item["version"], item["cid"]) for item in found["items"]] == [
        (0, story.first),
        (1, story.second),
        (2, story.third),
    ]
    assert found["items"][1]["score"] == pytest.approx(0.8)
    page = alice.browser.get("/models")
    assert page.status_code == 200
    assert story.second in page.text
    assert story.theirs not in page.text


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("project=lungs", 3),
        ("task=regression", 0),
        ("alias=champion", 0),
        ("q=carol", 2),
        ("q=alice", 2),
        ("q=%25", 0),
    ],
)
def test_list_is_narrowed_by_the_url(query: str, count: int, alice: Person, story: Story) -> None:
    assert alice.program.get(f"{API}?{query}").json()["total"] == count


def test_entry_shows_lineage_scores_and_ballot(alice: Person, story: Story) -> None:
    found = alice.program.get(f"{API}/{story.second}").json()
    assert found["lineage"] == [{"cid": story.first, "version": 0}]
    assert found["ballot"] == {"yes": 3, "no": 0, "abstain": 0, "electorate": 3, "quorum": 2}
    assert [one["client"] for one in found["scores"]] == ["alice", "bob", "carol"]
    page = alice.browser.get(f"/models/{story.second}")
    assert page.status_code == 200
    assert f"foedus remote pull {story.second}" in page.text
    assert f"/applications/FL_PREDICT?model={story.second}" in page.text
    assert f"/models/{story.second}/project?project=lungs" in page.text
    assert alice.browser.get(f"/models/{story.first}").status_code == 200


def test_of_a_long_lineage_the_last_versions_are_drawn(
    alice: Person, story: Story, platform: Platform
) -> None:
    with platform.reading() as db:
        short = find_model(db, alice.actor, platform.store, story.second)
    assert lineage_in_words(short) == "Updates: 1; earlier versions: 1."
    long = replace(short, ancestors=[(f"baf{number}", number) for number in range(40, 0, -1)])
    nodes = graph_of(long)["nodes"]
    assert isinstance(nodes, list)
    names = [node["name"] for node in nodes if isinstance(node, dict)]
    assert names == ["v1", *(f"v{number}" for number in range(40, 33, -1)), "alice"]
    assert lineage_in_words(long) == "Updates: 1; of the earlier versions, the last 7 are drawn."
    page = alice.browser.get(f"/models/{story.second}").text
    assert page.index("<summary>Earlier versions") < page.index(f"<code>{story.first}</code></li>")


def test_weights_and_manifest_come_as_they_are_stored(
    alice: Person, story: Story, platform: Platform
) -> None:
    weights = get_manifest(platform.store, story.second).weights
    for client, path in (
        (alice.browser, f"/models/{story.second}"),
        (alice.program, f"{API}/{story.second}"),
    ):
        answer = client.get(f"{path}/weights")
        assert answer.content == platform.store.get(weights)
        assert answer.headers["x-content-cid"] == weights
    manifest = alice.browser.get(f"/models/{story.second}/manifest")
    assert manifest.content == platform.store.get(story.second)


def test_version_without_a_copy_says_so(alice: Person, story: Story) -> None:
    page = alice.browser.get(f"/models/{story.third}")
    assert page.status_code == 200
    assert "Unreachable: no copy is here" in page.text
    answer = alice.program.get(f"{API}/{story.third}/weights")
    assert answer.status_code in (404, 409)
    assert alice.browser.get(f"/models/{story.third}/manifest").status_code in (404, 409)


def test_damaged_copy_is_never_sent(alice: Person, story: Story, platform: Platform) -> None:
    weights = get_manifest(platform.store, story.second).weights
    for cid in (weights, story.second):
        (path,) = (platform.home.store / "objects").rglob(f"{cid}*")
        path.chmod(0o600)
        path.write_bytes(b"x" + path.read_bytes()[1:])
        answer = alice.browser.get(f"/models/{story.second}/weights")
        assert answer.status_code == 409
    page = alice.browser.get(f"/models/{story.second}").text
    assert 'role="alert">Damaged: ' in page


def test_models_of_others_look_like_missing_ones(alice: Person, stranger: Person, story: Story) -> None:
    for person, cid in ((alice, story.theirs), (stranger, story.second)):
        missing = person.program.get(f"{API}/bafkreinothing")
        found = person.program.get(f"{API}/{cid}")
        assert (found.status_code, found.json()) == (404, missing.json())
        assert person.program.get(f"{API}/{cid}/weights").status_code == 404
        assert person.program.put(f"{API}/{cid}/note", json={"alias": "champion"}).status_code == 404
        assert person.browser.get(f"/models/{cid}/manifest").status_code == 404
        assert person.browser.get(f"/models/compare?a={cid}&b={cid}").status_code == 404
    assert stranger.program.get(API).json()["total"] == 0


def test_leads_describe_and_name_a_champion(alice: Person, story: Story, platform: Platform) -> None:
    form = {"alias": "champion", "description": "Finds lungs", "limits": "Adults only"}
    for cid in (story.first, story.second):
        answer = alice.browser.post(f"/models/{cid}", data=form)
        assert answer.headers["location"] == f"/models/{cid}?project=lungs"
    found = alice.program.get(f"{API}?alias=champion").json()["items"]
    assert [item["cid"] for item in found] == [story.second]
    page = alice.browser.get(f"/models/{story.second}").text
    assert "Finds lungs" in page
    assert "Adults only" in page
    with platform.reading() as db:
        entries = db.scalars(select(AuditEntry).filter_by(action="describe model")).all()
    assert len(entries) == 2


def test_wrong_fields_are_named(alice: Person, story: Story) -> None:
    form = {"alias": "king", "description": "x" * 4001}
    page = alice.browser.post(f"/models/{story.first}", data=form)
    assert page.status_code == 422
    assert 'href="#f-alias"' in page.text
    answer = alice.program.put(f"{API}/{story.first}/note", json=form)
    assert set(answer.json()["error"]["fields"]) == {"alias", "description"}


def test_members_see_and_download_but_do_not_describe(
    stranger: Person, story: Story, platform: Platform
) -> None:
    join(platform, stranger, "lungs", "member")
    assert stranger.browser.get(f"/models/{story.second}/weights").status_code == 200
    assert "Change the card" not in stranger.browser.get(f"/models/{story.second}").text
    assert stranger.browser.post(f"/models/{story.second}", data={"alias": "champion"}).status_code == 403


def test_two_versions_are_compared(alice: Person, story: Story) -> None:
    page = alice.browser.get(f"/models/compare?a={story.first}&b={story.second}")
    assert page.status_code == 200
    assert "Difference" in page.text
    assert alice.browser.get("/models/compare").status_code == 200


def test_two_versions_are_ticked_in_the_list(alice: Person, story: Story) -> None:
    page = alice.browser.get("/models").text
    assert '<form id="ticked"' in page
    for cid in (story.first, story.second):
        assert f'form="ticked" name="cid" value="{cid}"' in page
    page = alice.browser.get(f"/models/compare?cid={story.first}&cid={story.second}").text
    assert "Difference" in page
    for ticked, count in ((f"?cid={story.first}", 1), (f"?cid={story.first}&cid=a&cid=b", 3)):
        answer = alice.browser.get(f"/models/compare{ticked}")
        assert answer.status_code == 422
        assert f"Tick two models, not {count}." in answer.text
        assert f'name="a" type="text" value="{story.first}"' in answer.text
    assert (
        f"/models/compare?a={story.first}&amp;b={story.second}"
        in alice.browser.get(f"/models/{story.second}").text
    )


def test_a_wrong_cid_is_named_on_the_form(alice: Person, story: Story) -> None:
    answer = alice.browser.get(f"/models/compare?a={story.first}&b=bafkreinothing")
    assert answer.status_code == 404
    assert answer.text.count("there is no such model here, or you may not see it") == 1
    assert answer.text.count('aria-invalid="true"') == 1
    assert f'value="{story.first}"' in answer.text
    assert 'value="bafkreinothing"' in answer.text


def test_projects_that_share_a_version_describe_it_each_for_itself(
    alice: Person, stranger: Person, story: Story, platform: Platform
) -> None:
    with platform.writing() as db:
        db.add(Project(slug="hearts", title="Hearts", draft={}))
    link(platform, "hearts", 2)
    join(platform, stranger, "hearts", "owner")
    alice.program.put(f"{API}/{story.first}/note", json={"alias": "champion", "description": "secret"})
    assert stranger.program.get(f"{API}/{story.first}").status_code == 404
    assert stranger.program.put(f"{API}/{story.theirs}/note", json={"alias": "champion"}).status_code == 200
    assert alice.program.get(f"{API}/{story.first}").json()["alias"] == "champion"
