"""Writing a resource as YAML that every reader takes for the same: text that could be taken for something else is quoted."""

import io
import re
from typing import Any

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./@-]*")
_WORDS = frozenset(["true", "false", "yes", "no", "on", "off", "y", "n", "null"])


def yaml_text(value: Any) -> str:
    """Return `value` (JSON types) as YAML in block style, keys in their order."""
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import SafeRepresenter

    class Representer(SafeRepresenter):
        """Of its own, since representers are added to a class."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the library gives it
            """Write out what occurs twice: an alias is nothing for people."""
            return True

    Representer.add_representer(str, _represent)
    writer = YAML(typ="safe", pure=True)
    writer.Representer = Representer
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.width = 4096
    text = io.StringIO()
    writer.dump(value, text)
    return text.getvalue()


def _represent(representer: Any, text: str) -> Any:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')
