"""Health is the age of what was last done, not that something answers."""

from dataclasses import dataclass, field

import aiohttp
import pytest

from tpt_operator.health import ailments, serving
from tpt_operator.metrics import Measures


@dataclass
class Work:
    listed: float | None = None
    begun: bool = True
    resync_seconds: float = 60.0
    looking: float | None = None
    watched: dict[str, float] = field(default_factory=dict)
    watch_seconds: int = 100

    def looking_since(self):
        return self.looking


@pytest.mark.parametrize(
    ("work", "now", "words"),
    [
        (Work(), 1e6, None),
        (Work(listed=1000.0), 1000.0 + 240.0, None),
        (Work(listed=1000.0), 1000.0 + 241.0, "nothing was listed for 241 s"),
        (Work(listed=1000.0, looking=1000.0), 1000.0 + 180.0, None),
        (Work(listed=1000.0, looking=1000.0), 1000.0 + 181.0, "one look at a run takes 181 s"),
        (Work(listed=1300.0, watched={"jobs": 1000.0, "pods": 1250.0}), 1300.0, None),
        (
            Work(listed=1300.0, watched={"jobs": 999.0, "pods": 1250.0}),
            1300.0,
            "the watch of jobs gave no sign of life for 301 s",
        ),
    ],
    ids=[
        "nothing listed yet",
        "a list in time",
        "no list for long",
        "a long look",
        "an endless look",
        "a quiet watch",
        "a dead watch",
    ],
)
def test_what_is_wrong_is_said(work, now, words):
    assert ailments(work, now) == ([] if words is None else [words])


async def asked(port, path):
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_ready_is_who_has_listed_or_still_waits_for_its_lease():
    work = Work(begun=False)
    async with serving(work, Measures(), 0) as port:
        assert (await asked(port, "/readyz"))[0] == 200
        work.begun = True
        assert await asked(port, "/readyz") == (503, "nothing was listed yet")
        work.listed = 1.0
        assert (await asked(port, "/readyz"))[0] == 200


async def test_a_stale_operator_is_not_healthy_and_says_why():
    async with serving(Work(listed=-1e6), Measures(), 0) as port:
        status, text = await asked(port, "/healthz")
        assert status == 503
        assert text.startswith("nothing was listed for")
        status, text = await asked(port, "/metrics")
        assert status == 200
        assert "tpt_operator_reconcile_seconds_count 0.0" in text


async def test_nothing_is_served_without_a_port():
    async with serving(Work(), Measures(), None) as port:
        assert port is None
