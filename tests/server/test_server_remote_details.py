"""The commands `remote` that show one thing, those for who leads, and to whom a token is given."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.server.loopback import served, token_of
from tests.server.people import Person, join
from typer.testing import CliRunner

from foedus import Client
from foedus.client.cli import app as commands
from foedus.client.remote.logins import Login, find_login, keep_login
from foedus.core.errors import InvalidSpec
from foedus.server.db import AppJob, Dataset, Membership
from foedus.server.platform import Platform

HERE = "http://127.0.0.1:1"
ELSEWHERE = "https://elsewhere.example.org"


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("FOEDUS_SERVER", "FOEDUS_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def origin(platform: Platform, alice: Person) -> Iterator[str]:
    """A platform that Alice is signed in to."""
    with served(platform) as found:
        keep_login(Login(found, token_of(platform, "alice")))
        yield found


def command(*words: str) -> str:
    """Run a command that succeeds; returns what it printed."""
    found = CliRunner().invoke(commands, ["remote", *words])
    assert found.exit_code == 0, found.output
    return found.output


def shown(*words: str) -> dict[str, object]:
    found = json.loads(command(*words, "--format", "json"))
    assert isinstance(found, dict)
    return found


def test_each_thing_is_shown_in_words_and_as_json(origin: str, project: str, story: object) -> None:
    with Client.signed_in() as client:
        version = next(one for one in client.models() if one.values["version"] == 1)
        found = client.connection.each("chain", "transactions", function="register")
        tx = next(one["hash"] for one in found)
    assert shown("project", project)["role"] == "owner"
    assert "alice" in command("project", project)
    assert shown("data", project)["shared"] == []
    assert shown("model", version.cid)["weights"] == version.values["weights"]
    assert version.cid in command("model", version.cid, "--project", project)
    assert json.loads(command("blocks", "--format", "json"))[0]["number"] > 0
    assert shown("block", "1")["number"] == 1
    assert shown("tx", tx)["events"]
    assert "args" in command("tx", tx)
    assert shown("app", "SIM_RENDER")["parameters"]


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize("name", ["projects", "members lungs", "models", "blocks", "transactions", "apps"])
def test_a_list_shows_no_column_that_the_platform_does_not_give(origin: str, name: str) -> None:
    header = command(*name.split()).splitlines()[0].split()
    rows = json.loads(command(*name.split(), "--format", "json"))
    assert set(header) <= set(rows[0])


def test_who_leads_gives_roles_and_lets_people_in(
    origin: str, project: str, platform: Platform, person: Callable[..., Person]
) -> None:
    join(platform, person("bob"), project)
    join(platform, person("carol"), project)
    with platform.writing() as db:
        db.query(Membership).where(Membership.client == "carol").one().state = "asked"
    assert "bob is lead of lungs" in command("role", project, "bob", "lead")
    assert "Let in: 1 of 1" in command("decide", project, "carol")
    with platform.reading() as db:
        found = {one.client: (one.role, one.state) for one in db.query(Membership)}
    assert found["bob"] == ("lead", "active")
    assert found["carol"] == ("member", "active")


def test_a_dataset_is_shown_and_withdrawn(origin: str, platform: Platform, alice: Person) -> None:
    with platform.writing() as db:
        row = Dataset(
            owner_id=alice.user.id, name="scans", kind="images", state="ready", examples=7, request={}
        )
        db.add(row)
        db.flush()
        number = str(row.id)
    assert "scans" in command("dataset", number)
    assert "scans is withdrawn" in command("withdraw", number)


@pytest.fixture
def job(platform: Platform, alice: Person) -> str:
    """A batch job of Alice's that has written a film; returns its number."""
    with platform.writing() as db:
        row = AppJob(
            owner_id=alice.user.id,
            application="SIM_RENDER",
            parameters={"fps": 5},
            resources={},
            folder="sim_render-1",
            state="completed",
        )
        db.add(row)
        db.flush()
        number = str(row.id)
    folder = platform.user_home("alice").root / "jobs" / "sim_render-1"
    (folder / "output").mkdir(parents=True)
    (folder / "out.log").write_text("drawn\n")
    (folder / "output" / "film.gif").write_bytes(b"GIF89a")
    return number


def test_a_batch_job_is_shown_and_its_files_are_fetched(origin: str, job: str, tmp_path: Path) -> None:
    assert "fps 5" in command("job", job)
    assert shown("job", job)["files"] == [{"name": "film.gif", "size_bytes": 6}]
    assert command("log", job) == "drawn\n\n"
    command("job-file", job, "film.gif", "-o", str(tmp_path / "film.gif"))
    assert (tmp_path / "film.gif").read_bytes() == b"GIF89a"


def test_a_file_that_cannot_be_had_leaves_nothing_behind(
    origin: str, job: str, platform: Platform, stranger: Person, tmp_path: Path
) -> None:
    wanted = ["remote", "job-file", job, "no.gif", "-o", str(tmp_path / "x")]
    assert CliRunner().invoke(commands, wanted).exit_code == 1
    keep_login(Login(origin, token_of(platform, stranger.user.name)))
    wanted[3] = "film.gif"
    assert CliRunner().invoke(commands, wanted).exit_code == 1
    assert not list(tmp_path.glob("*x*"))


def test_things_of_others_are_missing(
    origin: str, project: str, story: object, platform: Platform, stranger: Person
) -> None:
    keep_login(Login(origin, token_of(platform, stranger.user.name)))
    for words in (("project", project), ("data", project), ("role", project, "alice", "member")):
        found = CliRunner().invoke(commands, ["remote", *words])
        assert found.exit_code == 1
        assert "there is no such project" in found.output


# --- to whom a token is given ---


def test_a_token_of_the_environment_goes_to_the_platform_of_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep_login(Login(ELSEWHERE, "fed_kept_token"))
    monkeypatch.setenv("FOEDUS_SERVER", HERE)
    monkeypatch.setenv("FOEDUS_TOKEN", "fed_for_here")
    assert find_login() == Login(HERE, "fed_for_here")
    assert find_login(ELSEWHERE) == Login(ELSEWHERE, "fed_kept_token")
    with pytest.raises(InvalidSpec, match="not signed in"):
        find_login("https://third.example.org")


def test_a_token_of_the_environment_needs_a_platform_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep_login(Login(ELSEWHERE, "fed_kept_token"))
    monkeypatch.setenv("FOEDUS_TOKEN", "fed_for_whom")
    with pytest.raises(InvalidSpec, match="FOEDUS_SERVER"):
        find_login()


def test_a_token_of_the_environment_goes_over_no_open_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOEDUS_SERVER", "http://203.0.113.5")
    monkeypatch.setenv("FOEDUS_TOKEN", "fed_for_here")
    with pytest.raises(InvalidSpec, match="plain HTTP"):
        find_login()
