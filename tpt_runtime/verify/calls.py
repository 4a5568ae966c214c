"""Lets tests call a generated program that lives in another process: both ends of the conversation.

The program's process knows its own text and the arguments of each call, never what is expected; so it can neither print that
nor replace what compares, and if it ends, it has not passed. The tests' process has the tests. One line of JSON goes each way:
a request names an object by its number (0 is the program's module), and what to do with it. Objects that are no plain values
stay in the program's process, where the tests hold them by a `Remote`.
"""

import builtins
import importlib
import json
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import IO, Any

from tpt_runtime.verify.values import decode, encode, line

MODULE = 0
LONGEST_MESSAGE = 200


class ProgramEnded(Exception):
    """The program's process is gone, or speaks no more as agreed."""


class ProgramError(Exception):
    """The program raised an error that is none of Python's own."""


class Answers:
    """The program's end: carries out requests on its objects until the other end is closed."""

    def __init__(self, module: ModuleType, requests: IO[bytes], replies: IO[bytes]) -> None:
        """Answer `requests` about `module`."""
        self._objects: list[Any] = [module]
        self._requests, self._replies = requests, replies

    def serve(self) -> None:
        """Say which names there are, then answer."""
        self._send({"names": dict(self._names(vars(self._objects[MODULE])))})
        for text in self._requests:
            self._send(self._answer(json.loads(text)))

    def _names(self, found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, value in found.items():
            if not name.startswith("_"):
                yield name, {"module": value.__name__} if isinstance(value, ModuleType) else {"value": encode(value, self._keep)}

    def _keep(self, value: Any) -> int:
        self._objects.append(value)
        return len(self._objects) - 1

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            subject = self._objects[request["of"]]
            arguments = decode(request["arguments"], self._objects.__getitem__)
            named = decode(request["named"], self._objects.__getitem__)
            before = [encode(argument, self._keep) for argument in arguments]
            value = encode(ACTIONS[request["do"]](subject, *arguments, **named), self._keep)
            after = [encode(argument, self._keep) for argument in arguments]
            changed = {str(index): new for index, (old, new) in enumerate(zip(before, after, strict=True)) if old != new}
            return {"value": value, "changed": changed}
        except Exception as error:  # noqa: BLE001 - whatever the program raised is told to the tests
            return {"error": type(error).__name__, "message": str(error)[:LONGEST_MESSAGE]}

    def _send(self, message: dict[str, Any]) -> None:
        self._replies.write(line(message))
        self._replies.flush()


ACTIONS: Mapping[str, Callable[..., Any]] = {
    "call": lambda subject, *arguments, **named: subject(*arguments, **named),
    "get": getattr,
    "set": setattr,
    "item": operator.getitem,
    "length": len,
    "list": list,
    "text": str,
}
"""What can be asked of an object of the program."""


class Program:
    """The tests' end: the names of the program, as plain values and as objects that can be called."""

    def __init__(self, replies: IO[bytes], requests: IO[bytes]) -> None:
        """Wait until the program is loaded."""
        self._replies, self._requests = replies, requests
        self.calls = 0
        """How often the program was asked to compute something."""
        names = self._receive().get("names")
        if not isinstance(names, dict):
            raise ProgramEnded("it did not load")
        self.names = dict(self._usable(names))

    def _usable(self, names: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield what tests may find under the program's names: nothing of Python's own that the program has replaced."""
        for name, what in names.items():
            if what.get("module") in sys.stdlib_module_names:
                yield name, importlib.import_module(what["module"])
            elif "value" in what and not hasattr(builtins, name) and name not in sys.stdlib_module_names:
                yield name, decode(what["value"], self._remote)

    def _remote(self, number: int) -> "Remote":
        return Remote(self, number)

    def ask(self, what: str, of: int, arguments: tuple[Any, ...], named: dict[str, Any] | None = None) -> Any:
        """Have the program do something, and return the value; arguments that it changed in place are changed here too."""
        self.calls += what in ("call", "list")
        request = {"do": what, "of": of, "arguments": encode(list(arguments), _number), "named": encode(named or {}, _number)}
        try:
            self._requests.write(line(request))
            self._requests.flush()
        except BrokenPipeError:
            raise ProgramEnded("it ended") from None
        reply = self._receive()
        if "error" in reply:
            raise _error(str(reply["error"]), str(reply.get("message", "")))
        for index, new in reply.get("changed", {}).items():
            _change(arguments[int(index)], decode(new, self._remote))
        return decode(reply["value"], self._remote)

    def _receive(self) -> dict[str, Any]:
        text = self._replies.readline()
        if not text:
            raise ProgramEnded("it ended")
        reply = json.loads(text)
        if not isinstance(reply, dict):
            raise ProgramEnded("it answered with something else")
        return reply


class Remote:
    """An object of the program: it can be called and looked into.

    It equals nothing but itself: two numbers that are the same prove nothing, since the program chooses them.
    """

    def __init__(self, program: Program, number: int) -> None:
        """Stand for the object `number`."""
        self.__dict__.update(_program=program, _number=number)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Have the program call it."""
        return self._program.ask("call", self._number, arguments, named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._program.ask("get", self._number, (name,))

    def __setattr__(self, name: str, value: Any) -> None:
        self._program.ask("set", self._number, (name, value))

    def __getitem__(self, key: Any) -> Any:
        return self._program.ask("item", self._number, (key,))

    def __len__(self) -> int:
        return int(self._program.ask("length", self._number, ()))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._program.ask("list", self._number, ()))

    def __str__(self) -> str:
        return str(self._program.ask("text", self._number, ()))

    def __bool__(self) -> bool:
        return True


def _number(value: Any) -> int:
    """Return the number of an object of the program; nothing else that is no plain value can be handed to it."""
    if isinstance(value, Remote):
        return int(value._number)  # noqa: SLF001 - its own module
    raise TypeError(f"{type(value).__name__}: tests hand plain values to a program, or objects of its own")


def _change(argument: Any, new: Any) -> None:
    """Do to an argument what the program did to its copy."""
    if isinstance(argument, list | bytearray):
        argument[:] = new
    elif isinstance(argument, dict | set):
        argument.clear()
        argument.update(new)


def _error(name: str, message: str) -> Exception:
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(message)
        except TypeError:  # such as UnicodeDecodeError, which wants more
            return ProgramError(f"{name}: {message}")
    return ProgramError(f"{name}: {message}")
