"""The verifier Code: verdicts, limits, other languages, and what it does where programs cannot be contained."""

import json
import os
import pickle
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.core.choices import Language, Protection, VerifierType, Whitespace
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.core.verifier import Code as Settings
from tpt_runtime.core.verifier import Verifier
from tpt_runtime.verify.code import Code
from tpt_runtime.verify.languages import INTERPRETERS, Interpreter
from tpt_runtime.verify.machine import check_machine
from tpt_runtime.verify.pool import GradingPool
from tpt_runtime.verify.probe import WALLS
from tpt_runtime.verify.protocol import SPARE_SECONDS, Grade, time_limit, verifier_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's own")

CORRECT, WRONG, TIMED_OUT, UNPARSEABLE = Verdict.CORRECT, Verdict.WRONG, Verdict.TIMED_OUT, Verdict.UNPARSEABLE
SUM = json.dumps([{"input": "1 2\n", "output": "3\n"}, {"input": "-1 1\n", "outputs": ["0", "zero"]}])
ADDS = "a, b = map(int, input().split())\nprint(a + b)"


@pytest.fixture(scope="module", name="code")
def code_fixture() -> Iterator[Code]:
    code = Code(Settings(test_timeout_seconds=30), seconds=60)
    yield code
    code.close()


def fenced(program: str, tag: str = "python") -> str:
    return f"So:\n```{tag}\n{program}\n```\n"


def said(grade: Grade) -> tuple[Verdict, str | None]:
    return grade.verdict, grade.pattern


@pytest.mark.parametrize(
    ("program", "verdict", "why"),
    [
        (ADDS, CORRECT, "all tests"),
        ("input(); print(3)", WRONG, "test 2: wrong output"),
        ("input()", WRONG, "test 1: wrong output"),
        (ADDS + "\nraise ValueError('late')", WRONG, "test 1: ValueError: late"),
        (ADDS + "\nexit(3)", WRONG, "test 1: exit code 3"),
        (ADDS + "\nexit()", CORRECT, "all tests"),
        (ADDS + "\nraise SystemExit('no')", WRONG, "test 1: no"),
        ("a, b = map(int, input().split()\nprint(a + b)", WRONG, "test 1: SyntaxError: '(' was never closed (main.py, line 1)"),
        ("import numpy", WRONG, "test 1: ModuleNotFoundError: No module named 'numpy'"),
        (
            f"def main():\n    {ADDS.replace(chr(10), chr(10) + '    ')}\nif __name__ == '__main__':\n    main()",
            CORRECT,
            "all tests",
        ),
        ("import sys\na, b = map(int, sys.stdin.read().split())\nsys.stdout.write(f'{a + b}')", CORRECT, "all tests"),
        ("import os\na, b = os.read(0, 99).split()\nos.write(1, b'%d' % (int(a) + int(b)))", CORRECT, "all tests"),
        ("a, b = open('/dev/stdin').read().split()\nprint(int(a) + int(b))", CORRECT, "all tests"),
        (
            "import threading\ndef main():\n    print(sum(map(int, input().split())))\nthreading.Thread(target=main).start()",
            CORRECT,
            "all tests",
        ),
        ("import atexit\natexit.register(lambda: print(sum(map(int, input().split()))))", CORRECT, "all tests"),
        (
            "import sys\nsys.setrecursionlimit(10**5)\ndef f(n):\n    return n and 1 + f(n - 1)\nassert f(5000)\n" + ADDS,
            CORRECT,
            "all tests",
        ),
        (
            "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\nimport pickle\npickle.dumps(A(1))\n" + ADDS,
            CORRECT,
            "all tests",
        ),
        (
            "import contextlib, os\nwith open(os.devnull, 'w') as f, contextlib.redirect_stdout(f):\n    print(9)\n" + ADDS,
            CORRECT,
            "all tests",
        ),
    ],
)
def test_a_program_is_right_if_it_passes_every_test(code: Code, program: str, verdict: Verdict, why: str) -> None:
    grade = code.grade(fenced(program), SUM)
    assert said(grade) == (verdict, why)
    assert grade.marked


def test_a_program_without_a_fence_is_run_but_not_marked(code: Code) -> None:
    grade = code.grade(ADDS, SUM)
    assert (grade.verdict, grade.marked) == (CORRECT, False)


