"""Whoever waits for an extract may leave; the build goes on for the others."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest

from marketplace.engine.query.cancellation import Cancellation
from marketplace.errors import QueryStopped
from marketplace.extracts.building import Builds
from marketplace.extracts.plan import ExtractPlan


class Plan:
    """All that a build needs to know of a plan here."""

    key = "ab" * 32


class NotedCancellation(Cancellation):
    """Says when somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.attached = Event()

    def attach(self, stop: Any) -> None:
        super().attach(stop)
        self.attached.set()


def test_a_caller_who_leaves_is_let_go_and_another_gets_the_extract(tmp_path: Path) -> None:
    built = Event()
    plan = cast("ExtractPlan", Plan())

    def build(plan: ExtractPlan, report: Any) -> tuple[()]:
        assert built.wait(20)
        return ()

    builds = Builds(build, locks=tmp_path)
    leaving, staying = NotedCancellation(), NotedCancellation()
    with ThreadPoolExecutor(2) as threads:
        waits = [
            threads.submit(builds.wait_for, plan, patience=20, cancellation=each)
            for each in (leaving, staying)
        ]
        assert leaving.attached.wait(20)
        assert staying.attached.wait(20)
        leaving.cancel()
        leaving.cancel()
        with pytest.raises(QueryStopped):
            waits[0].result(timeout=20)
        assert not waits[1].done()
        built.set()
        assert waits[1].result(timeout=20) == ()
    builds.close()
