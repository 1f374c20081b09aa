"""A page of a real browser, watched: nothing on the console, nothing from elsewhere, nothing hard to use."""

from pathlib import Path
from typing import Any, Final

from playwright.sync_api import ConsoleMessage, Page, Request, Response

AXE: Final = (Path(__file__).parent / "vendor" / "axe-core-4.14.1.min.js").read_text()
_RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_RUN: Final = """async (tags) => {
  const found = await axe.run({ runOnly: { type: "tag", values: tags } });
  return found.violations.flatMap((one) => one.nodes.map(
    (node) => `${one.id}: ${node.target.join(" ")}: ${node.failureSummary}`));
}"""
_OF_ANSWERS: Final = ("Failed to ", "htmx: htmx:sse:error", "htmx: htmx:error")  # browser's and htmx's words
WIDTHS: Final = (1440, 360)
COLOURS: Final = ("light", "dark")


class Watched:
    """A page. `complaints` gathers what must not be: errors on the console, requests to elsewhere."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._origin = origin
        self.expects_error = False  # an answer of 4xx or none, of which the console tells as well
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"error in a script: {error}"))
        page.on("request", self._on_request)

    def go(self, path: str, status: int = 200) -> Response:
        """Open a page of the platform, which must answer with this status."""
        self.expects_error = status >= 400
        answer = self.page.goto(path)
        assert answer is not None
        assert answer.status == status, f"{path} answered {answer.status}"
        return answer

    def check(self) -> None:
        """Look at the page in light and dark, wide and narrow: accessible, and as wide as the screen."""
        self.page.evaluate(AXE)
        found: list[Any] = []
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 900})
            page_width = self.page.evaluate("document.documentElement.scrollWidth")
            if page_width > width:
                found.append(f"{width} px: the page is {page_width} px wide")
            for colours in COLOURS:
                self.page.emulate_media(color_scheme=colours)
                wrong = self.page.evaluate(_RUN, _RULES)
                found += [f"{width} px, {colours}: {one}" for one in wrong]
        headings = self.page.locator("h1").count()
        if headings != 1:
            found.append(f"{headings} h1 instead of one")
        assert not found, "\n".join(found)

    def _on_console(self, message: ConsoleMessage) -> None:
        is_wanted = self.expects_error and any(words in message.text for words in _OF_ANSWERS)
        if message.type in ("error", "warning") and not is_wanted:
            self.complaints.append(f"{message.type} on the console: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self._origin, "data:", "blob:")):
            self.complaints.append(f"request to {request.url}")
