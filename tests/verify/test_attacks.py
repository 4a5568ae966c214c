"""Attacks on the sandbox: each is contained, and judged like any other program."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.verify.attacks import ENDLESS, FORGED, GREEDY, HARMLESS, PROGRAM, REFUSED
from tpt_runtime.core.verdict import Verdict
from tpt_runtime.core.verifier import Code as Settings
from tpt_runtime.verify import trial
from tpt_runtime.verify.code import Code

HERE = (sys.platform, os.uname().machine)
pytestmark = pytest.mark.skipif(HERE != ("linux", "x86_64"), reason="some attacks are system calls by their numbers on x86-64")

SQUARE = json.dumps([{"input": "7\n", "output": "49\n"}])
CALLED = json.dumps(["assert abs(square(7) - 49) < 1e-6 or square(7) == 49", "assert square(7) == 49"])
TOKEN = "hf_not_for_programs"


@pytest.fixture(scope="module", name="patient")
def patient_fixture() -> Iterator[Code]:
    """A sandbox with time enough for a busy machine, started where a token is in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", TOKEN)
        code = Code(Settings(test_timeout_seconds=60), seconds=120)
        code.warm_up()
        yield code
        code.close()


@pytest.fixture(scope="module", name="hasty")
def hasty_fixture() -> Iterator[Code]:
    code = Code(Settings(test_timeout_seconds=0.3), seconds=60)
    yield code
    code.close()


class Place(NamedTuple):
    """What an attack aims at."""

    secret: Path
    folder: Path
    port: int

    def program(self, attack: str) -> str:
        names = {"SECRET": str(self.secret), "FOLDER": str(self.folder), "PORT": self.port, "CODE": trial.__file__}
        put_in = "".join(f"{name} = {value!r}\n" for name, value in names.items())
        return put_in + PROGRAM.format(attack="\n".join(f"    {line}" for line in attack.splitlines()))

    @property
    def untouched(self) -> bool:
        kept = (
            self.secret.read_text() == TOKEN and self.secret.stat().st_mode & 0o777 == 0o644 and self.secret.stat().st_mtime > 0
        )
        return kept and list(self.folder.iterdir()) == []


@pytest.fixture(name="place")
def place_fixture(tmp_path: Path) -> Iterator[Place]:
    secret, folder = tmp_path / "token", tmp_path / "folder"
    secret.write_text(TOKEN)
    secret.chmod(0o644)
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Place(secret, folder, listening.getsockname()[1])


def fenced(program: str) -> str:
    return f"```python\n{program}\n```"


def test_there_are_enough_attacks() -> None:
    assert len(REFUSED) + len(ENDLESS) + len(GREEDY) + len(FORGED) >= 40
    assert set(HARMLESS) <= set(REFUSED)


@pytest.mark.parametrize("name", REFUSED)
def test_a_program_that_may_not(name: str, patient: Code, place: Place) -> None:
    grade = patient.grade(fenced(place.program(REFUSED[name])), SQUARE)
    assert (grade.verdict, grade.pattern) == (Verdict.CORRECT, "all tests"), "refused, the program goes on and is right"
    assert place.untouched


@pytest.mark.parametrize("name", HARMLESS)
def test_an_attack_that_works_where_nothing_refuses_it(name: str, place: Place) -> None:
    plain = subprocess.run(
        [sys.executable, "-S", "-c", place.program(REFUSED[name])],
        input="7\n",
        capture_output=True,
        text=True,
        cwd=place.folder,
        start_new_session=True,
        check=False,
    )
    assert "ESCAPED" in plain.stdout, plain.stderr


@pytest.mark.parametrize("name", ENDLESS)
def test_a_program_without_end_is_ended(name: str, hasty: Code) -> None:
    grade = hasty.grade(fenced(ENDLESS[name]), SQUARE)
    assert (grade.verdict, grade.pattern) == (Verdict.TIMED_OUT, "test 1: time limit")


@pytest.mark.parametrize("name", GREEDY)
def test_a_program_that_wants_too_much_is_wrong(name: str, patient: Code) -> None:
    program, why = GREEDY[name]
    grade = patient.grade(fenced(program), SQUARE)
    assert grade.verdict is Verdict.WRONG
    assert grade.pattern is not None
    assert why in grade.pattern
    assert patient.grade(fenced("print(int(input()) ** 2)"), SQUARE).verdict is Verdict.CORRECT, "the next one finds all in order"


@pytest.mark.parametrize("name", FORGED)
def test_a_program_that_passes_for_right_is_wrong(name: str, patient: Code) -> None:
    grade = patient.grade(fenced(FORGED[name]), CALLED)
    assert grade.verdict is Verdict.WRONG, grade.pattern


def test_the_program_that_is_right_is_right(patient: Code) -> None:
    assert patient.grade(fenced("def square(x): return x * x"), CALLED).verdict is Verdict.CORRECT


def test_a_program_finds_nothing_of_another_sample(patient: Code) -> None:
    leave = "import builtins, os, sys\nbuiltins.left = 49\nos.environ['left'] = '49'\nsys.modules['left'] = sys\nprint(0)"
    assert patient.grade(fenced(leave), SQUARE).verdict is Verdict.WRONG
    look = (
        "import builtins, gc, os, sys\n"
        "found = hasattr(builtins, 'left') or 'left' in os.environ or 'left' in sys.modules\n"
        "print('ESCAPED' if found else 49)"
    )
    assert patient.grade(fenced(look), SQUARE).verdict is Verdict.CORRECT


SCAN = """
import ctypes, gc, mmap, os
libc = ctypes.CDLL(None)
libc.memmem.restype = ctypes.c_void_p
here, there = os.pipe()

def is_readable(page):
    if libc.write(there, ctypes.c_void_p(page), 1) != 1:
        return False
    return os.read(here, 1) is not None

def count(backwards):
    for index, byte in enumerate(reversed(backwards)):
        wanted[index] = byte
    return sum(bool(libc.memmem(ctypes.c_void_p(page), 4096, address, len(backwards))) for page in pages)

held = mmap.mmap(-1, 4096)
wanted = (ctypes.c_ubyte * 4096).from_buffer(held)
address = ctypes.c_void_p(ctypes.addressof(wanted))
regions = {id(o) & ~0xfffff for o in gc.get_objects()} | {id(str(n) * 9) & ~0xfffff for n in range(9999)}
pages = [p for region in sorted(regions) for p in range(region, region + 0x100000, 4096) if p != address.value and is_readable(p)]
planted = ["planted in the memory of this one"[:] + str(n) for n in range(3)]
left, never, own = (count(text) for text in (LEFT, NEVER, b"eno siht fo yromem eht ni detnalp"))
print(49 if left == never == 0 and own else f"ESCAPED {left} {never} {own} in {len(pages)} pages")
"""


def test_the_memory_that_a_program_is_forked_with_holds_no_other_program(patient: Code) -> None:
    marker = "left behind by another sample ..."
    for _ in range(3):
        patient.grade(fenced(f"def square(x): return '{marker}'"), CALLED.replace("assert", f"'{marker}'; assert"))
    names = f"LEFT = {marker[::-1].encode()!r}\nNEVER = {b'never in the memory of any sample'[::-1]!r}\n"
    grade = patient.grade(fenced(names + SCAN), SQUARE)
    assert (grade.verdict, grade.pattern) == (Verdict.CORRECT, "all tests")


def test_the_interpreter_that_programs_are_forked_from_ends_with_the_sandbox() -> None:
    code = Code(Settings(test_timeout_seconds=60), seconds=60)
    code.warm_up()
    process = code.sandbox.pid
    assert process is not None
    code.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
