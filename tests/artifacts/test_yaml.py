"""YAML means the same here and to kubectl, or it is refused with its line.

What kubectl reads was seen with kubectl 1.37: `kubectl create --dry-run=client -o json`.
"""

import pytest

from tpt_runtime.artifacts.yaml import LARGEST_FILE, parse_resources, read_resources
from tpt_runtime.core.errors import ConfigurationError, InvalidResource


def read(text):
    (resource,) = parse_resources(text, "run.yaml")
    return resource


def problems_of(text):
    with pytest.raises(InvalidResource) as caught:
        parse_resources(text, "run.yaml")
    return caught.value.problems


SAME = {
    "1e-6": 1e-6,
    "1.0e-6": 1e-6,
    "1E6": 1e6,
    "1e+6": 1e6,
    ".5": 0.5,
    "+.5e3": 500.0,
    "5.": 5.0,
    "-0.25": -0.25,
    "010.5": 10.5,
    "12": 12,
    "+12": 12,
    "-12": -12,
    "0": 0,
    "08": 8,
    "-09": -9,
    "0o17": 15,
    "0x1F": 31,
    "9223372036854775807": 2**63 - 1,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "null": None,
    "Null": None,
    "~": None,
    "": None,
    "tRue": "tRue",
    "yEs": "yEs",
    "1:30": "1:30",
    "190:20:30": "190:20:30",
    "2024-01-01": "2024-01-01",
    "2001-12-14t21:59:43.10-05:00": "2001-12-14t21:59:43.10-05:00",
    "1.2.3": "1.2.3",
    "0o8": "0o8",
    "0b2": "0b2",
    "_1": "_1",
    "._1": "._1",
    ".8_": ".8_",
    "1e": "1e",
    "+": "+",
    ".": ".",
    "=": "=",
    "'yes'": "yes",
    '"010"': "010",
    "!!str 010": "010",
    "!!str yes": "yes",
    "|-\n  yes": "yes",
}


@pytest.mark.parametrize(("text", "value"), SAME.items(), ids=repr)
def test_what_both_read_alike_is_read(text, value):
    found = read(f"key: {text}")["key"]
    assert found == value
    assert type(found) is type(value)


DIFFERENT = {
    "010": ("8", "10"),
    "-010": ("-8", "-10"),
    "0777": ("511", "777"),
    "1_000": ("1000", "text"),
    "09_9": ("99", "text"),
    "1_0.5": ("10.5", "text"),
    ".3_4": ("0.34", "text"),
    "1_e3": ("1000.0", "text"),
    "0b11": ("3", "text"),
    "0b-1": ("-1", "text"),
    "0B1": ("1", "text"),
    "0O17": ("15", "text"),
    "0X1f": ("31", "text"),
    "-0x1F": ("-31", "text"),
    "+0o17": ("15", "text"),
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "on", "On", "ON"], ("true", "text")),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "off", "Off", "OFF"], ("false", "text")),
}


@pytest.mark.parametrize("text", DIFFERENT)
def test_what_kubectl_reads_otherwise_is_refused_with_both_readings(text):
    there, here = DIFFERENT[text]
    (problem,) = problems_of(f"spec:\n  key: {text}\n")
    assert problem.path == "spec.key"
    assert problem.message == f"line 2: `{text}` is {there} to kubectl and {here} in YAML 1.2"
    assert problem.hint is not None
    assert there in problem.hint


@pytest.mark.parametrize(
    "text",
    [".inf", "-.Inf", "+.INF", ".nan", ".NaN", "1e999", "9223372036854775808", "1" * 5000, "0x" + "f" * 17, "0b" + "1" * 70],
)
def test_a_number_that_no_field_can_hold_is_refused(text):
    (problem,) = problems_of(f"key: {text}")
    assert "too large a number" in problem.message
    assert len(problem.message) < 100


def test_everything_ambiguous_is_reported_at_once_with_its_line():
    found = problems_of("a: yes\nb:\n  - 1\n  - 010\nc: {d: 1_000}\n")
    assert [(problem.path, problem.message.split(":")[0]) for problem in found] == [
        ("a", "line 1"),
        ("b[1]", "line 4"),
        ("c.d", "line 5"),
    ]


def test_a_repeated_key_is_refused_with_both_lines():
    (problem,) = problems_of("spec:\n  seed: 1\n  shards: 2\n  seed: 3\n")
    assert problem.path == "spec.seed"
    assert problem.message == "line 4: stands twice, first in line 2"


