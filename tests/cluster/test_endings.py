"""However a part of the operator ends, its process ends as well, with a code that says that something was wrong."""

import pytest

from tests.cluster.conftest import ROOT

DRIVER = str(ROOT / "tests/cluster/dying_operator.py")
BOUND = 120
"""Seconds: to start, to notice, and to end."""


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("a worker dies", "a worker has died"),
        ("a worker exits", "a part has asked for the end of the process"),
        ("a worker just ends", "worker 1: ended though nobody asked for it"),
        ("a worker dies and another part does not listen", "the operator does not end by itself"),
        ("a worker dies and a thread hangs", "the operator does not end by itself"),
        ("a handler dies", "a handler has died"),
        ("Kopf cannot log in", "no credentials"),
    ],
)
def test_a_process_of_which_a_part_has_ended_does_not_live_on(cluster, processes, how, words):
    cluster.create()
    process = processes.start(program=(DRIVER, how))
    assert process.wait(BOUND) > 0
    assert words in processes.log(process)
