"""The platform as a real process, and a real browser that looks at it."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.browser.filled import Filled, fill
from tests.browser.watched import Watched
from tests.shared import missing

from foedus.server.serve import foedus

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser, started once in a process."""
    path = shutil.which("chromium")
    if path is None:
        missing("chromium; scripts/install_browser.sh installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def filled(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A home folder with people and what they have made."""
    return fill(tmp_path_factory.mktemp("platform") / "home")


@pytest.fixture(scope="session")
def origin(filled: Filled) -> Iterator[str]:
    """Where the platform answers: a web process of its own, on a free port."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FOEDUS_")}
    command = foedus("serve", "--home", str(filled.home), "--port", "0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", said)
            assert found, said
            yield found.group()
        finally:
            process.terminate()


@pytest.fixture
def visit(chromium: Browser, origin: str, filled: Filled) -> Iterator[Callable[..., Watched]]:
    """Open a browser in which somebody is signed in: `visit("alice")`, or nobody: `visit()`.

    What it had to complain about fails the test at its end.
    """
    opened: list[Watched] = []

    def open_for(name: str | None = None, has_script: bool = True) -> Watched:
        context = chromium.new_context(
            base_url=origin, java_script_enabled=has_script, reduced_motion="reduce"
        )
        context.set_default_timeout(10_000)
        if name is not None:
            context.add_cookies([{"name": "foedus", "value": filled.cookies[name], "url": origin}])
        opened.append(Watched(context.new_page(), origin))
        return opened[-1]

    yield open_for
    for one in opened:
        one.page.context.close()
    assert [complaint for one in opened for complaint in one.complaints] == []