@pytest.mark.parametrize("solution", ["I cannot do that.", "", "```cpp\nint main() {}\n```", "1. First, read.\n2. Then add."])
def test_prose_is_no_program(code: Code, solution: str) -> None:
    quick = code.grade_quickly(solution, SUM)
    assert said(quick or code.grade(solution, SUM)) == (UNPARSEABLE, "no program")


NODES = """
class Node:
    def __init__(self, val, next=None):
        self.val, self.next = val, next
def f(node):
    last = None
    while node:
        last, node.next, node = node, last, node.next
    return last
"""
CACHE = """
class Cache:
    def __init__(self):
        self.d = {}
    def put(self, key, value):
        self.d[key] = value
    def get(self, key):
        return self.d.get(key, -1)
"""
CALLED: list[tuple[str, Any, bool]] = [
    ("def f(x): return x + 1", ["assert f(1) == 2", "assert f(x=2) == 3"], True),
    ("def f(x): return x + 1", ["assert f(1) == 3"], False),
    (
        "def f(x): return [x, (x, {x}), {x: None}, b'x', 2**100, 1j]",
        ["assert f(1) == [1, (1, {1}), {1: None}, b'x', 2**100, 1j]"],
        True,
    ),
    ("def f(x): x.sort()", ["x = [3, 1]; f(x); assert x == [1, 3]"], True),
    ("def f(d): d['b'] = d.pop('a')", ["d = {'a': 1}; f(d); assert d == {'b': 1}"], True),
    ("def f(): raise KeyError('k')", ["try:\n    f()\nexcept KeyError:\n    pass\nelse:\n    assert False"], True),
    ("class E(Exception): pass\ndef f(): raise E('k')", ["f()"], False),
    ("def f(n): yield from range(n)", ["assert list(f(3)) == [0, 1, 2]", "assert sum(f(4)) == 6"], True),
    ("def f(n): return map(str, range(n))", ["assert f(3) == ['0', '1', '2']"], False),
    (
        NODES,
        ["n = f(Node(1, Node(2)))\nassert (n.val, n.next.val, n.next.next) == (2, 1, None)"],
        True,
    ),
    (
        CACHE,
        ["c = Cache(); c.put(1, 5)\nassert c.get(1) == 5\nassert c.get(2) == -1\nc.d = {2: 7}\nassert c.get(2) == 7"],
        True,
    ),
    ("from math import pi\nlimit = 3", ["assert limit == 3"], False),
    ("import math\nf = math.sqrt", ["assert math.isclose(f(2), 1.41421356, rel_tol=1e-6)"], True),
    ("def f(a, b): return [a / b]", [{"call": "f", "arguments": [1, 3], "output": [0.333333333]}], True),
    ("def f(a): return a", [{"call": "f", "arguments": [2], "outputs": [1, 2]}], True),
    ("class Solution:\n    def f(self, a): return a", [{"call": "Solution().f", "arguments": [[1]], "output": [1]}], True),
    ("def f(a): return a", [{"call": "g", "arguments": [2], "output": 2}], False),
    ("def f(x): return x", {"setup": "def check(g):\n    assert g(1) == 1", "tests": ["check(f)"]}, True),
    ("def f(x): return x", {"test": "def check(c):\n    assert c(1) == 1", "entry_point": "f"}, True),
    ("def f(x): return -x", {"test": "def check(c):\n    assert c(1) == 1", "entry_point": "f"}, False),
    (
        "def f(x): return x\nif __name__ == '__main__':\n    print(f(int(input())))",
        [{"input": "4", "output": "4"}, "assert f(1) == 1"],
        True,
    ),
    ("print('loud')\ndef f(x):\n    print(x)\n    return x", ["assert f(1) == 1"], True),
]


@pytest.mark.parametrize(("program", "tests", "right"), CALLED)
def test_a_program_is_called(code: Code, program: str, tests: Any, right: bool) -> None:
    grade = code.grade(fenced(program), json.dumps(tests))
    assert (grade.verdict is CORRECT) is right, grade.pattern


def test_a_test_that_never_calls_the_program_proves_nothing(code: Code) -> None:
    grade = code.grade(fenced("def f(x): return x"), json.dumps(["def check(c):\n    assert c(1) == 2"]))
    assert said(grade) == (WRONG, "test 1: the test calls nothing of the program")


