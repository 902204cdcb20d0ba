"""Takes the picture of the verdict board in the README: python docs/board_picture.py REPORT OUT.png.

REPORT is the folder of a report of `pytest -m quick`. Needs Chromium, and `pip install -e '.[browser]'`.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def main(report: str, out: str) -> None:
    """Take it.

    Args:
        report: Folder of a report.
        out: Where to write the PNG.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 1150}, device_scale_factor=1.5)
        page.goto((Path(report).absolute() / "index.html").as_uri())
        page.screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
