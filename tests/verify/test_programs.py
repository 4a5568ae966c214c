"""Finding the program in a solution."""

import pytest

from tpt_runtime.verify.programs import find_program

TAGS = ("python", "py", "python3")


def text(solution: str, *, called: bool = False) -> str | None:
    found = find_program(solution, TAGS, called=called)
    return None if found is None else found.text.strip()


def block(code: str, tag: str = "python", fence: str = "```") -> str:
    return f"{fence}{tag}\n{code}\n{fence}\n"


@pytest.mark.parametrize("tag", ["python", "Python", "py", "python3", " python ", "{.python}", "python title=main.py"])
def test_a_block_is_python_by_any_of_its_names(tag: str) -> None:
    assert text(f"Here:\n{block('print(1)', tag)}Done.") == "print(1)"


@pytest.mark.parametrize("fence", ["```", "~~~", "````", "  ```", "- ```", "1. ```"])
def test_a_fence_is_a_fence_wherever_it_stands(fence: str) -> None:
    closing = fence.replace("- ", "  ").replace("1. ", "   ")
    assert text(f"{fence}python\nprint(1)\n{closing}") == "print(1)"


def test_a_later_block_revises_an_earlier() -> None:
    assert text(block("print(1)") + "Wait, that is wrong.\n" + block("print(2)")) == "print(2)"


def test_a_block_of_output_is_no_program_beside_one_that_is_marked() -> None:
    assert text(block("print(5)") + "It prints\n" + block("5", "")) == "print(5)"


def test_a_block_of_another_language_is_no_program() -> None:
    assert text(block("print(5)") + block("pip install x", "bash")) == "print(5)"
    assert text(block("int main() {}", "cpp")) is None


def test_without_a_marked_block_the_last_unmarked_one_counts() -> None:
    assert text(block("print(1)", "") + block("print(2)", "")) == "print(2)"


def test_an_example_of_use_does_not_hide_what_is_called() -> None:
    solution = block("def add(a, b):\n    return a + b") + "For example:\n" + block("print(add(1, 2))")
    assert text(solution, called=True) == "def add(a, b):\n    return a + b"
    assert text(solution) == "print(add(1, 2))"
    assert text(block("add = lambda a, b: a + b") + block("add(1, 2)"), called=True) == "add = lambda a, b: a + b"


def test_a_block_that_is_never_closed_ends_with_the_text() -> None:
    assert text("```python\nprint(1)") == "print(1)"


def test_the_indentation_of_a_block_in_a_list_is_taken_away() -> None:
    assert text("1. Do\n   ```python\n   if 1:\n       print(1)\n   ```") == "if 1:\n    print(1)"


def test_a_longer_fence_holds_a_shorter() -> None:
    assert text("````python\nx = '''\n```\n'''\n````") == "x = '''\n```\n'''"


def test_a_text_without_any_fence_is_taken_whole() -> None:
    found = find_program("print(1)\r\nprint(2)\r\n", TAGS, called=False)
    assert found is not None
    assert (found.text, found.fenced) == ("print(1)\nprint(2)\n", False)


@pytest.mark.parametrize("solution", ["", " \n", "```python\n```", "```python\n  \n```"])
def test_nothing_is_no_program(solution: str) -> None:
    assert text(solution) is None
