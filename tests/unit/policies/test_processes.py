"""Grants, revocations and crashes in one process, as decisions in others see them.

An oracle knows when each grant and each revocation began and returned. No allow may come from a
decision that began after the revocation had returned, whatever is kept and whatever the clock says.
"""

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue
from threading import Thread
from time import monotonic_ns
from typing import Any

import pytest

from access_policies import revision, rules, stages
from access_policies.decision_point import DecisionPoint
from access_policies.vocabulary import Action, Audience
from marketplace import enforcement
from marketplace.database import Database

PROCESS = Path(__file__).with_name("policy_process.py")
HERE = runpy.run_path(str(PROCESS))
DATASETS: tuple[str, ...] = HERE["DATASETS"]
CYCLES = 12
PATIENCE = 60
CLOCKS_AHEAD = (0, -3600, 3600)


@dataclass
class Life:
    """When an agreement was being granted and revoked, in `time.monotonic_ns`."""

    grant: str
    dataset: str
    granting: int
    granted: int
    revoking: int = 0
    revoked: int = 0


class Deciding:
    """A process that decides, and what it has said."""

    def __init__(self, url: str, ahead: int) -> None:
        self.seen: list[Any] = []
        self._said: Queue[Any] = Queue()
        self._process = subprocess.Popen(
            [sys.executable, PROCESS, "decide", url, str(ahead)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._listener = Thread(target=self._listen)
        self._listener.start()

    def decides_all_since(self, moment: int) -> None:
        """Wait until it has begun and done a decision on every dataset after the moment."""
        missing = set(DATASETS)
        while missing:
            seen = self._said.get(timeout=PATIENCE)
            self.seen.append(seen)
            if seen.begun > moment:
                missing.discard(seen.dataset)

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(PATIENCE) == 0
        self._listener.join()
        while not self._said.empty():
            self.seen.append(self._said.get())

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._said.put(HERE["Seen"](*json.loads(line)))


@contextmanager
def deciding(url: str) -> Iterator[list[Deciding]]:
    with ExitStack() as stack:
        found = [Deciding(url, ahead) for ahead in CLOCKS_AHEAD]
        for one in found:
            stack.callback(one.end)
        yield found


@pytest.fixture
def opened(database: Database) -> Database:
    """A policy whose marketplace is open, and nothing else."""
    with database.writing() as connection:
        revision.advance(connection)
        stages.open_at_once(connection, rules.ANY, Audience.PUBLIC)
    return database


def grant(database: Database, name: str, dataset: str) -> Life:
    granting = monotonic_ns()
    with database.writing() as connection:
        revision.advance(connection)
        rules.write(connection, HERE["agreement"](name, dataset))
    return Life(name, dataset, granting, monotonic_ns())


def revoke(database: Database, life: Life) -> None:
    life.revoking = monotonic_ns()
    with database.writing() as connection:
        revision.advance(connection)
        rules.end(connection, f"agreement:{life.grant}", now=datetime.now(UTC))
    life.revoked = monotonic_ns()


def faults(seen: Any, lives: list[Life]) -> Iterator[str]:
    """What the decision could not have said, whichever moment of its own it was made at."""
    for life in lives:
        if life.dataset != seen.dataset:
            continue
        said_so = seen.grant == f"agreement:{life.grant}"
        if said_so and seen.begun > life.revoked:
            yield f"{life.grant} was allowed after its revocation had returned"
        if said_so and seen.done < life.granting:
            yield f"{life.grant} was allowed before it was granted"
        if not said_so and life.granted < seen.begun and seen.done < life.revoking:
            yield f"{life.grant} was not allowed while it stood"


def test_a_grant_and_a_revocation_are_seen_by_every_process_once_they_have_returned(
    opened: Database, database_url: str
):
    lives: list[Life] = []
    with deciding(database_url) as processes:
        for number in range(CYCLES):
            granted = [grant(opened, f"{number}-{name}", name) for name in DATASETS[:2]]
            moment = monotonic_ns()
            for process in processes:
                process.decides_all_since(moment)
            for life in granted:
                revoke(opened, life)
            moment = monotonic_ns()
            for process in processes:
                process.decides_all_since(moment)
            lives += granted
    observed = [seen for process in processes for seen in process.seen]
    assert [fault for seen in observed for fault in faults(seen, lives)] == []
    assert {seen.grant for seen in observed} == {"", *(f"agreement:{life.grant}" for life in lives)}


def test_a_writer_that_is_killed_before_it_commits_leaves_nothing(
    opened: Database, database_url: str
):
    grant(opened, "before", DATASETS[0])
    before = [answer(opened, dataset) for dataset in DATASETS]
    with opened.reading() as connection:
        number = revision.read(connection)
    with subprocess.Popen(
        [sys.executable, PROCESS, "hang", database_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        with opened.reading() as connection:
            assert revision.read(connection) == number
        writer.kill()
    assert (
        [answer(opened, dataset) for dataset in DATASETS] == before == ["agreement:before", "", ""]
    )
    with opened.writing() as connection:
        assert revision.advance(connection) == number + 1


def test_what_was_kept_is_not_given_out_after_a_revocation_under_any_clock(opened: Database):
    point = DecisionPoint()
    life = grant(opened, "kept", DATASETS[0])
    for hours in (0, -5, 5, 0):
        assert answer(opened, DATASETS[0], point, hours) == "agreement:kept"
    revoke(opened, life)
    for hours in (0, -5, 5, 0):
        assert answer(opened, DATASETS[0], point, hours) == ""


def test_what_was_found_in_a_transaction_that_was_rolled_back_is_not_kept(opened: Database):
    point = DecisionPoint()
    with suppress(_RolledBack), opened.writing() as connection:
        revision.advance(connection)
        rules.write(connection, HERE["agreement"]("undone", DATASETS[0]))
        decision = enforcement.decide(
            connection, point, HERE["CALLER"], Action.QUERY, DATASETS[0], now=datetime.now(UTC)
        )
        assert decision.allowed
        raise _RolledBack
    grant(opened, "other", DATASETS[1])  # under the number that the undone one had
    assert answer(opened, DATASETS[0], point) == ""


class _RolledBack(Exception):
    """Ends a transaction without a commit."""


def answer(
    database: Database, dataset: str, point: DecisionPoint | None = None, hours: int = 0
) -> str:
    seen = HERE["ask"](database, point or DecisionPoint(), dataset, timedelta(hours=hours))
    return str(seen.grant)
