"""`tpt grade`, `tpt crd` and `tpt demo-model`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tpt_runtime.core.crd import crd_yaml

Tpt = Callable[..., Any]


@pytest.fixture
def traces(here: Path) -> Path:
    rows = [
        {"id": "a", "solution": "It is #### 18", "reference": "18"},
        {"id": "a", "solution": "It is #### 19", "reference": "18"},
        {"id": "b", "solution": "So #### $18", "reference": "9 + 9 = 18\n#### 18"},
        {"id": "b", "solution": "I do not know.", "reference": "9 + 9 = 18\n#### 18"},
    ]
    file = here / "traces.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


class TestGrade:
    def test_it_prints_one_object(self, tpt: Tpt, traces: Path) -> None:
        result = tpt("grade", traces, "--k", "1,2")
        assert result.exit_code == 0
        found = json.loads(result.stdout)
        assert found["verifier"] == "Math"
        assert found["prompts"] == 2
        assert (found["samples"]["total"], found["samples"]["correct"]) == (4, 2)
        assert [(metric["name"], metric["value"]) for metric in found["metrics"]] == [("pass@1", 0.5), ("pass@2", 1.0)]

    def test_the_verifier_can_be_chosen(self, tpt: Tpt, traces: Path) -> None:
        found = json.loads(tpt("grade", traces, "--verifier", "GSM8KStrict").stdout)
        assert found["verifier"] == "GSM8KStrict"
        assert found["samples"]["correct"] == 1

    def test_verdicts_go_to_a_file(self, tpt: Tpt, traces: Path, here: Path) -> None:
        tpt("grade", traces, "--output", "verdicts.jsonl")
        verdicts = [json.loads(line)["verdict"] for line in (here / "verdicts.jsonl").read_text().splitlines()]
        assert verdicts[:3] == ["correct", "wrong", "correct"]

    def test_a_bad_line_is_named(self, tpt: Tpt, here: Path) -> None:
        (here / "bad.jsonl").write_text("{}\n")
        result = tpt("grade", "bad.jsonl")
        assert result.exit_code == 64
        assert "bad.jsonl: line 1" in result.stderr

    def test_an_unknown_verifier_is_named(self, tpt: Tpt, traces: Path) -> None:
        result = tpt("grade", traces, "--verifier", "Maths")
        assert result.exit_code == 64
        assert "Maths" in result.stderr

    def test_k_must_be_numbers(self, tpt: Tpt, traces: Path) -> None:
        result = tpt("grade", traces, "--k", "one")
        assert result.exit_code == 2
        assert "1,10" in result.stderr

    def test_a_verdict_explains_itself(self, tpt: Tpt, traces: Path) -> None:
        result = tpt("grade", traces, "--explain", "--line", "1")
        assert result.exit_code == 0
        lines = [line.split(None, 1) for line in result.stdout.splitlines()]
        assert lines[0] == ["line", "1, id a"]
        assert [line[0] for line in lines[1:]] == ["verdict", "reference", "pattern", "place", "answer", "reason"]

    @pytest.mark.parametrize(
        ("options", "says"),
        [(["--line", "1"], "add --explain"), (["--explain", "--output", "x"], "leave out --explain or --output")],
    )
    def test_options_that_do_not_go_together_are_told(self, tpt: Tpt, traces: Path, options: list[str], says: str) -> None:
        result = tpt("grade", traces, *options)
        assert result.exit_code == 2
        assert says in result.stderr


class TestCrd:
    def test_it_is_printed(self, tpt: Tpt) -> None:
        assert tpt("crd").stdout == crd_yaml()

    def test_it_is_written_under_its_usual_name(self, tpt: Tpt, here: Path) -> None:
        assert tpt("crd", "--output", "crds").exit_code == 0
        assert (here / "crds" / "tpt.dev_selfimprovementruns.yaml").read_text() == crd_yaml()

    def test_a_folder_that_cannot_be_made_is_told(self, tpt: Tpt, here: Path) -> None:
        (here / "file").touch()
        result = tpt("crd", "--output", "file/crds")
        assert result.exit_code == 64
        assert "selfimprovementruns.yaml: cannot be written (" in result.stderr


class TestDemoModel:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [((), ("quickstart", 0)), (("--seed", 3), ("quickstart", 3)), (("--kind", "smollm2"), ("smollm2", None))],
    )
    def test_the_kind_and_the_seed_are_passed_on(
        self, options: tuple[Any, ...], expected: tuple[str, int | None], tpt: Tpt, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[tuple[str, Path, int | None]] = []
        monkeypatch.setattr(
            "tpt_runtime.demo.quickstart.write_quickstart", lambda folder, seed: made.append(("quickstart", folder, seed))
        )
        monkeypatch.setattr("tpt_runtime.demo.smollm2.write_smollm2", lambda folder: made.append(("smollm2", folder, None)))
        assert tpt("demo-model", "somewhere", *options).exit_code == 0
        assert made == [(expected[0], Path("somewhere"), expected[1])]
