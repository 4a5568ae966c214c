"""The page that is made from the schema."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tpt_runtime.core.crd import resource_schema
from tpt_runtime.core.reference import reference
from tpt_runtime.core.rules import RULES

PAGE = Path(__file__).parents[2] / "docs/reference.md"


def fields(node: dict[str, Any]) -> Iterator[str]:
    """Yield the name of every field below an object."""
    for name, field in node["properties"].items():
        yield name
        inner = field["items"] if field.get("type") == "array" else field
        if "properties" in inner:
            yield from fields(inner)


def row(name: str, section: str) -> str:
    """Return what the page says of a field."""
    text = reference().partition(f"# `{section}`\n")[2]
    return next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))


def test_the_page_that_is_there_is_the_one_that_would_be_made() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run: make generate"


def test_every_field_and_every_rule_is_on_the_page() -> None:
    schema, page = resource_schema()["properties"], reference()
    names = set(fields(schema["spec"])) | set(fields(schema["status"]))
    assert len(names) > 100
    assert [name for name in sorted(names) if f"| `{name}` |" not in page] == []
    assert [rule.message for rule in RULES if " ".join(rule.message.replace("|", "\\|").split()) not in page] == []


def test_a_row_tells_bounds_default_and_what_is_fixed() -> None:
    assert row("maxRounds", "spec").startswith("| `maxRounds` | integer, at least 1, at most 64 | `4` | Rounds")
    assert row("fraction", "spec.dataset.validation").startswith("| `fraction` | number, above 0, below 1 |  |")
    assert row("uri", "spec.model").endswith("**Required.** **Fixed.** |")
    assert "Fixed" not in row("shards", "spec.sampling")
    assert "| `VLLM` \\| `Transformers` | `VLLM` |" in row("engine", "spec.sampling")


def test_every_link_leads_to_a_heading() -> None:
    page = reference()
    anchors = {re.sub(r"[^a-z0-9]", "", heading.lower()) for heading in re.findall(r"^#+ (`.*`)$", page, re.MULTILINE)}
    links = set(re.findall(r"\]\(#(\w+)\)", page))
    assert links
    assert links <= anchors
