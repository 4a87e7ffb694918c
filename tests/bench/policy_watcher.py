"""A process that asks for one decision all the time, and says when the answer became another.

    python policy_watcher.py DATABASE DATASET

It prints a line when it has begun and then, for each change, the nanoseconds of `time.monotonic_ns`
at which the transaction with the other answer had ended; it ends with its input.
"""

import select
import sys
from time import monotonic_ns

from policy_world import NOW

from access_policies import revision
from access_policies.decision_point import DecisionPoint
from access_policies.vocabulary import Action, Audience
from marketplace import enforcement
from marketplace.database import Database, open_database
from marketplace.identity.capacity import Capacity
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import subject_of

WATCHER = Principal(
    person_id="watcher",
    person_name="watcher",
    token_id="watcher",
    subject=subject_of(
        "watcher", set(), Capacity(audience=Audience.PUBLIC, organisation="bench", home="bench")
    ),
    valid_until=NOW,
    changes_at=NOW,
)


def main(url: str, dataset: str) -> None:
    """Watch until the input ends."""
    database, point = open_database(url), DecisionPoint()
    allowed = False
    _say("watching")
    while not select.select([sys.stdin], [], [], 0)[0]:
        if _ask(database, point, dataset) is not allowed:
            _say(str(monotonic_ns()))
            allowed = not allowed
    database.close()


def _ask(database: Database, point: DecisionPoint, dataset: str) -> bool:
    # Without the lock that a recorded read takes: this one must not keep the change waiting.
    with database.reading() as connection:
        held = revision.read(connection)
        return enforcement.decide(
            connection, point, WATCHER, Action.DISCOVER, dataset, now=NOW, under=held
        ).allowed


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
