"""What a rule over several fields is: a Python check, the same in CEL, a message, two examples."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Fragment = Mapping[str, Any]
"""A JSON merge patch (RFC 7386) on a valid resource: what is None is removed."""

_READ = re.compile(r"\bself\.([A-Za-z_]+(?:\.[A-Za-z_]+)*)(\()?")


@dataclass(frozen=True)
class Rule:
    """One rule over several fields, or over one field where a bound or a pattern alone cannot say it."""

    path: str
    """The object that the rule lies at, as a user writes it: `spec.storage`; empty for the resource itself."""
    check: Callable[[Any], bool]
    """Whether the model at `path` keeps the rule."""
    cel: str
    """The same over the JSON at `path`, with defaults filled in."""
    message: str
    """What must hold."""
    field_path: str
    """The field that an error is shown at, below `path`, with a leading dot."""
    accepts: Fragment
    """A resource that keeps the rule, and would not if the rule were inverted."""
    rejects: Fragment
    """A resource that breaks this rule and no other."""
    hint: str | None = None
    """The way out, where the message does not already say it."""

    @property
    def where(self) -> str:
        """The field that an error is shown at, from the resource's root."""
        return f"{self.path}{self.field_path}".removeprefix(".")

    @property
    def reads(self) -> tuple[str, ...]:
        """The fields that the rule depends on, as paths below `path`, in the order of its CEL."""
        found = (path.rpartition(".")[0] if call else path for path, call in _READ.findall(self.cel))
        return tuple(dict.fromkeys(found))


def at(path: str, fields: Fragment) -> Fragment:
    """Return a fragment whose object at `path` is `fields`."""
    for name in reversed(path.split(".")):
        fields = {name: fields}
    return fields
