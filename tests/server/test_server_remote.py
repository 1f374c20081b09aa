"""A platform from afar: signing in, the commands `remote`, and the Python SDK, over a real port."""

import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.federation import found_project
from tests.server.loopback import served, token_of
from tests.server.people import Person
from typer.testing import CliRunner

from foedus import Client
from foedus.client.cli import app as commands
from foedus.client.remote.connection import RemoteError
from foedus.core.errors import ObjectDamaged
from foedus.server.platform import Platform
from foedus.server.worker.loop import PlatformWorker
from foedus.store import TensorFile
from foedus.store.unixfs import cid_of

SPEC = """
rounds = 2
model = { name = "softmax" }
policy = { beta = -1.0, floor_ratio = 0.0, epsilon = 1.0 }
"""


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("FOEDUS_SERVER", "FOEDUS_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def origin(platform: Platform) -> Iterator[str]:
    with served(platform) as found:
        yield found


def command(*words: str, given: str = "") -> str:
    """Run a command that succeeds; returns what it printed."""
    found = CliRunner().invoke(commands, list(words), input=given)
    assert found.exit_code == 0, found.output
    return found.output


def refused(*words: str, given: str = "") -> str:
    found = CliRunner().invoke(commands, list(words), input=given)
    assert found.exit_code in (1, 2), found.output
    assert found.exception is None or isinstance(found.exception, SystemExit)
    return found.output


# --- signing in ---


def test_signing_in_keeps_the_token_to_oneself(origin: str, platform: Platform, alice: Person) -> None:
    token = token_of(platform, "alice")
    assert "alice" in command("login", origin, "--token-stdin", given=f"{token}\n")
    assert _file().stat().st_mode & 0o777 == 0o600
    assert json.loads(command("whoami", "--format", "json"))["scopes"] == ["read", "write"]
    assert token not in command("whoami")
    command("logout")
    assert "foedus login" in refused("whoami")


def _file() -> Path:
    from foedus.client.remote.logins import logins_file  # noqa: PLC0415 - after the environment is set

    return logins_file()


def test_a_file_that_others_can_read_is_refused(origin: str, platform: Platform, alice: Person) -> None:
    command("login", origin, "--token-stdin", given=f"{token_of(platform, 'alice')}\n")
    _file().chmod(0o644)
    assert "can be read by others" in refused("whoami")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://203.0.113.5", "plain HTTP"),
        ("ftp://example.org", "not the address"),
        ("https://user@example.org", "not the address"),
        ("http://[::1", "not the address"),
        ("https://example.org:port", "not the address"),
    ],
)
def test_tokens_go_to_no_unsafe_place(url: str, words: str) -> None:
    assert words in refused("login", url, "--token-stdin", given="fed_a_b\n")


def test_a_token_that_is_none_or_is_over_is_not_kept(origin: str, alice: Person) -> None:
    assert "begin with fed_" in refused("login", origin, "--token-stdin", given="secret\n")
    assert "foedus login" in refused("login", origin, "--token-stdin", given="fed_a_b\n")
    assert not _file().exists()


