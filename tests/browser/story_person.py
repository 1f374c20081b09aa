"""What people do on the pages, as they do it: by what fields, buttons and links are called."""

import json
import time
from pathlib import Path
from typing import Final

from playwright.sync_api import Locator, TimeoutError, expect
from tests.browser.story_platform import FILE
from tests.browser.watched import Watched

from foedus.store import cid_of

_WORDS: Final = "a horse that counts to nine"
_LIMIT_S: Final = 60.0
_LOOK_MS: Final = 1_000


class Person:
    """Somebody at a browser of his own."""

    def __init__(self, name: str, watched: Watched, second: Watched) -> None:
        """Take a browser with two tabs: one to act in, one that is left open to watch a run."""
        self.name, self.watched, self.page, self.second = name, watched, watched.page, second

    def say_who(self) -> None:
        """Fill the form for a new account and send it."""
        self.page.get_by_label("User name").fill(self.name)
        self.page.get_by_label("Password").fill(_WORDS)
        self.page.get_by_label("Your name").fill(self.name.title())
        self.press("Make the account")

    def sign_in(self) -> None:
        """Sign in by password."""
        self.watched.go("/sign-in")
        self.page.get_by_label("User name").fill(self.name)
        self.page.get_by_label("Password").fill(_WORDS)
        self.press("Sign in")
        self.sees(f"Hello, {self.name.title()}")

    def press(self, name: str) -> None:
        """Press a button."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str) -> None:
        """Follow a link of the page's own part, also one that looks like a button."""
        main = self.page.get_by_role("main")
        link = main.get_by_role("link", name=name, exact=True)
        link.or_(main.get_by_role("button", name=name, exact=True)).first.click()

    def sees(self, heading: str) -> None:
        """Expect a page by its heading."""
        expect(self.page.get_by_role("heading", level=1)).to_contain_text(heading)

    def register_data(self) -> None:
        """Find the file in the folder browser, register it, and wait for the worker that reads it."""
        self.watched.go("/datasets")
        self.follow("Register a dataset")
        self.follow("scans/")
        self.follow(FILE)
        self.follow("Use this file")
        self.page.get_by_label("Name", exact=False).fill("bars")
        self.page.get_by_label("Kind").select_option("arrays")
        self.press("Register")
        self.sees("bars")
        self.reload_until(self.page.get_by_role("heading", level=1).get_by_text("ready"))

    def choose_data(self, slug: str, button: str) -> None:
        """Choose the one dataset that is ready, in the form of this button on a project's page of data."""
        self.watched.go(f"/projects/{slug}/data")
        form = self.page.locator("form", has=self.page.get_by_role("button", name=button, exact=True))
        form.get_by_label("Dataset").select_option(index=1)
        self.press(button)

    def watch(self, run: str) -> None:
        """Open the run's page in the second tab."""
        self.second.go(f"/runs/{run}")

    def is_told(self, words: str) -> None:
        """Expect words on the run's page, which is not loaded again meanwhile."""
        expect(self.second.page.locator("[data-live]")).to_contain_text(words, timeout=_LIMIT_S * 1000)
        expect(self.second.page.get_by_text("reconnecting…")).to_be_hidden()

    def vote(self, run: str, number: int) -> None:
        """Wait for the ballot of a round and vote for its candidate."""
        self.watched.go("/votes")
        ballot = self.page.locator("section", has_text=f"{run}, round {number}")
        self.reload_until(ballot)
        ballot.get_by_label("yes").check()
        ballot.get_by_label("Comment").fill("looks good")
        ballot.get_by_role("button", name="Vote").click()
        expect(ballot).to_have_count(0)

    def take_model(self, folder: Path) -> None:
        """Download weights and manifest of the model that is shown: both are what their CIDs say."""
        shown = self.page.locator("dl.facts")
        files: list[Path] = []
        for link in ("Weights", "Manifest"):
            with self.page.expect_download() as taken:
                self.follow(link)
            files.append(folder / taken.value.suggested_filename)
            taken.value.save_as(files[-1])
        weights, manifest = (path.read_bytes() for path in files)
        expect(shown.get_by_title(cid_of(weights))).to_have_count(1)
        expect(shown.get_by_title(cid_of(manifest))).to_have_count(1)
        assert json.loads(manifest)["weights"] == cid_of(weights)

    def reload_until(self, wanted: Locator) -> None:
        """Load the page again and again until it shows something."""
        deadline = time.monotonic() + _LIMIT_S
        while True:
            try:
                wanted.wait_for(timeout=_LOOK_MS)
                return
            except TimeoutError:
                assert time.monotonic() < deadline, self.page.get_by_role("main").inner_text()
                self.page.reload()