def test_the_first_failure_is_the_last_test(code: Code, tmp_path: Any) -> None:
    rest = [{"input": "1 2", "output": "4"}] + [{"input": "1 2", "output": "3"}] * 50
    began = code.sandbox.forked
    assert said(code.grade(fenced(ADDS), json.dumps(rest))) == (WRONG, "test 1: wrong output")
    assert code.sandbox.forked == began + 1


def test_one_test_and_all_together_have_a_limit_each() -> None:
    slow = "import time\ninput()\ntime.sleep(0.4)\nprint(3)"
    tests = json.dumps([{"input": "1 2", "output": "3"}] * 40)
    code = Code(Settings(test_timeout_seconds=0.2), seconds=60)
    try:
        assert said(code.grade(fenced(slow), tests)) == (TIMED_OUT, "test 1: time limit")
        code.settings, code.seconds = Settings(test_timeout_seconds=60), 1.0
        began = time.monotonic()
        grade = code.grade(fenced(slow), tests)
        assert grade.verdict is TIMED_OUT
        assert time.monotonic() - began < 10, "not the sixteen seconds that all tests would take"
        called = json.dumps(["f()"] * 40)
        assert said(code.grade(fenced("import time\ndef f(): time.sleep(0.4)"), called)) == (TIMED_OUT, "time limit of all tests")
        code.settings, code.seconds = Settings(test_timeout_seconds=0.2), 60
        assert said(code.grade(fenced("import time\ndef f(): time.sleep(9)"), called)) == (TIMED_OUT, "test 1: time limit")
    finally:
        code.close()


def test_the_rules_of_comparison_are_the_runs() -> None:
    exact = Code(Settings(whitespace=Whitespace.EXACT, tolerance=0, test_timeout_seconds=30), seconds=60)
    try:
        tests = json.dumps([{"input": "", "output": "1 0.50"}])
        assert exact.grade(fenced("print('1 0.50')"), tests).verdict is CORRECT
        assert exact.grade(fenced("print('1  0.50')"), tests).verdict is WRONG
        assert exact.grade(fenced("print('1 0.5000001')"), tests).verdict is WRONG
    finally:
        exact.close()


@pytest.mark.parametrize(
    ("language", "tag", "program", "thief"),
    [
        (
            Language.PERL,
            "perl",
            "use List::Util 'sum'; print sum(split ' ', <STDIN>), \"\\n\";",
            "open(F, '/etc/passwd') or die $!; print <F>;",
        ),
        (Language.BASH, "bash", "read a b\necho $((a + b))", "read line < /etc/passwd && echo $line"),
    ],
)
def test_other_languages_run_in_the_same_sandbox(language: Language, tag: str, program: str, thief: str) -> None:
    if shutil.which(INTERPRETERS[language].program or "") is None:
        pytest.skip(f"no {language.value} here")
    code = Code(Settings(language=language, test_timeout_seconds=30), seconds=60)
    try:
        assert said(code.grade(fenced(program, tag), SUM)) == (CORRECT, "all tests")
        grade = code.grade(fenced(thief, tag), SUM)
        assert grade.verdict is WRONG
        assert "denied" in str(grade.pattern)
        assert code.grade(fenced("exec('/bin/ls');" if tag == "perl" else "exec /bin/ls", tag), SUM).verdict is WRONG
        code.settings = Settings(language=language, test_timeout_seconds=0.3)
        assert code.grade(fenced("while (1) {}" if tag == "perl" else "while :; do :; done", tag), SUM).verdict is TIMED_OUT
    finally:
        code.close()


def test_an_interpreter_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INTERPRETERS, Language.PERL, Interpreter(("perl",), "no-such-interpreter"))
    with pytest.raises(ConfigurationError, match=r"code\.language: needs the program 'no-such-interpreter'"):
        Code(Settings(language=Language.PERL)).warm_up()


def test_tests_that_call_need_python() -> None:
    assert "Python only" in str(Code(Settings(language=Language.BASH)).check_reference('["assert f()"]'))
    assert Code(Settings(language=Language.BASH)).check_reference(SUM) is None
    assert "no tests" in str(Code().check_reference("[]"))


