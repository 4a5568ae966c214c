"""What all models of the schema share: frozen, camelCase on the wire, unknown fields rejected.

It also holds the one mark that sorts settings: `MUTABLE`. What bears it may change while a run is under way and is left out of
the config digests; everything else in a spec is fixed once set, and changes results.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Mutable:
    """The type of the mark `MUTABLE`."""

    def __repr__(self) -> str:
        """Return the mark's name."""
        return "MUTABLE"


MUTABLE = Mutable()
"""Put beside a field's type: `Annotated[int, MUTABLE]`. It changes how a run is carried out, never what comes of it."""

Uri = Annotated[str, Field(min_length=1, max_length=1024)]
ShortText = Annotated[str, Field(min_length=1, max_length=253)]
LongText = Annotated[str, Field(max_length=16384)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Model(BaseModel):
    """Base of every model that is read from or written to JSON or YAML."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    def wire(self) -> dict[str, Any]:
        """Return the JSON form: camelCase names; what was never set, and what is None, left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)

    def full_wire(self) -> dict[str, Any]:
        """Return the JSON form with the defaults spelled out; only None is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Self:
        """Read the JSON form back."""
        return cls.model_validate(data)


def is_mutable(model: type[BaseModel], field: str) -> bool:
    """Return whether `field` (its Python name) of `model` bears the mark `MUTABLE`."""
    return any(isinstance(mark, Mutable) for mark in model.model_fields[field].metadata)


def fixed_settings(model: Model) -> dict[str, Any]:
    """Return what determines results: the JSON form less defaults and less everything `MUTABLE`, at every depth.

    Defaults are left out so that a release that adds a field with a default does not make finished work look stale.
    """
    settings: dict[str, Any] = {}
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        if is_mutable(type(model), name) or value is None or value == info.get_default(call_default_factory=True):
            continue
        alias = info.alias or name
        settings[alias] = fixed_settings(value) if isinstance(value, Model) else _plain(value)
    return settings


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [fixed_settings(item) if isinstance(item, Model) else item for item in value]
    return getattr(value, "value", value)
