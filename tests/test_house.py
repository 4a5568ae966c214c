"""The rules of the house that no linter knows."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ("tpt_runtime", "tests", "benchmarks", "operator", "images")
MOST_LINES = 400
PLACES = {
    "a home folder": r"(?<![\w.])/(home|Users)/[a-z]\w*|(?<![\w.])/[r]oot/",
    "a work folder": r"(?<![\w.}>])/[w]ork/",
    "a package mirror on disk": r"file:///(opt|srv|mnt)/",
    "a private address": r"\b(10\.\d{1,3}|192\.168|172\.(1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}\b",
    "a private host": r"https?://[\w.-]+\.(internal|corp|lan|intranet)\b",
    "what lies beside the project": r"\.\./shared\b",
}
DISTRIBUTIONS = {
    "ruamel": "ruamel.yaml",
    "vl_convert": "vl-convert-python",
    "websocket": "websocket-client",
    "yaml": "pyyaml",
}
"""Where a distribution is named otherwise than what is imported from it."""
KNOWS_ITS_SURROUNDINGS = ".ci/run"


def modules(*folders: str) -> list[Path]:
    """Return every Python file below the folders; never an empty list, which would test nothing."""
    found = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert found, f"no module in {folders}"
    return found


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def rooms() -> list[str]:
    found = sorted(path.parent.name for path in (ROOT / "tpt_runtime").glob("*/__init__.py"))
    assert "core" in found
    return found


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert ROOT / "pyproject.toml" in paths
    return [path for path in paths if path.is_file()]


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a module imports anywhere, lazily too."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("folder", ["operator", "tests/operator"])
def test_no_folder_shadows_the_standard_library(folder: str):
    assert not (ROOT / folder / "__init__.py").exists()


def test_tests_are_no_packages_and_so_shadow_nothing():
    assert modules("tests")
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_no_folder_of_tests_is_named_like_a_module_of_the_standard_library():
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    assert folders
    assert not folders & sys.stdlib_module_names


@pytest.mark.parametrize("path", modules(*CODE), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is(path: Path):
    assert ast.get_docstring(parsed(path)), f"{path} has no docstring"


@pytest.mark.parametrize("path", modules(*CODE), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_too_long_to_be_read(path: Path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{path} has {lines} lines"


def test_no_module_has_a_name_that_says_nothing():
    empty_words = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}
    assert {path for path in modules(*CODE) if path.stem in empty_words} == set()


def test_core_imports_the_standard_library_and_pydantic_only():
    allowed = sys.stdlib_module_names | {"pydantic", "pydantic_core", "tpt_runtime"}
    foreign = {(path.name, name) for path in modules("tpt_runtime/core") for name in imported(path) - allowed}
    assert foreign == set()


def test_the_set_up_imports_the_standard_library_only():
    allowed = sys.stdlib_module_names | {"tpt_runtime"}
    foreign = {(path.name, name) for path in modules("tpt_runtime/setup") for name in imported(path) - allowed}
    assert foreign == set()


def test_everything_that_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    declared = {re.split(r"[\[<>=;! ]", need)[0].lower().replace("_", "-") for need in needs}
    ours = sys.stdlib_module_names | {"tpt_operator", "tpt_viewer", "tpt_runtime", "tests", "benchmarks", "images"}
    names = {name for path in modules("tpt_runtime", "operator", "tests", "benchmarks") for name in imported(path) - ours}
    assert "pydantic" in names
    assert {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in names} - declared == set()


@pytest.mark.parametrize("path", modules("tpt_runtime/setup"), ids=lambda path: path.name)
def test_an_old_python_can_read_the_set_up(path: Path):
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("room", rooms())
def test_every_room_is_on_the_map(room: str):
    assert f"`{room}/`" in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_decision_has_a_number_of_its_own_and_fits_on_a_page():
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert decisions
    numbers = [path.name[:4] for path in decisions]
    assert numbers == [f"{number:04}" for number in range(1, len(decisions) + 1)]
    assert {path.name for path in decisions if len(path.read_text(encoding="utf-8").splitlines()) > 60} == set()


@pytest.mark.parametrize("place", PLACES)
def test_no_file_names_a_place_on_one_machine(place: str):
    found = set()
    for path in tracked():
        name = str(path.relative_to(ROOT))
        if name != KNOWS_ITS_SURROUNDINGS and re.search(PLACES[place], path.read_text("utf-8", errors="replace")):
            found.add(name)
    assert found == set(), f"{place} is named in {found}"


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("a home folder", " /" + "home/ada/x"),
        ("a home folder", "cd /" + "root/x"),
        ("a work folder", '"/' + 'work/x"'),
        ("a package mirror on disk", "file://" + "/opt/x"),
        ("a private address", "http://192." + "168.1.7/"),
        ("a private host", "https://git" + ".corp/x"),
        ("what lies beside the project", ".." + "/shared/data"),
    ],
)
def test_the_search_finds_what_it_looks_for(place: str, text: str):
    assert re.search(PLACES[place], text)


def test_every_target_of_the_makefile_says_what_it_is_for():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (declared,) = re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    assert set(re.findall(r"^([\w-]+):.* ## \S", text, re.MULTILINE)) == set(declared.split())
