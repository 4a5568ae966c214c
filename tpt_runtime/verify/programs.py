"""Finds the program in a solution: markdown with blocks of code, or nothing but code. Pure, and linear in the text.

The last block that is marked with the language counts, since a later one revises an earlier; without any such block the last
unmarked one. Where the program will be called, a block that defines nothing (an example of its use) is passed over if another
one defines something. A block whose fence is never closed ends with the text: a stop string may have taken the fence. A text
without any fence is taken whole; whether it is a program is seen when it is run.
"""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FENCE = re.compile(r"[ \t]*(?:[-*>] |\d+\. )?[ \t]*(`{3,}|~{3,})[ \t]*(.*)")
TAG = re.compile(r"[{.]*([\w+#-]*)")
DEFINES = re.compile(r"^(?:async def|def|class)\s|^\w+\s*=\s*lambda\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """A program."""

    text: str
    fenced: bool
    """Whether it stood in a block of code."""


@dataclass(frozen=True, slots=True)
class _Block:
    tag: str
    text: str


def find_program(solution: str, tags: Sequence[str], *, called: bool) -> Found | None:
    """Return the program in `solution`, None if there is none.

    Args:
        solution: What the model wrote.
        tags: How blocks of the language are marked, in lower case.
        called: Whether tests will call into it.
    """
    blocks = list(_blocks(solution))
    ours = [block for block in blocks if block.tag in tags] or [block for block in blocks if not block.tag]
    if called:
        ours = [block for block in ours if DEFINES.search(block.text)] or ours
    if ours:
        return Found(ours[-1].text, fenced=True) if ours[-1].text.strip() else None
    if blocks or not solution.strip():
        return None
    return Found(solution.replace("\r\n", "\n"), fenced=False)


def _blocks(solution: str) -> Iterator[_Block]:
    """Yield the blocks of code in order."""
    fence, tag, lines = "", "", list[str]()
    for line in solution.replace("\r\n", "\n").split("\n"):
        found = FENCE.fullmatch(line)
        if not fence and found:
            fence, lines = found[1], []
            tag = TAG.match(found[2].strip().lower())[1]  # type: ignore[index]  # it matches nothing at least
        elif fence and found and found[1].startswith(fence) and not found[2].strip():
            yield _Block(tag, _dedented(lines))
            fence = ""
        elif fence:
            lines.append(line)
    if fence:
        yield _Block(tag, _dedented(lines))


def _dedented(lines: list[str]) -> str:
    return textwrap.dedent("\n".join(lines)) + "\n"
