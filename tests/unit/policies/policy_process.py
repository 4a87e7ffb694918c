"""A process that asks the decision point, or one that dies in the middle of changing the policy.

    python policy_process.py decide DATABASE SECONDS
    python policy_process.py hang DATABASE

`decide` asks about every dataset in turn, each time in a transaction of its own as an exit does, with
a clock that is SECONDS ahead, until its input ends. It prints one JSON line for each decision.
`hang` revokes and grants, prints a line, and waits to be killed before it would commit.
"""

import json
import select
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import NamedTuple

from access_policies import principals, revision, rules
from access_policies.decision import RestrictTo
from access_policies.decision_point import DecisionPoint
from access_policies.rules import Rule
from access_policies.scope import AllRows, TableScope
from access_policies.vocabulary import Action, Audience
from marketplace import enforcement
from marketplace.database import Database, open_database
from marketplace.identity.capacity import Capacity
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import names_in, subject_of

DATASETS = ("mhclg.homes", "mhclg.streets", "leeds.spending")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
ENDS = datetime(2100, 1, 1, tzinfo=UTC)
CALLER = Principal(
    person_id="ada",
    person_name="Ada",
    token_id="a token",
    project="squad",
    subject=subject_of(
        "ada",
        names_in("squad", "ada"),
        Capacity(audience=Audience.GOVERNMENT, organisation="mhclg", home="mhclg"),
    ),
    valid_until=ENDS,
    changes_at=ENDS,
)


class Seen(NamedTuple):
    """One decision: when it was begun and done (`time.monotonic_ns`), and the grant, "" for a no."""

    begun: int
    done: int
    dataset: str
    grant: str


def agreement(grant: str, dataset: str) -> Rule:
    """The rule of an agreement of the caller's squad over a dataset; it began long ago."""
    scope = RestrictTo(tables=(TableScope(table="t", columns=("c",), rows=AllRows()),))
    return Rule(
        id=grant,
        subject=principals.project("squad"),
        dataset=dataset,
        action=Action.QUERY,
        nbf=rules.epoch(BEGAN),
        grant=f"agreement:{grant}",
        obligations=(scope,),
    )


def ask(database: Database, point: DecisionPoint, dataset: str, ahead: timedelta) -> Seen:
    """Decide as an exit does: under the revision, with what is kept of other decisions."""
    begun = time.monotonic_ns()
    with database.writing() as connection:
        held = revision.lock_shared(connection)
        decision = enforcement.decide(
            connection,
            point,
            CALLER,
            Action.QUERY,
            dataset,
            now=datetime.now(UTC) + ahead,
            under=held,
        )
    return Seen(begun, time.monotonic_ns(), dataset, decision.grant if decision.allowed else "")


def _decide(database: Database, ahead: timedelta) -> None:
    point = DecisionPoint()
    for dataset in cycle(DATASETS):
        if select.select([sys.stdin], [], [], 0)[0]:
            return
        _say(json.dumps(ask(database, point, dataset, ahead)))


def _hang(database: Database) -> None:
    with database.writing() as connection:
        revision.advance(connection)
        rules.end(connection, "agreement:before", now=datetime.now(UTC))
        rules.write(connection, agreement("half", DATASETS[1]))
        _say("written")
        sys.stdin.read()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    mode, url, *rest = sys.argv[1:]
    opened = open_database(url)
    if mode == "decide":
        _decide(opened, timedelta(seconds=float(rest[0])))
    else:
        _hang(opened)
