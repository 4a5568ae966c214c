"""The table of rounds at the end of a run."""

from datetime import UTC, datetime, timedelta

from tpt_runtime.core.status import Metric, RoundStatus, RunStatus, SampleCounts, StepName, StepStatus
from tpt_runtime.report.table import round_table

START = datetime(2026, 1, 1, tzinfo=UTC)


def metric(name: str, value: float, spread: float | None = None) -> Metric:
    if spread is None:
        return Metric(name=name, value=value)
    return Metric(name=name, value=value, low=value - spread, high=value + spread)


def step(name: StepName, seconds: int | None) -> StepStatus:
    done = None if seconds is None else START + timedelta(seconds=seconds)
    return StepStatus(name=name, start_time=START, completion_time=done)


STATUS = RunStatus(
    best_round=1,
    rounds=[
        RoundStatus(round=0, metrics=[metric("validation/pass@1", 0.25, 0.03), metric("validation/pass@8", 0.5, 0.05)]),
        RoundStatus(
            round=1,
            metrics=[
                metric("validation/pass@1", 0.5, 0.03),
                metric("validation/pass@8", 0.75, 0.02),
                metric("train/loss", 0.123456),
                metric("validation/strict/pass@1", 0.4),
            ],
            samples=SampleCounts(total=3200, correct=900),
            examples=745,
            steps=[step(StepName.SAMPLE, 60), step(StepName.PRUNE, 4), step(StepName.TRAIN, None)],
        ),
    ],
)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_each_round_is_a_line_under_the_heading() -> None:
    heading, base, first = round_table(STATUS, "pass@1").splitlines()
    assert cells(heading) == ["round", "validation pass@1", "validation pass@8", "kept", "loss", "seconds"]
    assert cells(base) == ["0", "25.0% [22.0%, 28.0%]", "50.0%", "-", "-", "-"]
    assert cells(first) == ["1*", "50.0% [47.0%, 53.0%]", "75.0%", "745 of 3,200", "0.1235", "64"]


def test_columns_stand_under_one_another() -> None:
    assert len({len(line) for line in round_table(STATUS, "pass@1").splitlines()}) == 1


def test_the_objective_has_the_interval() -> None:
    heading, base, _ = round_table(STATUS, "pass@8").splitlines()
    assert cells(heading)[1] == "validation pass@8"
    assert cells(base)[1] == "50.0% [45.0%, 55.0%]"
    assert "pass@1" not in heading


def test_evaluation_stands_beside_validation_where_there_is_one() -> None:
    entry = RoundStatus(round=0, metrics=[metric("validation/pass@1", 0.5), metric("eval/pass@1", 0.4, 0.1)])
    heading, base = round_table(RunStatus(rounds=[entry]), "pass@1").splitlines()
    assert cells(heading)[1:3] == ["validation pass@1", "eval pass@1"]
    assert cells(base)[1:3] == ["50.0%", "40.0% [30.0%, 50.0%]"]


def test_a_round_that_was_not_measured_has_a_dash() -> None:
    status = STATUS.model_copy(update={"rounds": [*STATUS.rounds, RoundStatus(round=2, examples=7)]})
    assert cells(round_table(status, "pass@1").splitlines()[3]) == ["2", "-", "-", "7", "-", "-"]
