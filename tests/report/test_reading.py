"""The report in a real browser: plots are drawn, traces are filtered and read, a question is followed over the rounds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import browser
from tests.report.test_page import NASTY, record
from tpt_runtime.report.page import page
from tpt_runtime.report.record import Change, Trace

CSS = "css selector"


def trace(number: int, verdict: str, kept: str | None = None, question: str = "b", **more: Any) -> Trace:
    told = {"question": f"What is question {question}?", "reference": "1", "solution": f"solution of {question}: #### 1"}
    fields = {"set": "train", "id": question, "right": 1, "of": 2, **told, **more}
    return Trace(round=number, verdict=verdict, kept=kept, **fields)


TRACES = [
    trace(0, "wrong", question="v", set="validation", right=0),
    trace(1, "correct", "kept", question="a", answer="1"),
    trace(1, "correct", "repeats another sample"),
    trace(1, "wrong", "not correct", right=0),
    trace(2, "correct", "kept", right=2),
    trace(2, "truncated", "not ended", question="c", right=0, solution=NASTY),
    *(trace(2, "wrong", "not correct", question=f"many {n}", right=0) for n in range(60)),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    vl_convert = pytest.importorskip("vl_convert", reason="the extra `pruner` brings it")
    folder = tmp_path_factory.mktemp("page")
    change = Change(question="q", reference="1", before=0, after=1, before_solution="#### 0", after_solution="#### 1")
    shown = record(traces=TRACES, traces_from={"train": 1000}, changed_set="eval", gained=[change], gained_count=1)
    path = folder / "report.html"
    path.write_text(page(shown, vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")))
    return path


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def shown(driver: Any, written: Path) -> Any:
    """The page, opened anew from the disk."""
    driver.get(written.as_uri())
    return driver


def choose(driver: Any, name: str, value: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(driver.find_element(CSS, f"select[name='{name}']")).select_by_visible_text(value)


def listed(driver: Any) -> list[str]:
    """Return what is shown of every trace that is listed."""
    return [element.text for element in driver.find_elements(CSS, "#reader details summary")]


def count(driver: Any) -> str:
    return str(driver.find_element(CSS, "#reader .count").text)


def test_plots_are_drawn_and_nothing_is_wrong_without_a_network(shown: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    figures = shown.find_elements(CSS, "figure")
    assert len(figures) >= 4
    WebDriverWait(shown, 30).until(lambda driver: len(driver.find_elements(CSS, "figure svg.marks")) == len(figures))
    assert [entry for entry in shown.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_all_traces_are_there_and_more_are_shown_when_asked_for(shown: Any) -> None:
    assert count(shown) == f"{len(TRACES)} of the {len(TRACES)} traces of this page"
    assert len(listed(shown)) == 40
    shown.find_element(CSS, "#reader > button").click()
    assert len(listed(shown)) == len(TRACES)
    assert not shown.find_element(CSS, "#reader > button").is_displayed()


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"verdict": "truncated"}, ["round 2, train, truncated, dropped: not ended, 0 of 2 right: What is question c?"]),
        ({"round": "0"}, ["round 0, validation, wrong, 0 of 2 right: What is question v?"]),
        ({"difficulty": "all right"}, ["round 2, train, correct, kept, 2 of 2 right: What is question b?"]),
        (
            {"verdict": "correct", "round": "1", "kept or dropped": "repeats another sample"},
            ["round 1, train, correct, dropped: repeats another sample, 1 of 2 right: What is question b?"],
        ),
        ({"verdict": "truncated", "round": "1"}, []),
    ],
)
def test_traces_are_filtered_by_verdict_difficulty_round_and_fate(
    filters: dict[str, str], expected: list[str], shown: Any
) -> None:
    for name, value in filters.items():
        choose(shown, name, value)
    assert listed(shown) == expected
    assert count(shown).startswith(f"{len(expected)} of the ")


def test_words_are_searched_in_questions_and_solutions(shown: Any) -> None:
    shown.find_element(CSS, "input[name='words']").send_keys("SOLUTION of a:")
    assert listed(shown) == ["round 1, train, correct, kept, 1 of 2 right: What is question a?"]


def test_a_trace_opens_with_its_solution_and_the_answer_that_was_read(shown: Any) -> None:
    choose(shown, "kept or dropped", "kept")
    first = shown.find_element(CSS, "#reader details")
    first.find_element(CSS, "summary").click()
    assert first.find_element(CSS, "pre").text == "solution of a: #### 1"
    assert "reference: 1; answer read: 1" in first.text


def test_what_a_model_wrote_stays_text(shown: Any) -> None:
    choose(shown, "verdict", "truncated")
    shown.find_element(CSS, "#reader details summary").click()
    assert shown.find_element(CSS, "#reader details pre").text == NASTY
    assert shown.find_elements(CSS, "img") == []


def test_one_question_is_followed_over_the_rounds(shown: Any) -> None:
    choose(shown, "kept or dropped", "repeats another sample")
    opened = shown.find_element(CSS, "#reader details")
    opened.find_element(CSS, "summary").click()
    choose(shown, "kept or dropped", "all")
    entries = shown.find_elements(CSS, "#reader details[data-question='train/b']")
    entries[0].find_element(CSS, "summary").click()
    entries[0].find_element(CSS, "button").click()
    rows = [row.text for row in shown.find_elements(CSS, "#reader .followed tr")]
    assert rows == ["round samples right verdicts of those below", "1 1 of 2 correct, wrong", "2 2 of 2 correct"]
    assert len(listed(shown)) == 3
    shown.find_element(CSS, "#reader .followed button").click()
    assert count(shown).startswith(f"{len(TRACES)} of ")
