"""The CRD: generated whole, from the models alone, and never by leaving something out."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import pytest
import yaml as yaml_1_1
from pydantic import Field

from tests.core.corpus import BASE, changed, corpus
from tpt_runtime.artifacts.yaml import parse_resources
from tpt_runtime.core import crd as generated
from tpt_runtime.core.crd import COLUMNS, FILE, LIST_KEYS, Inexpressible, crd, crd_yaml, resource_schema, schema_at, structural
from tpt_runtime.core.errors import InvalidResource
from tpt_runtime.core.model import Model
from tpt_runtime.core.resource import parse_run
from tpt_runtime.core.rules import RULES

SCHEMA = resource_schema()
FOLDER = Path(__file__).parents[2] / "crds"


def nodes(schema, path=""):
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    for below in ("items", "additionalProperties"):
        if below in schema:
            yield from nodes(schema[below], f"{path}[]")


def with_defaults(value, schema):
    """Fill in defaults as the API server does."""
    if not isinstance(value, dict):
        return value
    fields = schema.get("properties", {})
    given = {**{name: field["default"] for name, field in fields.items() if "default" in field}, **value}
    return {name: with_defaults(item, fields[name]) for name, item in given.items()}


def test_the_file_in_the_repository_is_what_the_models_say():
    committed = (FOLDER / FILE).read_text(encoding="utf-8")
    assert committed == crd_yaml(), "the schema has changed: run `make generate`"


def test_the_text_is_the_same_every_time_and_small_enough_for_client_side_apply():
    assert crd_yaml() == crd_yaml()
    assert len(crd_yaml().encode()) < 200 * 1024


def test_yaml_1_1_and_1_2_read_the_same_crd():
    assert parse_resources(crd_yaml(), "crd") == [crd()]
    assert yaml_1_1.safe_load(crd_yaml()) == crd()


def test_the_resource_has_its_names_and_stays_out_of_the_category_all():
    spec = crd()["spec"]
    assert crd()["metadata"]["name"] == "selfimprovementruns.tpt.dev"
    assert spec["names"]["shortNames"] == ["sir"]
    assert "categories" not in spec["names"]
    assert spec["scope"] == "Namespaced"
    (version,) = spec["versions"]
    assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)
    assert version["subresources"] == {"status": {}}


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column[0])
def test_a_printer_column_shows_a_field_that_exists(column):
    _, kind, path, _ = column
    if not path.startswith(".metadata"):
        assert schema_at(SCHEMA, path.removeprefix("."))["type"] == kind


@pytest.mark.parametrize("path", LIST_KEYS)
def test_the_key_of_a_merged_list_is_always_there(path):
    node = schema_at(SCHEMA, path)
    assert node["x-kubernetes-list-type"] == "map"
    assert node["x-kubernetes-list-map-keys"] == [LIST_KEYS[path]]
    assert LIST_KEYS[path] in node["items"]["required"]


def test_every_node_has_a_type_and_every_field_of_the_spec_a_description():
    seen = list(nodes(SCHEMA))
    assert len(seen) > 150
    for path, node in seen:
        assert isinstance(node["type"], str), path
        assert not {"$ref", "anyOf", "allOf", "title", "const", "nullable"} & set(node), path
        if path.startswith((".spec", ".status")) and not path.endswith("[]"):
            assert node["description"], path


def test_everything_is_bounded():
    for path, node in nodes(SCHEMA):
        if path in (".apiVersion", ".kind"):
            continue
        if node["type"] == "string":
            assert {"maxLength", "enum"} & set(node) or node["format"] == "date-time", path
        if node["type"] == "array":
            assert node["maxItems"], path
        if "additionalProperties" in node:
            assert node["maxProperties"], path


def test_the_api_server_fills_in_the_same_defaults_as_the_models():
    by_server = with_defaults(BASE["spec"], schema_at(SCHEMA, "spec"))
    by_models = parse_run(BASE, "run.yaml").full_wire()["spec"]
    assert by_server == by_models


def test_a_sections_default_holds_what_the_rules_of_the_section_read():
    # The API server evaluates the rules on the default as it stands, before it fills in nested defaults.
    for rule in RULES:
        section = schema_at(SCHEMA, rule.path) if rule.path else {}
        for name in {path.split(".")[0] for path in rule.reads}:
            if "default" in section and "default" in section["properties"][name]:
                assert name in section["default"], f"{rule.path}.{name}"


def test_bounds_are_spelled_as_openapi_3_0_has_them():
    fraction = schema_at(SCHEMA, "spec.dataset.validation.fraction")
    assert fraction["minimum"] == 0
    assert fraction["exclusiveMinimum"] is True
    assert fraction["maximum"] == 1
    assert fraction["exclusiveMaximum"] is True
    assert schema_at(SCHEMA, "spec.maxRounds")["format"] == "int64"
    assert schema_at(SCHEMA, "status.conditions[].status")["enum"] == ["True", "False", "Unknown"]
    assert schema_at(SCHEMA, "spec.training.from")["enum"] == ["Last", "Base"]
    assert schema_at(SCHEMA, "spec.dataset")["required"] == ["train"]


def test_every_rule_has_its_message_and_field_in_the_crd():
    for rule in RULES:
        found = [item for item in schema_at(SCHEMA, rule.path)["x-kubernetes-validations"] if item["rule"] == rule.cel]
        assert [item["message"] for item in found] == [rule.message]
        assert [item.get("fieldPath", "") for item in found] == [rule.field_path]


@pytest.mark.parametrize("entry", corpus("good"))
def test_what_is_accepted_fits_the_schema(entry):
    run = parse_run(changed(entry), "run.yaml")
    jsonschema.Draft4Validator(schema_at(SCHEMA, "spec")).validate(run.full_wire()["spec"])


@pytest.mark.parametrize("entry", corpus("bad"))
def test_what_is_refused_for_a_value_of_the_spec_does_not_fit_the_schema(entry):
    resource = changed(entry)
    with pytest.raises(InvalidResource) as caught:
        parse_run(resource, "run.yaml")
    (problem,) = caught.value.problems
    if "not a field" in problem.message or any(rule.message in problem.message for rule in RULES):
        return  # unknown fields are refused by strict decoding, and rules are CEL's
    if problem.path.startswith("spec") and "null" not in problem.message and "required" not in problem.message:
        assert not jsonschema.Draft4Validator(schema_at(SCHEMA, "spec")).is_valid(resource["spec"])


Text = Annotated[str, Field(max_length=5)]


class Recursive(Model):
    children: Annotated[list["Recursive"], Field(max_length=2)] = []


class Open(Model):
    model_config = {"extra": "allow"}
    name: Text


REFUSED = {
    "a string without a bound": (str, "maximum length"),
    "a pattern alone": (Annotated[str, Field(pattern="^a$")], "maximum length"),
    "a list without a bound": (list[Text], "maximum of items"),
    "a list of strings without a bound": (Annotated[list[str], Field(max_length=5)], r"field\[\]: .*maximum length"),
    "a list of anything": (Annotated[list[Any], Field(max_length=5)], "no single type"),
    "a map without a bound": (dict[str, Text], "maximum of entries"),
    "a map of strings without a bound": (Annotated[dict[str, str], Field(max_length=5)], r"field\.\*: .*maximum length"),
    "a map of anything": (Annotated[dict[str, Any], Field(max_length=5)], "what its values are"),
    "a map with restricted keys": (Annotated[dict[Text, Text], Field(max_length=5)], "propertyNames"),
    "anything": (Any, "no single type"),
    "one of two types": (int | Text, "one type, not one of 2"),
    "a tuple": (tuple[int, int], "prefixItems"),
    "a set": (Annotated[set[int], Field(max_length=5)], "uniqueItems"),
    "another format": (timedelta, "format duration"),
    "values of several types": (Literal["a", 1], "no single type"),
    "an object that holds itself": (Recursive, "Recursive holds itself"),
    "an object that takes unknown fields": (Open, "must refuse unknown fields"),
}


@pytest.mark.parametrize(("annotation", "words"), REFUSED.values(), ids=REFUSED)
def test_what_a_crd_cannot_express_is_refused_with_its_path(annotation, words):
    class Holder(Model):
        field: annotation  # type: ignore[valid-type]

    class Spec(Model):
        holder: Holder

    with pytest.raises(Inexpressible, match=words) as caught:
        structural(Spec, "spec")
    assert str(caught.value).startswith("spec.holder.field")


def test_what_a_crd_can_express_is_translated():
    class Inner(Model):
        count: int = 3
        text: Text | None = None

    class Whole(Model):
        when: datetime | None = None
        inner: Inner = Inner()
        other: Inner = Inner(count=4)
        tags: Annotated[dict[str, Text], Field(max_length=2)] = {}

    node = structural(Whole, "spec")
    fields = node["properties"]
    assert "required" not in node
    assert fields["when"] == {"type": "string", "format": "date-time"}
    assert fields["inner"]["default"] == {"count": 3}
    assert fields["other"]["default"] == {"count": 4}
    assert fields["tags"]["additionalProperties"] == {"type": "string", "maxLength": 5}


def test_a_path_that_does_not_exist_is_an_error_not_an_empty_schema():
    with pytest.raises(KeyError):
        schema_at(SCHEMA, "spec.sampling.unheardOf")


@pytest.mark.parametrize("key", ["y", "n", "on", "No", "1", "a b", "true", "null", "-", ""])
def test_keys_that_yaml_1_1_misreads_are_quoted(key):
    text = "".join(generated._lines({key: {"on": [1, [], {}, [1.5, None], {"a": True}]}}, 0))
    assert yaml_1_1.safe_load(text) == {key: {"on": [1, [], {}, [1.5, None], {"a": True}]}}
    assert parse_resources(text, "x") == [{key: {"on": [1, [], {}, [1.5, None], {"a": True}]}}]
