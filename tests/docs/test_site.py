"""The documentation as a site."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site, built strictly: a link to what is not there, or a page that nothing leads to, is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder


FETCHED = {("script", "src"), ("link", "href"), ("img", "src")}


class Fetched(HTMLParser):
    """What a page has a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            value or "" for name, value in attrs if (tag, name) in (("script", "src"), ("link", "href"), ("img", "src"))
        ]


def test_every_page_is_on_the_site_and_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages = list((ROOT / "docs").rglob("*.md"))
    assert len(pages) > 15
    for page in pages:
        name = page.relative_to(ROOT / "docs").with_suffix("")
        built = site / (name.parent if name.name == "index" else name) / "index.html"
        fetched = Fetched()
        fetched.feed(built.read_text(encoding="utf-8"))
        assert fetched.found
        assert [url for url in fetched.found if url.startswith(("http:", "https:", "//"))] == []


def test_links_to_files_that_the_site_does_not_have_are_text_there(site: Path) -> None:
    page = (site / "methods/index.html").read_text(encoding="utf-8")
    assert "star.yaml" in page
    assert 'href="../../examples' not in page
    assert 'href="../examples' not in page


def test_every_link_of_a_page_to_a_file_leads_somewhere() -> None:
    found = 0
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http:", "https:")):
                found += 1
                assert (page.parent / target).exists(), f"{page.name}: {target}"
    assert found > 40
