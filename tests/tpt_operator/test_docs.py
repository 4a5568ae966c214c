"""docs/operator.md says what the code does: every reason, condition, event, metric and flag stands in both, or in neither."""

import json
import re
import subprocess
from pathlib import Path

from tests.prometheus import program
from tpt_operator import controller, ending, health
from tpt_operator.__main__ import main
from tpt_operator.cache import Cache
from tpt_operator.metrics import Measures, Runs
from tpt_operator.pods import METRICS_PORT
from tpt_operator.settings import Images, Settings
from tpt_runtime.core.actions import EventReason
from tpt_runtime.core.conditions import Standing, conditions
from tpt_runtime.core.crd import COLUMNS
from tpt_runtime.core.plan import TERMINATING_NOTICE
from tpt_runtime.core.status import ConditionType, Reason
from tpt_runtime.step.metrics import DESCRIPTIONS

TEXT = (Path(__file__).parents[2] / "docs" / "operator.md").read_text(encoding="utf-8")
DEFAULTS = Settings(images=Images("", "", ""))


def section(title: str) -> str:
    """Return what stands below one heading, up to the next one of its level or above."""
    marks = re.search(rf"^(#+) {title}$", TEXT, re.MULTILINE)
    assert marks, f"docs/operator.md has no section {title}"
    rest = TEXT[marks.end() :]
    return re.split(rf"^#{{1,{len(marks[1])}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def table(title: str) -> dict[str, list[str]]:
    """Return the rows of a section's tables: from what the first cell names to the other cells."""
    rows = [line.strip("|").split(" | ") for line in section(title).splitlines() if line.startswith("| `")]
    found = {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}
    assert len(found) == len(rows) > 0, f"{title}: something stands there twice"
    return found


def metrics() -> dict[str, set[str]]:
    """Return every metric that the operator serves with its own labels."""
    measures = Measures()
    told = {family.name: set(family._labelnames) for family in Runs(Cache().runs).collect()}
    for collector in measures.registry._collector_to_names:
        for family in collector.describe():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            told[name] = set(collector._labelnames)
    return told


def test_every_condition_is_explained():
    assert set(table("Conditions")) == {kind.value for kind in ConditionType}


def test_every_reason_is_explained():
    assert set(table("Reasons")) == {reason.value for reason in Reason}


def test_a_reason_names_conditions_only():
    kinds = {kind.value for kind in ConditionType}
    for reason, (where, meaning) in table("Reasons").items():
        named = set(re.findall(r"[A-Z]\w+", where))
        assert named <= kinds, reason
        assert named or where.startswith("all"), reason
        assert meaning, reason


def test_every_event_is_explained():
    assert set(table("Events")) == {reason.value for reason in EventReason}
    assert {kind for kind, _ in table("Events").values()} == {"Normal", "Warning"}


def test_every_metric_is_explained_with_its_labels():
    documented = {name: set(re.findall(r"`(\w+)`", cells[0])) for name, cells in table("Metrics").items()}
    served = metrics()
    assert set(documented) == set(served)
    for name, labels in served.items():
        assert documented[name] == labels - {"namespace", "run"}, name


def test_every_gauge_of_a_step_is_named():
    assert set(re.findall(r"`(tpt_step_\w+)`", section("Metrics").partition("Pods serve")[2])) == {
        f"tpt_step_{name}" for name in DESCRIPTIONS
    }
    assert f"port {METRICS_PORT}" in section("Metrics")


def test_no_expression_of_the_runbook_asks_for_a_metric_that_is_not_there():
    asked = set(re.findall(r"\btpt_\w+", section("Runbook"))) - {"tpt_operator"}
    assert asked
    assert asked <= set(metrics())


def test_prometheus_can_read_every_expression_of_the_runbook(tmp_path):
    states = re.split(r"^### ", section("Runbook"), flags=re.MULTILINE)[1:]
    expressions = [found for state in states for found in re.findall(r"`([^`]+)`", state.split("\n\n")[1])]
    assert len(expressions) >= len(states) > 4
    rules = [{"alert": f"Alert{number}", "expr": expression} for number, expression in enumerate(expressions)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "runbook", "rules": rules}]}))
    command = [program("promtool"), "check", "rules", str(tmp_path / "rules.yml")]
    checked = subprocess.run(command, capture_output=True, check=False, timeout=60, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(expressions)} rules found" in checked.stdout


def test_every_reason_to_fail_or_to_wait_that_a_person_must_act_on_is_in_the_runbook():
    for reason in (Reason.SUMMARY_UNAVAILABLE, Reason.WAITING_FOR_RESOURCES, Reason.STEP_TERMINATING, Reason.BACKING_OFF):
        assert f"`{reason.value}`" in section("Runbook")


def test_every_flag_stands_there_with_its_variable_and_its_default():
    flags = {option.opts[0]: option for option in main.params}
    documented = table("How it is started")
    assert set(documented) == set(flags)
    for flag, (variable, default, _) in documented.items():
        option = flags[flag]
        assert variable == f"`TPT_{str(option.name).upper()}`"
        if option.required:
            assert default == "required"
        elif isinstance(option.default, int | float | str):
            assert default == f"{option.default:g}" if isinstance(option.default, float) else str(option.default)


def test_the_numbers_are_those_of_the_code():
    assert f"within {ending.PROCESS_SECONDS:.0f} seconds (then with exit code {ending.EXIT_STUCK})" in TEXT
    assert f"asked every {DEFAULTS.progress_seconds:.0f} seconds" in TEXT
    assert f"(every {DEFAULTS.watch_seconds} s at most)" in TEXT
    assert f"within {health.WATCHES_MISSED * DEFAULTS.watch_seconds} s, everything" in TEXT
    assert f"takes longer than {health.STUCK_SECONDS:.0f} s" in TEXT
    assert health.LISTS_MISSED + 1 == 4
    assert TERMINATING_NOTICE.total_seconds() == 600
    assert "after ten minutes" in TEXT


def test_the_columns_are_those_of_the_definition():
    assert [name for name, *_ in COLUMNS] == ["Phase", "Round", "Best", "Suspended", "Age"]
    assert "shows phase, round, the best model's metric, whether it is suspended, and its age" in TEXT


def test_every_condition_speaks_of_the_generation_that_it_was_said_of():
    made = conditions((), Standing(), 7, controller.utc_now())
    assert {condition.type for condition in made} == set(ConditionType)
    assert {condition.observed_generation for condition in made} == {7}