def test_programs_run_on_all_cores_in_workers_of_the_pool() -> None:
    settings = Verifier(type=VerifierType.CODE, timeout_seconds=60, code=Settings(test_timeout_seconds=30))
    stream = [(n, fenced(ADDS if n % 2 else "print(1)"), SUM) for n in range(40)]
    with GradingPool(verifier_of(settings), time_limit("Code", 60), workers=2) as pool:
        verdicts = [grade.verdict for _, grade in pool.grade(stream)]
    assert verdicts == [WRONG, CORRECT] * 20


def test_the_pool_waits_longer_than_the_verifier_does() -> None:
    assert time_limit(VerifierType.CODE, 7) == 7 + SPARE_SECONDS
    assert time_limit(VerifierType.MATH, 7) == 7


def test_a_copy_for_another_process_has_a_sandbox_of_its_own(code: Code) -> None:
    code.warm_up()
    copy = pickle.loads(pickle.dumps(code))  # noqa: S301 - our own
    assert (copy.settings, copy.seconds, copy.protection) == (code.settings, code.seconds, code.protection)
    try:
        assert copy.grade(fenced(ADDS), SUM).verdict is CORRECT
        assert copy.sandbox.pid != code.sandbox.pid
    finally:
        copy.close()


@pytest.fixture(name="without_landlock")
def without_landlock_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the warm interpreter find a kernel without Landlock."""
    from tpt_runtime.verify import sandbox

    blind = sandbox.START.replace("from tpt", "import tpt_runtime.verify.confine as c; c.landlock_version = lambda: 0; from tpt")
    monkeypatch.setattr(sandbox, "START", blind)


def test_without_landlock_required_runs_nothing(without_landlock: None) -> None:
    with pytest.raises(ConfigurationError, match=r"sandbox: Required, but here .* read no files .*\(Linux .*BestEffort") as error:
        check_machine(Verifier(type=VerifierType.CODE))
    assert "write no files" not in str(error.value), "the filter refuses that by itself"


def test_without_landlock_best_effort_runs_and_says_what_is_not_contained(without_landlock: None) -> None:
    settings = Verifier(type=VerifierType.CODE, sandbox=Protection.BEST_EFFORT, code=Settings(test_timeout_seconds=30))
    gap = check_machine(settings)
    assert gap is not None
    assert gap.startswith("sandbox: BestEffort, and on this machine it does not hold that programs read no files")
    code = verifier_of(settings)
    assert isinstance(code, Code)
    try:
        assert code.grade(fenced(ADDS), SUM).verdict is CORRECT
        held = code.sandbox.probe()
        assert [wall for wall in WALLS if not held[wall]] == ["reading"]
    finally:
        code.close()


def test_where_all_is_well_nothing_is_said() -> None:
    assert check_machine(Verifier(type=VerifierType.CODE)) is None
    assert check_machine(Verifier()) is None


def test_another_system_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tpt_runtime.verify.protection.sys.platform", "darwin")
    with pytest.raises(ConfigurationError, match="Code needs Linux, found darwin"):
        check_machine(Verifier(type=VerifierType.CODE))


def test_no_descriptor_is_lost(code: Code) -> None:
    code.grade(fenced(ADDS), SUM)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(5):
        code.grade(fenced(ADDS), SUM)
        code.grade(fenced("def f(): return 1"), json.dumps(["assert f() == 1"]))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_it_is_tried_out_where_no_folder_can_be_written_to(code: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> None:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tpt_runtime.verify.sandbox.tempfile.TemporaryDirectory", nowhere)
    assert all(code.sandbox.probe().values())


def test_a_file_of_solutions_is_graded_and_explained(tmp_path: Path) -> None:
    from tpt_runtime.verify.explain import explain_file
    from tpt_runtime.verify.traces import GradeRequest, grade_file

    traces = tmp_path / "traces.jsonl"
    rows = [{"id": "a", "solution": fenced(program), "reference": SUM} for program in (ADDS, "input(); print(3)")]
    traces.write_text("".join(json.dumps(row) + "\n" for row in rows))
    request = GradeRequest(traces, verifier="Code", timeout_seconds=60)
    found = grade_file(request)
    assert (found["verifier"], found["samples"]["correct"], found["samples"]["wrong"]) == ("Code", 1, 1)
    lines = [" ".join(map(str, line)) for _, told in explain_file(request) for line in told]
    assert any("test 2: wrong output" in line for line in lines), lines
