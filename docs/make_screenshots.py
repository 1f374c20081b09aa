"""Take pictures of the platform's pages: `python docs/make_screenshots.py FOLDER`.

Without `--url` the pages are those of the browser tests, with their made-up people. With `--url` and
`--cookie` they are those of a platform that runs. `scripts/install_browser.sh` installs the browser.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser.filled import fill
from tests.browser.places import SIGNED_OUT, WITH_PARAMETERS, plain_pages

from foedus.server.serve import foedus

LOOKS = {"light": ("light", 1440, 900), "dark": ("dark", 1440, 900), "phone": ("light", 360, 740)}
"""Names of the looks: colours, width and height."""


@contextmanager
def served() -> Iterator[tuple[str, str]]:
    """Serve the platform of the browser tests. Yields its address and an administrator's cookie."""
    with tempfile.TemporaryDirectory() as folder:
        filled = fill(Path(folder) / "home")
        command = foedus("serve", "--home", str(filled.home), "--port", "0")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FOEDUS_")}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            try:
                assert process.stdout is not None
                found = re.search(r"http://\S+", process.stdout.readline())
                assert found, "the platform did not start"
                yield found.group(), filled.cookies["alice"]
            finally:
                process.terminate()


def take(url: str, cookie: str, paths: Sequence[str], folder: Path, looks: Sequence[str]) -> None:
    """Write one picture of each page and look into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for look in looks:
            colours, width, height = LOOKS[look]
            context = browser.new_context(
                base_url=url,
                viewport={"width": width, "height": height},
                color_scheme="dark" if colours == "dark" else "light",
                reduced_motion="reduce",
            )
            for path in paths:
                context.clear_cookies()
                if path not in SIGNED_OUT:
                    context.add_cookies([{"name": "foedus", "value": cookie, "url": url}])
                page = context.new_page()
                answer = page.goto(path)
                name = re.sub(r"\W+", "-", path).strip("-") or "home"
                if answer and "text/html" in answer.headers.get("content-type", ""):
                    page.screenshot(path=folder / f"{name}.{look}.png", full_page=look != "phone")
                page.close()
            context.close()
        browser.close()


def main() -> None:
    """Take the pictures that the command line asks for."""
    parser = argparse.ArgumentParser(description="Take pictures of the platform's pages.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", help="address of a platform that runs")
    parser.add_argument("--cookie", default="", help="value of the cookie of somebody signed in there")
    parser.add_argument("--path", action="append", help="only this page; may be repeated")
    parser.add_argument("--look", action="append", choices=LOOKS, help="only this look; may be repeated")
    wanted = parser.parse_args()
    paths = wanted.path or [*SIGNED_OUT, *plain_pages(), *WITH_PARAMETERS]
    looks = wanted.look or list(LOOKS)
    if wanted.url:
        take(wanted.url, wanted.cookie, paths, wanted.folder, looks)
        return
    with served() as (url, cookie):
        take(url, cookie, paths, wanted.folder, looks)


if __name__ == "__main__":
    main()
