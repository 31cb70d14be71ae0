"""Takes the pictures of docs/images from the demo, in a Chromium: scripts/docs --images.

They are of real QEMUs, so no two runs give the same.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import expect, sync_playwright


if TYPE_CHECKING:
    from playwright.sync_api import Page


IMAGES: Final = Path(__file__).parent / "images"
DEMO: Final = ("-m", "qmp_exporter", "demo", "--web.listen-address", "127.0.0.1:0")
PATIENCE: Final = 180_000
"""Milliseconds until the story of the demo has come to something worth seeing."""

HAPPENED: Final = 25
"""Events before a picture is taken."""


def take(page: Page, url: str, name: str, *, dark: bool, size: tuple[int, int]) -> None:
    """Wait until a disk is in error, and take a picture."""
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme="dark" if dark else "light")
    page.goto(url)
    entries = page.locator("#log li, .timeline tbody tr")
    expect(entries.nth(HAPPENED)).to_be_attached(timeout=PATIENCE)
    page.locator(".trouble b").first.wait_for(timeout=PATIENCE)
    name = f"{name}-dark.png" if dark else f"{name}.png"
    page.screenshot(path=IMAGES / name)
    print(f"wrote docs/images/{name}")


def main() -> int:
    """Take all of them."""
    with subprocess.Popen((sys.executable, *DEMO), stdout=subprocess.PIPE, text=True) as demo:  # noqa: S603 - our own
        try:
            assert demo.stdout is not None  # noqa: S101 - it is a pipe
            found = (re.search(r"http://\S+/", line) for line in demo.stdout)
            url = next(match[0] for match in found if match)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"),
                    args=["--no-sandbox"],
                )
                page = browser.new_page()
                for dark in (False, True):
                    take(page, url, "page", dark=dark, size=(1280, 720))
                    take(page, url, "narrow", dark=dark, size=(390, 844))
                take(page, f"{url}vm?name=web", "machine", dark=False, size=(1280, 860))
                browser.close()
        finally:
            demo.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