def test_what_the_environment_says_comes_first(
    origin: str, platform: Platform, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOEDUS_SERVER", origin)
    monkeypatch.setenv("FOEDUS_TOKEN", token_of(platform, "alice"))
    assert "alice" in command("whoami")


def test_a_platform_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foedus.client.remote.connection._WAIT_S", 0.0)
    monkeypatch.setenv("FOEDUS_SERVER", "http://127.0.0.1:9")
    monkeypatch.setenv("FOEDUS_TOKEN", "fed_a_b")
    assert "does not answer" in refused("whoami")


# --- what a platform has ---


def test_lists_have_the_words_of_the_pages(
    origin: str, platform: Platform, project: str, alice: Person, story: object
) -> None:
    command("login", origin, "--token-stdin", given=f"{token_of(platform, 'alice')}\n")
    assert "lungs" in command("remote", "projects")
    assert "owner" in command("remote", "members", "lungs")
    assert json.loads(command("remote", "models", "--format", "json"))[0]["project"] == "lungs"
    assert "register" in command("remote", "transactions")
    assert "alice" not in command("remote", "runs")
    assert json.loads(command("remote", "search", "lungs"))
    for name in ("datasets", "ballots", "apps", "jobs", "rewards", "runs"):
        json.loads(command("remote", name, "--format", "json"))


def test_a_stranger_learns_nothing(origin: str, platform: Platform, project: str, stranger: Person) -> None:
    with Client(origin, token_of(platform, stranger.user.name)) as client:
        assert list(client.projects()) == []
        with pytest.raises(RemoteError) as error:
            client.project(project)
    assert error.value.status == 404


def test_pages_of_a_list_are_fetched_as_they_are_wanted(
    origin: str, platform: Platform, alice: Person
) -> None:
    with Client(origin, token_of(platform, "alice")) as client:
        for number in range(30):
            client.create_project(f"p-{number}", f"Project {number}")
        slugs = [one.slug for one in client.projects()]
    assert sorted(slugs) == sorted(f"p-{number}" for number in range(30))


def test_what_is_wrong_is_said_field_by_field(origin: str, platform: Platform, alice: Person) -> None:
    with Client(origin, token_of(platform, "alice")) as client, pytest.raises(RemoteError) as error:
        client.create_project("NO SUCH", "")
    assert error.value.status == 422
    assert set(error.value.fields) >= {"title"}
    assert "title" in error.value.message


def test_reading_alone_changes_nothing(origin: str, platform: Platform, alice: Person) -> None:
    with Client(origin, token_of(platform, "alice", "read")) as client:
        with pytest.raises(RemoteError) as error:
            client.create_project("lungs", "Lungs")
        assert list(client.projects()) == []
    assert error.value.status == 403


def test_a_model_that_is_not_what_its_cid_says_is_not_kept(
    origin: str, platform: Platform, project: str, story: object, tmp_path: Path, alice: Person
) -> None:
    with Client(origin, token_of(platform, "alice")) as client:
        cid = next(one for one in client.models() if one.values["version"] == 1).cid
        model = client.model(cid)
        model.values["weights"] = model.cid
        with pytest.raises(ObjectDamaged):
            model.download(tmp_path / "model")
    assert not list(tmp_path.glob("*model*"))


@pytest.mark.slow
def test_a_run_from_its_start_to_the_verified_model(platform: Platform, tmp_path: Path) -> None:
    found_project(platform, tmp_path, asks_votes=True)
    (tmp_path / "spec.toml").write_text(SPEC)
    stop = threading.Event()
    worker = threading.Thread(target=PlatformWorker(platform, stop).run)
    with served(platform) as origin:
        worker.start()
        try:
            command("login", origin, "--token-stdin", given=f"{token_of(platform, 'ada')}\n")
            assert 'name = "softmax"' in command(
                "remote", "run", "digits", str(tmp_path / "spec.toml"), "--check"
            )
            assert "digits-1" in command("remote", "run", "digits", str(tmp_path / "spec.toml"))
            with (
                Client(origin, token_of(platform, "ada")) as ada,
                Client(origin, token_of(platform, "bob")) as bob,
            ):
                _vote_until_over(ada, bob)
                run = ada.run("digits-1")
                events = list(run.watch())
                assert [one.id for one in events] == sorted({one.id for one in events})
                assert list(run.watch(after=events[2].id)) == events[3:]
                assert {one["name"] for one in run.metrics()} >= {"accuracy", "test_f1"}
                model = next(run.models())
                path = model.download(tmp_path / "model.safetensors")
            assert "digits-1 is completed" in command("remote", "watch", "digits-1")
            command("remote", "export", "digits-1", "-o", str(tmp_path / "run.zip"))
            command("remote", "pull", model.cid, "-o", str(tmp_path / "again"), "--project", "digits")
            used = ("remote", "use", model.cid, "further", "--title", "Further", "--project", "digits")
            assert "Founded further" in command(*used)
            assert json.loads(command("remote", "round", "digits-1", "1", "--format", "json"))["clients"]
        finally:
            stop.set()
            worker.join()
    assert cid_of([path.read_bytes()]) == model.values["weights"]
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    with path.open("rb") as file:
        assert TensorFile(file).names()
    assert zipfile.is_zipfile(tmp_path / "run.zip")


def _vote_until_over(*people: Client) -> None:
    run = people[0].run("digits-1")
    for _ in run.watch(poll_s=0.2):
        for person in people:
            for ballot in person.ballots():
                ballot.vote("yes", "fine")
