"""The report: what it shows, and that nothing a model wrote can get out of its place."""

import json
import re
from typing import Any

import pytest

from tpt_runtime.core.status import Metric, SampleCounts
from tpt_runtime.report.card import card
from tpt_runtime.report.charts import charts
from tpt_runtime.report.page import page
from tpt_runtime.report.record import Change, RoundRecord, RunRecord, Trace

NASTY = '</script><img src=x onerror="alert(1)"> & "quotes" {{ braces }}'


def record(**more: Any) -> RunRecord:
    base = RoundRecord(
        round=0,
        metrics=[Metric(name="validation/pass@1", value=0.3, low=0.25, high=0.35), Metric(name="eval/pass@1", value=0.31)],
    )
    first = RoundRecord(
        round=1,
        metrics=[Metric(name="validation/pass@1", value=0.6, low=0.55, high=0.65), Metric(name="train/loss", value=0.1234)],
        samples=SampleCounts(total=100, correct=40, wrong=50, unparseable=5, truncated=5),
        examples=30,
        difficulty={"0 %": 3, "100 %": 4},
    )
    return RunRecord(run="demo", namespace="default", metric="pass@1", rounds=[base, first], best_round=1, **more)


def embedded(text: str) -> dict[str, Any]:
    found = re.search(r'<script id="specs" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


def test_the_page_needs_no_network() -> None:
    text = page(record(), "/* bundle */")
    assert not re.findall(r'(?:src|href)=["\']?(?:https?:)?//', text)
    assert "/* bundle */" in text


def test_what_a_model_wrote_stays_text() -> None:
    change = Change(question=NASTY, reference=NASTY, before=0, after=1, before_solution=NASTY, after_solution=NASTY)
    trace = Trace(round=1, set="train", question=NASTY, reference=NASTY, solution=NASTY, verdict="wrong", kept=NASTY)
    nasty = record(changed_set="eval", gained=[change], lost=[change], traces=[trace], settings={"a": NASTY})
    text = page(nasty.model_copy(update={"run": NASTY}), "")
    assert "<img" not in text
    assert text.count("</script>") == 5


def test_the_page_says_how_many_questions_there_are_and_what_was_left_out() -> None:
    counts = {"train": 7099, "validation": 374, "trainTooLong": 3, "trainOverlapping": 1, "validationInEval": 2}
    text = page(record(prompts=counts), "")
    assert "<p>Questions: train 7,099, validation 374. Left out, or worth a look: train too long 3, train overlapping 1" in text
    assert "validation in eval 2.</p>" in text
    assert "Questions:" not in page(record(), "")


def test_the_page_says_what_the_traces_are_a_sample_of() -> None:
    traces = [
        Trace(round=number, set="train", question="q", reference="1", solution="#### 1", verdict="correct", id="a", right=1, of=2)
        for number in (1, 2)
    ]
    text = page(record(traces=traces, traces_from={"validation": 40, "train": 1200}), "")
    assert "A sample: 2 traces of 1,240 (validation 40, train 1,200), some of each round, set and verdict" in text
    assert "Questions with traces of several rounds: 1." in text
    assert "Traces to read" not in page(record(), "")


def test_every_plot_has_its_data() -> None:
    drawn = charts(record())
    assert set(drawn) == {
        "pass@k over rounds, with 95 % intervals by question",
        "Samples of the training questions by verdict",
        "Training questions by the share of right samples",
        "Loss",
    }, "a plot without data is left out"
    pass_at_k = drawn["pass@k over rounds, with 95 % intervals by question"]["data"]["values"]
    assert {(v["round"], v["series"], v["value"]) for v in pass_at_k} == {
        (0, "validation/pass@1", 0.3),
        (0, "eval/pass@1", 0.31),
        (1, "validation/pass@1", 0.6),
    }
    assert list(embedded(page(record(), "")).values()) == list(drawn.values())


def test_every_plot_is_valid_vega_lite() -> None:
    vl_convert = pytest.importorskip("vl_convert", reason="the extra `pruner` brings it")
    for title, spec in charts(record()).items():
        assert vl_convert.vegalite_to_svg(spec).startswith("<svg"), title


def test_the_table_shows_intervals_and_marks_the_best_round() -> None:
    text = page(record(), "")
    assert "30.0% (25.0% to 35.0%)" in text
    assert "<tr class=best><td>1</td>" in text
    assert "<td>40 of 100</td><td>30</td><td>0.1234</td>" in text


def test_the_card_names_the_best_round_and_its_settings() -> None:
    text = card(record(settings={"maxRounds": 1}))
    assert "Best model by validation pass@1: round 1." in text
    assert "| 0 (base) | 30.0% (25.0% to 35.0%) | 31.0% |" in text
    assert '"maxRounds": 1' in text


def test_the_card_fences_settings_that_hold_fences_themselves() -> None:
    text = card(record(settings={"template": "```python\nprint()\n```"}))
    assert text.count("\n````json\n") == 1
    assert text.endswith("\n````\n")
    assert "\n```json\n" in card(record(settings={"template": "plain"}))


def test_a_best_round_that_left_no_record_is_named_without_its_figure() -> None:
    assert "<p>best round 7. Decisions" in page(record().model_copy(update={"best_round": 7}), "")