@pytest.mark.parametrize("key", ["y", "on", "1", "true", "null", "010"])
def test_a_key_that_may_be_more_than_text_is_refused(key):
    found = problems_of(f"{key}: 1")
    assert all("line 1" in problem.message for problem in found)


def test_a_key_that_is_no_scalar_is_refused():
    found = problems_of("? [a, b]\n: 1\n")
    assert "a key must be text" in found[0].message


@pytest.mark.parametrize("text", ["!foo x", "!!int '5'", "!!binary aGk=", "! 5", "!!python/object:os.system {}", "!!set {a, b}"])
def test_tags_are_refused(text):
    (problem,) = problems_of(f"key: {text}")
    assert "tag" in problem.message


def test_aliases_and_merges_are_read_as_kubectl_reads_them():
    text = "a: &x {b: 1, c: 2}\nd: *x\ne: {<<: *x, b: 3}\nf:\n  <<: [{b: 4}, *x]\n"
    found = read(text)
    assert found["d"] == {"b": 1, "c": 2}
    assert found["e"] == {"b": 3, "c": 2}
    assert found["f"] == {"b": 4, "c": 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: *x", "no anchor &x"),
        ("a: &x [*x]", "no anchor &x"),
        ("---\na: &x 1\n---\nb: *x\n", "no anchor &x"),
        ("a: {<<: 5}", "takes a mapping"),
    ],
)
def test_an_alias_without_its_anchor_and_a_merge_of_no_mapping_are_refused(text, words):
    found = problems_of(text)
    assert words in found[0].message


def test_aliases_that_stand_for_billions_of_values_are_refused_quickly():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (problem,) = problems_of("\n".join(lines))
    assert "values once its aliases are written out" in problem.message


def test_nesting_without_end_is_refused():
    (problem,) = problems_of("a: " + "[" * 5000)
    assert "nested too deeply" in problem.message


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: 1\nb: [1, 2\n", "line 3, column 1"),
        ("a: 1\n\tb: 2\n", "line 2, column 1"),
        ("a: 'open\n", "line 2, column 1"),
        ("a: b: c\n", "line 1, column 5"),
        ("a: \x00", "the file"),
        ("a: @b", "line 1, column 4"),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_place(text, where):
    (problem,) = problems_of(text)
    assert problem.path == where
    assert problem.message.startswith("is not YAML: ")


def test_the_resources_of_several_documents_are_read_and_empty_ones_passed_over():
    text = "---\n# a comment\n---\nkind: A\n---\n---\nkind: B\n...\n"
    assert parse_resources(text, "x") == [{"kind": "A"}, {"kind": "B"}]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n---\n", "null"])
def test_a_file_without_a_resource_is_refused(text):
    (problem,) = problems_of(text)
    assert "holds no resource" in problem.message


@pytest.mark.parametrize("text", ["- a\n", "text\n", "5\n"])
def test_a_document_that_is_no_mapping_is_refused(text):
    (problem,) = problems_of(text)
    assert "must be a mapping" in problem.message


def test_a_version_directive_changes_nothing():
    assert problems_of("%YAML 1.1\n---\na: yes\n")[0].path == "a"
    assert read("%YAML 1.1\n---\na: 1e-6\n") == {"a": 1e-6}


def test_json_is_read_too(tmp_path):
    file = tmp_path / "run.json"
    file.write_text('{\n  "kind": "A",\n  "list": [1, 2.5, true, null, "\\u00e9"]\n}\n', encoding="utf-8")
    assert read_resources(file) == [{"kind": "A", "list": [1, 2.5, True, None, "é"]}]


def test_a_byte_order_mark_is_passed_over(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_bytes("\ufeffkind: Ä\n".encode())
    assert read_resources(file) == [{"kind": "Ä"}]


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.yaml: cannot be read: No such file"):
        read_resources(tmp_path / "none.yaml")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        read_resources(tmp_path)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    file = tmp_path / "model.bin"
    file.write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(ConfigurationError, match=r"not a text file in UTF-8 \(byte 3\)"):
        read_resources(file)


def test_a_file_too_large_to_be_a_resource_is_refused_unread(tmp_path):
    file = tmp_path / "model.safetensors"
    with file.open("wb") as sink:
        sink.truncate(LARGEST_FILE + 1)
    with pytest.raises(ConfigurationError, match="no resource file"):
        read_resources(file)
