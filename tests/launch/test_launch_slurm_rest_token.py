"""The token for slurmrestd: from a file that only its user can read, in no message, replaced at any time."""

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.launch.fake_slurmrestd import TOKEN, FakeSlurmrestd, fake_slurmrestd, refused

from foedus.launch.slurm import SlurmRest
from foedus.launch.slurm.rest_http import RestClient
from foedus.launch.slurm.rest_token import has_expired, read_token


@pytest.fixture
def fake() -> Iterator[FakeSlurmrestd]:
    with fake_slurmrestd() as running:
        yield running


@pytest.fixture
def rest(fake: FakeSlurmrestd, tmp_path: Path) -> SlurmRest:
    return fake.site(tmp_path)


def test_the_token_is_in_no_message_even_if_it_is_repeated(fake: FakeSlurmrestd, rest: SlurmRest) -> None:
    echo = {"errors": [{"error": f"bad token {TOKEN}"}], "jobs": [TOKEN]}
    fake.says["GET jobs"] = (500, echo)
    client = RestClient(rest, 2.0)
    answer = client.ask("GET", "jobs")
    assert TOKEN not in repr(answer)
    assert "[token]" in repr(answer)
    assert TOKEN not in repr(client) + repr(vars(client))
    for said in ((401, TOKEN.encode()), (200, TOKEN.encode())):
        fake.says["GET jobs"] = said
        assert TOKEN not in refused(rest)


def test_a_new_token_is_used_at_once(fake: FakeSlurmrestd, rest: SlurmRest) -> None:
    fake.jobs()
    client = RestClient(rest, 2.0)
    client.ask("GET", "jobs")
    rest.token_file.write_text("SLURM_JWT=another.token.that-is-newer\n")  # as scontrol prints it
    client.ask("GET", "jobs")
    used = [asked.headers["X-SLURM-USER-TOKEN"] for asked in fake.asked]
    assert used == [TOKEN, "another.token.that-is-newer"]


def as_link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.chmod(0o604),
        lambda file: file.chmod(0o640),
        lambda file: file.chmod(0o620),
        lambda file: file.unlink(),
        lambda file: file.write_text(""),
        lambda file: file.write_text(f"{TOKEN}\r\nX-SLURM-USER-NAME: root"),
        lambda file: file.write_text(f"{TOKEN}\n{TOKEN}"),
        lambda file: file.write_text("a" * 100_000),
        lambda file: file.write_text(f"ä{TOKEN}"),
        as_link,
    ],
)
def test_an_unsafe_token_file_is_not_used(
    fake: FakeSlurmrestd, rest: SlurmRest, spoil: Callable[[Path], object]
) -> None:
    fake.jobs()
    RestClient(rest, 2.0).ask("GET", "jobs")
    spoil(rest.token_file)
    said = refused(rest)
    assert f"the token file {rest.token_file} cannot be used" in said
    assert "scontrol token" in said
    assert TOKEN not in said
    assert len(fake.asked) == 1


def test_only_a_plain_file_is_read(rest: SlurmRest) -> None:
    rest.token_file.unlink()
    os.mkfifo(rest.token_file, 0o600)
    assert "it is not a plain file" in refused(rest)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_token_file_of_somebody_else_is_not_used(fake: FakeSlurmrestd, rest: SlurmRest) -> None:
    os.chown(rest.token_file, 65534, 65534)
    assert "not only yours" in refused(rest)
    assert fake.asked == []


def token_until(moment: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": moment, "sun": "somebody"}).encode()).decode()
    return f"eyJhbGciOiJIUzI1NiJ9.{claims.rstrip('=')}.signature"


def test_an_expired_token_is_named_as_such(fake: FakeSlurmrestd, rest: SlurmRest) -> None:
    client = RestClient(rest, 2.0)
    assert "or the token" in client.unheard("Unspecified error").message
    rest.token_file.write_text(token_until(time.time() + 60))
    assert "or the token" in client.unheard("Unspecified error").message
    rest.token_file.write_text(token_until(time.time() - 60))
    assert f"the token in {rest.token_file} has expired" in client.unheard("Unspecified error").message


@given(st.text() | st.binary().map(lambda data: f"a.{base64.urlsafe_b64encode(data).decode()}.c"))
def test_any_token_can_be_asked_for_its_end(token: str) -> None:
    assert has_expired(token) in (False, True)


def test_a_token_is_read_bare_or_as_printed(rest: SlurmRest) -> None:
    for text in (TOKEN, f"{TOKEN}\n", f"SLURM_JWT={TOKEN}\n"):
        rest.token_file.write_text(text)
        assert read_token(rest.token_file) == TOKEN
