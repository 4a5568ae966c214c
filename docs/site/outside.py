"""A hook of MkDocs: pages link to files of the repository, which the site does not have; there such a link is its text alone."""

import re
from typing import Any


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the page without links to what lies outside docs/."""
    depth = page.file.src_uri.count("/")
    outside = re.compile(r"\[([^\]]+)\]\((?:\.\./){" + str(depth + 1) + r",}[^)]*\)")
    return outside.sub(r"\1", markdown)
