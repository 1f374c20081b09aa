"""Take pictures of the platform's pages: `python docs/make_screenshots.py FOLDER`.

Without `--url` the pages are those of the browser tests, with their made-up people. With `--url` and
`--cookie` they are those of a platform that runs. `scripts/install_browser.sh` installs the browser.

`python docs/make_screenshots.py` without a folder makes the pictures that the documentation shows, most of
them of a demo that it starts and watches for a while.
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from PIL import Image
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser.filled import fill
from tests.browser.places import SIGNED_OUT, WITH_PARAMETERS, plain_pages

from foedus.server.serve import foedus

LOOKS = {"light": ("light", 1440, 900), "dark": ("dark", 1440, 900), "phone": ("light", 360, 740)}
"""Names of the looks: colours, width and height."""

SHOWN = Path(__file__).parent / "images" / "platform"
ROUNDS = 60
"""So many rounds of the demo are awaited."""
PASSWORD = "only for pictures"  # noqa: S105 - of an account in a folder that is removed at once
OF_THE_DEMO = {
    "home": ("/", ("light", "phone")),
    "project": ("/projects/digits", ("light",)),
    "data": ("/projects/digits/data", ("light",)),
    "new-run": ("/projects/digits/runs/new", ("light",)),
    "run": ("/runs/digits-1", ("light", "phone")),
    "round": ("/runs/digits-1/rounds/{number}", ("light",)),
    "curves": ("/runs/digits-1/curves", ("dark",)),
    "models": ("/models", ("light",)),
    "model": ("/models/{cid}?project=digits", ("light",)),
    "rewards": ("/projects/digits/rewards", ("light",)),
    "chain": ("/chain", ("dark",)),
    "admin": ("/admin/users", ("light",)),
}
"""Pages of the demo that the documentation shows, and in which looks."""


@contextmanager
def served() -> Iterator[tuple[str, Mapping[str, str]]]:
    """Serve the platform of the browser tests. Yields its address and everybody's cookie."""
    with tempfile.TemporaryDirectory() as folder:
        filled = fill(Path(folder) / "home")
        command = foedus("serve", "--home", str(filled.home), "--port", "0")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FOEDUS_")}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            try:
                assert process.stdout is not None
                found = re.search(r"http://\S+", process.stdout.readline())
                assert found, "the platform did not start"
                yield found.group(), filled.cookies
            finally:
                process.terminate()


@contextmanager
def demo() -> Iterator[tuple[str, str, str, int]]:
    """Run the demo until it has some rounds. Yields its address, the owner's cookie, a model's CID
    and the number of the round that made it.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = foedus("up", "--demo", "--home", folder, "--port", "0")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FOEDUS_")}
        environment["COLUMNS"] = "300"
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            try:
                assert process.stdout is not None
                lines = iter(process.stdout.readline, "")
                said = next((line for line in lines if "code=" in line), "the demo did not start")
                found = re.search(r"(http://\S+)/welcome\?code=(\S+)", said)
                assert found, said
                with httpx.Client(base_url=found[1], timeout=60) as client:
                    _make_accounts(client, found[2])
                    print(f"waiting for {ROUNDS} rounds")
                    while _items(client, "/runs")[0]["round"] < ROUNDS:
                        time.sleep(1)
                    rounds = _items(client, "/runs/digits-1/rounds")
                    last = next(one for one in rounds if one["phase"] == "accepted")
                    yield found[1], client.cookies["foedus"], last["candidate"], last["number"]
            finally:
                process.terminate()


def _make_accounts(client: httpx.Client, code: str) -> None:
    """Make an administrator, who is signed in then, and somebody who waits for approval."""
    made = {
        "code": code,
        "name": "ada",
        "display_name": "Ada",
        "site": "site-d",
        "password": PASSWORD,
    }
    client.post("/welcome", data=made)
    grace = {**made, "name": "grace", "display_name": "Grace"}
    httpx.post(client.base_url.join("/sign-up"), data=grace, timeout=60).raise_for_status()
    while not _items(client, "/runs"):  # the demo makes administrators owners of its project
        time.sleep(0.2)


def _items(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    answer = client.get(path, params={"format": "json"})
    answer.raise_for_status()
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def take_shown() -> None:
    """Write the documentation's pictures in place of the old ones."""
    shutil.rmtree(SHOWN, ignore_errors=True)
    with demo() as (url, cookie, cid, number):
        for name, (path, looks) in OF_THE_DEMO.items():
            take(
                url, cookie, {path.format(cid=quote(cid), number=number): name}, SHOWN, looks, is_whole=False
            )
    with served() as (url, cookies):
        take(url, cookies["alice"], {"/votes": "votes"}, SHOWN, ("light",), is_whole=False)
    for picture in SHOWN.iterdir():
        print(f"{picture.name}: {picture.stat().st_size / 1000:.0f} kB")


def _shrink(picture: bytes) -> bytes:
    """Write a picture in 128 colours, which a page has at most, at a fifth of the size."""
    small = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
        small, "PNG", optimize=True
    )
    return small.getvalue()


def take(
    url: str, cookie: str, names: Mapping[str, str], folder: Path, looks: Sequence[str], is_whole: bool = True
) -> None:
    """Write one picture of each page and look into the folder. `names`: what a path's picture is called."""
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
            for path, name in names.items():
                context.clear_cookies()
                if path not in SIGNED_OUT:
                    context.add_cookies([{"name": "foedus", "value": cookie, "url": url}])
                page = context.new_page()
                answer = page.goto(path)
                if answer and "text/html" in answer.headers.get("content-type", ""):
                    page.wait_for_timeout(300)  # charts are drawn
                    picture = page.screenshot(full_page=is_whole and look != "phone")
                    (folder / f"{name}.{look}.png").write_bytes(_shrink(picture))
                page.close()
            context.close()
        browser.close()


def _name(path: str) -> str:
    return re.sub(r"\W+", "-", path).strip("-") or "home"


def main() -> None:
    """Take the pictures that the command line asks for."""
    parser = argparse.ArgumentParser(description="Take pictures of the platform's pages.")
    parser.add_argument("folder", type=Path, nargs="?", help="none: the pictures of the documentation")
    parser.add_argument("--url", help="address of a platform that runs")
    parser.add_argument("--cookie", default="", help="value of the cookie of somebody signed in there")
    parser.add_argument("--path", action="append", help="only this page; may be repeated")
    parser.add_argument("--look", action="append", choices=LOOKS, help="only this look; may be repeated")
    wanted = parser.parse_args()
    if wanted.folder is None:
        take_shown()
        return
    paths = wanted.path or [*SIGNED_OUT, *plain_pages(), *WITH_PARAMETERS]
    looks = wanted.look or list(LOOKS)
    if wanted.url:
        take(wanted.url, wanted.cookie, {path: _name(path) for path in paths}, wanted.folder, looks)
        return
    with served() as (url, cookies):
        for who, is_theirs in (("root", True), ("alice", False)):
            theirs = {path: _name(path) for path in paths if path.startswith("/admin") == is_theirs}
            take(url, cookies[who], theirs, wanted.folder, looks)


if __name__ == "__main__":
    main()
