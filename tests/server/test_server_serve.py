"""The processes of the platform: they listen, say where, and end in order."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from tests.server.federation import found_project
from typer.testing import CliRunner

from foedus.client.cli import app as commands
from foedus.core.errors import FoedusError
from foedus.server.auth import browsers
from foedus.server.auth.actors import ALL_SCOPES, Actor
from foedus.server.db import User
from foedus.server.platform import Platform, open_platform
from foedus.server.serve import GRACE_S, address_of, foedus, listen, run_together
from foedus.server.services import new_run
from foedus.site.settings import read_settings

WATCHING = 200
FOREVER = "import signal; signal.pause()"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_port_that_is_taken_is_named_with_the_process_that_has_it() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(FoedusError, match=f"port {port}") as caught:
            listen("127.0.0.1", port)
        assert f"end process {os.getpid()}, which has it" in caught.value.hint


def test_a_foreign_address_is_refused() -> None:
    with pytest.raises(FoedusError, match=r"cannot listen on 203\.0\.113\.1"):
        listen("203.0.113.1", 0)


def test_listening_everywhere_is_found_on_this_machine() -> None:
    with listen("0.0.0.0", 0) as listening:  # noqa: S104
        assert address_of(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_when_one_process_ends_all_end_and_it_is_named(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    other = f"import os; open({str(noted)!r}, 'w').write(str(os.getpid())); {FOREVER}"
    has_begun = f"os.path.exists({str(noted)!r}) and open({str(noted)!r}).read()"
    wait = f"import os\nwhile not ({has_begun}): pass\nexit(3)"
    with pytest.raises(FoedusError, match=r"the worker process ended by itself \(exit code 3\)"):
        run_together({"web": python(other), "worker": python(wait)})
    with pytest.raises(ProcessLookupError):
        os.kill(int(noted.read_text()), 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_without_an_error(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    tell = f"import os; os.kill(os.getppid(), {int(number)}); {FOREVER}"
    run_together({"web": python(FOREVER), "worker": python(tell)})
    assert signal.getsignal(number) is before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_no_process_outlives_the_command_that_is_killed(tmp_path: Path) -> None:
    command = foedus("up", "--home", str(tmp_path / "home"), "--port", "0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = ""
            while "Foedus is at" not in said or "the worker works" not in said:
                line = process.stdout.readline()
                assert line, f"it ended, and said: {said}"
                said += line
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            assert len(children) == 2
        finally:
            process.kill()
        deadline = time.monotonic() + 10
        while any(_lives(int(child)) for child in children):
            assert time.monotonic() < deadline, "they live on"
            time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_process_that_does_not_end_is_killed() -> None:
    deaf = (
        "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"os.kill(os.getppid(), signal.SIGTERM); {FOREVER}"
    )
    run_together({"web": python(deaf)}, grace_s=0.1)


@pytest.mark.slow
def test_the_web_process_ends_at_once_while_many_watch(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with open_platform(read_settings(home, environ={})) as platform:
        found_project(platform, tmp_path)
        with platform.writing() as db:
            user = db.scalars(select(User).where(User.name == "ada")).one()
            cookie = browsers.sign_in(db, user, platform.server, platform.now(), "test", "127.0.0.1")
            new_run.create_run(db, platform, Actor(user, frozenset(ALL_SCOPES)), "digits", {"rounds": 2})
    with started(home) as (url, process):
        where = httpx.URL(url)
        request = (
            f"GET /runs/digits-1/stream HTTP/1.1\r\nHost: {where.netloc.decode()}\r\n"
            f"Cookie: {browsers.cookie_name(is_https=False)}={cookie}\r\n\r\n"
        )
        watching = [
            socket.create_connection((str(where.host), int(where.port or 0))) for _ in range(WATCHING)
        ]
        try:
            for one in watching:
                one.sendall(request.encode())
            for one in watching:
                _read_until(one, b"id: ")
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert time.monotonic() - begun < GRACE_S
            for one in watching:
                _read_until(one, b"\r\n0\r\n\r\n")  # ended in order, not broken off
        finally:
            for one in watching:
                one.close()


def _read_until(connection: socket.socket, wanted: bytes) -> None:
    connection.settimeout(30)
    heard = b""
    while wanted not in heard:
        part = connection.recv(65536)
        assert part, f"it ended without {wanted!r}: {heard[-300:]!r}"
        heard += part


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with started(tmp_path_factory.mktemp("served")) as found:
        yield found


@contextmanager
def started(home: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start a web process; say where it answers."""
    command = foedus("serve", "--home", str(home), "--port", "0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found
            yield found.group(), process
        finally:
            process.kill()


@pytest.mark.parametrize("options", [["--port", "0"], ["--port", "0", "--host", "localhost"]])
def test_the_command_line_is_in_force(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[Platform, int]] = []

    def answer(app: FastAPI, listening: socket.socket, _: object) -> None:
        found.append((app.state.platform, listening.getsockname()[1]))

    monkeypatch.setattr("foedus.server.serve.serve", answer)
    result = CliRunner().invoke(commands, ["serve", "--home", str(tmp_path / "home"), *options])
    assert result.exit_code == 0, result.output
    [(platform, port)] = found
    assert (platform.server.port, platform.site.origin["server.port"]) == (port, "command line")
    assert ("server.host" in platform.site.origin) == ("--host" in options)
    assert platform.server.host == ("localhost" if "--host" in options else "127.0.0.1")


@pytest.mark.slow
def test_the_web_process_answers_where_it_says_and_ends_in_order(
    served: tuple[str, subprocess.Popen[str]],
) -> None:
    url, process = served
    assert process.stdout is not None
    assert f"{url}/welcome?code=" in process.stdout.readline()
    answer = httpx.get(f"{url}/projects")
    assert answer.status_code == 303
    assert "server" not in answer.headers
    by_proxy = httpx.post(f"{url}/theme", data={"theme": "dark"}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in by_proxy.headers["set-cookie"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
