"""The processes of the platform: they listen, say where, and end in order."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from foedus.core.errors import FoedusError
from foedus.server.serve import address_of, foedus, listen, run_together

FOREVER = "import signal; signal.pause()"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_port_that_is_taken_is_named() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(FoedusError, match=f"port {port}"):
            listen("127.0.0.1", port)


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
def test_a_process_that_does_not_end_is_killed() -> None:
    deaf = (
        "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"os.kill(os.getppid(), signal.SIGTERM); {FOREVER}"
    )
    run_together({"web": python(deaf)}, grace_s=0.1)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    home = tmp_path_factory.mktemp("served")
    command = foedus("serve", "--home", str(home), "--port", "0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found
            assert f"{found.group()}/welcome?code=" in process.stdout.readline()
            yield found.group(), process
        finally:
            process.kill()


@pytest.mark.slow
def test_the_web_process_answers_where_it_says_and_ends_in_order(
    served: tuple[str, subprocess.Popen[str]],
) -> None:
    url, process = served
    answer = httpx.get(f"{url}/projects")
    assert answer.status_code == 303
    assert "server" not in answer.headers
    by_proxy = httpx.post(f"{url}/theme", data={"theme": "dark"}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in by_proxy.headers["set-cookie"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
