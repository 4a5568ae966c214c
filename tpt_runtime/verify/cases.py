r"""The tests of a row, read from its column: pairs of input and output, assertions, or calls. Pure.

One JSON text (a data set's list or object becomes one), in any of these forms; a text that is no JSON is Python code.

    [{"input": "1 2\n", "output": "3\n"}, ...]                                pairs; `outputs` lists several that are right
    {"input": ["1 2\n", ...], "output": ["3\n", ...]}                         the same as columns (CodeContests; APPS: inputs)
    ["assert add(1, 2) == 3", ...]                                            assertions (MBPP)
    [{"call": "Solution().add", "arguments": [1, 2], "output": 3}, ...]       calls (LeetCode)
    {"test": "def check(candidate): ...", "entry_point": "add"}               a function that checks (HumanEval)
    {"setup": "import math", "tests": [...]}                                  any of the lists, with code that runs before
"""

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

EXPECTED = (
    'expected pairs ({"input": ..., "output": ...}), assertions ("assert f(1) == 2") or calls ({"call": ..., "output": ...})'
)


class UnusableTests(Exception):
    """Why a text cannot serve as tests, as a sentence for people."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What a program reads, and what it may print."""

    given: str
    accepted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cases:
    """The tests of one row: pairs first, then what calls the program."""

    pairs: tuple[Pair, ...] = ()
    calls: tuple[Mapping[str, Any], ...] = ()
    """As `trial.try_all` takes them."""
    setup: str = ""


def read_cases(text: str) -> Cases:
    """Return the tests in a row's column.

    Raises:
        UnusableTests: they cannot be read, or there are none.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = [text] if text.strip() else []
    setup = ""
    if isinstance(found, dict) and "tests" in found:
        found, setup = found["tests"], found.get("setup", "")
    items = list(_items(found))
    if not items:
        raise UnusableTests(f"no tests; {EXPECTED}")
    if not isinstance(setup, str):
        raise UnusableTests(f"setup is {type(setup).__name__}, expected Python code")
    return Cases(
        tuple(item for item in items if isinstance(item, Pair)),
        tuple(item for item in items if not isinstance(item, Pair)),
        setup,
    )


def _items(found: Any) -> Iterator[Pair | Mapping[str, Any]]:
    if isinstance(found, dict):
        found = list(_columns(found))
    if not isinstance(found, list):
        raise UnusableTests(f"found {type(found).__name__}; {EXPECTED}")
    for number, item in enumerate(found, 1):
        yield _item(item, number)


def _columns(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the tests of an object, which holds them by column, or is one."""
    if "test" in found:
        yield {"code": found["test"], "entryPoint": found.get("entry_point")}
        return
    given, wanted = found.get("input", found.get("inputs")), found.get("output", found.get("outputs"))
    if not isinstance(given, list) or not isinstance(wanted, list):
        yield found
        return
    if len(given) != len(wanted):
        raise UnusableTests(f"{len(given)} inputs, but {len(wanted)} outputs")
    name = found.get("fn_name")
    for one, other in zip(given, wanted, strict=True):
        yield {"call": name, "arguments": one, "output": other} if name else {"input": one, "output": other}


def _item(item: Any, number: int) -> Pair | Mapping[str, Any]:
    if isinstance(item, str):
        item = {"code": item}
    if not isinstance(item, dict):
        raise UnusableTests(f"test {number} is {type(item).__name__}; {EXPECTED}")
    if "input" in item:
        return Pair(_text(item["input"], number, "input"), tuple(_text(o, number, "output") for o in _accepted(item, number)))
    if "code" in item:
        code = _compiled(item["code"], number, "code", "exec")
        return {"code": code, "entryPoint": item["entryPoint"]} if item.get("entryPoint") else {"code": code}
    if "call" in item:
        arguments = item.get("arguments", [])
        if not isinstance(arguments, list):
            raise UnusableTests(f"test {number}: arguments is {type(arguments).__name__}, expected a list")
        called = _compiled(item["call"], number, "call", "eval")
        return {"call": called, "arguments": arguments, "accepted": list(_accepted(item, number))}
    raise UnusableTests(f"test {number} has {', '.join(item) or 'no field'}; {EXPECTED}")


def _accepted(item: dict[str, Any], number: int) -> Iterable[Any]:
    if "outputs" in item:
        if not isinstance(item["outputs"], list) or not item["outputs"]:
            raise UnusableTests(f"test {number}: outputs lists every output that is right, at least one")
        return item["outputs"]
    if "output" not in item:
        raise UnusableTests(f"test {number} has no output")
    return [item["output"]]


def _text(value: Any, number: int, what: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)  # as in APPS, where some rows have a list of lines
    raise UnusableTests(f"test {number}: {what} is {type(value).__name__}, expected text")


def _compiled(code: Any, number: int, what: str, mode: str) -> str:
    """Return code that compiles."""
    if not isinstance(code, str):
        raise UnusableTests(f"test {number}: {what} is {type(code).__name__}, expected Python code")
    try:
        tree = compile(code, what, mode, ast.PyCF_ONLY_AST)
    except (SyntaxError, ValueError) as error:
        raise UnusableTests(f"test {number}: {what} is no Python code: {error}; {EXPECTED}") from error
    if isinstance(tree, ast.Module) and not tree.body:
        raise UnusableTests(f"test {number}: {what} does nothing; {EXPECTED}")
    return code
