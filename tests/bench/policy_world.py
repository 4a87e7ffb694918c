"""A generated policy of many grants, written in bulk: who there is, and which rules stand.

The same numbers give the same world. Grants are skewed as in life: a few datasets have most of
them, the hottest about one in fifty.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import psycopg
from sqlalchemy import make_url

from access_policies import principals, revision, rules, stages, standing
from access_policies.decision import RestrictTo
from access_policies.records import rules as rules_table
from access_policies.rules import GrantKind, Rule
from access_policies.scope import AllRows, TableScope
from access_policies.vocabulary import Action, Audience, Role
from marketplace.database import open_database
from marketplace.identity.capacity import Capacity
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import names_in, subject_of

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

_AGREED = (Action.QUERY, Action.DOWNLOAD)
_SKEW = 3.2
_YEAR = 365 * 24 * 3600
_SCOPE = RestrictTo(
    tables=(TableScope(table="table", columns=("area", "households"), rows=AllRows()),)
)
_COLUMNS = tuple(Rule.__struct_fields__)
_INTO = f"{rules_table.name} ({', '.join(map(repr, _COLUMNS))})".replace("'", '"')


@dataclass(frozen=True, kw_only=True)
class PolicySize:
    """How much there is of everything; `grants` counts the rules in all."""

    grants: int = 1_000_000
    datasets: int = 100_000
    people: int = 50_000
    organisations: int = 2_000
    squads: int = 500


FULL = PolicySize()
SMALL = PolicySize(grants=3_000, datasets=300, people=200, organisations=20, squads=10)


class PolicyWorld:
    """The names of everything in a world, and its rules."""

    def __init__(self, size: PolicySize) -> None:
        self.size = size

    def dataset(self, number: int) -> str:
        """The address of a dataset; the lower the number, the more grants it has."""
        return f"organisation_{number % self.size.organisations:04}.dataset_{number:06}"

    def squad(self, person: int) -> str:
        """The squad that a person is a member of."""
        return f"squad_{person % self.size.squads:03}"

    def principal(self, person: int) -> Principal:
        """A person acting in their squad; every third is of government, the others of councils."""
        identifier, squad = self._person(person), self.squad(person)
        audience = Audience.LOCAL_GOVERNMENT if person % 3 else Audience.GOVERNMENT
        return Principal(
            person_id=identifier,
            person_name=identifier,
            token_id=f"token_{person}",
            project=squad,
            project_purpose="service_delivery",
            subject=subject_of(
                identifier,
                names_in(squad, identifier),
                Capacity(audience=audience, organisation="organisation", home="organisation"),
            ),
            valid_until=NOW + timedelta(days=400),
            changes_at=NOW + timedelta(days=400),
        )

    def agreement(self, number: int) -> tuple[int, str, str]:
        """The person whom an agreement reaches, the name it is made for, and its dataset."""
        person = number * 7919 % self.size.people
        dataset = self.dataset(int(self.size.datasets * _spread(number) ** _SKEW))
        squad, identifier = self.squad(person), self._person(person)
        names = (
            principals.project(squad),
            principals.member(squad, identifier),
            principals.member(squad, identifier),
            principals.person(identifier),
        )
        return person, names[number % len(names)], dataset

    def rules(self) -> Iterator[Rule]:
        """Every rule: roles, listings, some standing offers, and agreements up to the size."""
        written = 0
        for rule in self._standing():
            written += 1
            yield rule
        yield from self._agreements(self.size.grants - written)

    def _standing(self) -> Iterator[Rule]:
        for number in range(self.size.organisations):
            for role in (Role.OWNER, Role.PUBLISHER):
                yield from standing.role_rules(role, f"organisation_{number:04}")
        for number in range(self.size.datasets):
            yield from standing.listing_rules(self.dataset(number), Audience(number % 5))
        for number in range(0, self.size.datasets, 20):
            yield from standing.offer_rules(
                f"offer_{number}",
                self.dataset(number),
                Audience(number // 20 % 5),
                (_SCOPE,),
                begins=BEGAN,
                ends=None,
            )

    def _agreements(self, wanted: int) -> Iterator[Rule]:
        made: set[tuple[str, str]] = set()
        for number in count():
            _, name, dataset = self.agreement(number)
            if (name, dataset) in made:
                continue
            made.add((name, dataset))
            begins = rules.epoch(BEGAN) + int(_YEAR * _spread(number + 1))
            for action in _AGREED:
                if not wanted:
                    return
                wanted -= 1
                yield Rule(
                    id=f"{number}/{action}",
                    subject=name,
                    dataset=dataset,
                    action=action,
                    nbf=begins,
                    exp=begins + _YEAR,
                    grant=f"{GrantKind.AGREEMENT}:{number}",
                    obligations=(_SCOPE,),
                )

    def _person(self, number: int) -> str:
        return f"person_{number:05}"


def _spread(number: int) -> float:
    """A number from 0 to 1 that looks random and is always the same (Weyl's sequence)."""
    return number * 0.6180339887498949 % 1


def build(world: PolicyWorld, url: str) -> None:
    """Write the world into a new database as the service has it, SQLite or PostgreSQL."""
    database = open_database(url)
    try:
        database.migrate()
        with database.writing() as connection:
            move = stages.Move(
                scope=stages.MARKETPLACE,
                since_revision=revision.advance(connection),
                reach=stages.Reach(Audience.PUBLIC),
            )
            stages.write(connection, move)
    finally:
        database.close()
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        _fill_sqlite(world, str(parsed.database))
    else:
        _fill_postgresql(world, parsed.set(drivername="postgresql").render_as_string(False))


# Either ends with ANALYZE: an operator may do it at any time, and it has made planners choose badly.


def _fill_sqlite(world: PolicyWorld, file: str) -> None:
    marks = ", ".join("?" for _ in _COLUMNS)
    with closing(sqlite3.connect(file)) as connection:
        # What was just generated can be generated again, so nothing need wait for the disk.
        connection.executescript("PRAGMA synchronous=OFF; PRAGMA cache_size=-500000")
        indexes = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE tbl_name = ? AND sql LIKE 'CREATE INDEX%'",
            (rules_table.name,),
        ).fetchall()
        with connection:
            for name, _ in indexes:
                connection.execute(f"DROP INDEX {name}")
            connection.executemany(f"INSERT INTO {_INTO} VALUES ({marks})", _rows(world))
            for _, statement in indexes:
                connection.execute(statement)
        connection.execute("ANALYZE")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _fill_postgresql(world: PolicyWorld, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.cursor() as cursor, cursor.copy(f"COPY {_INTO} FROM STDIN") as copy:
            for row in _rows(world):
                copy.write_row(row)
        connection.execute("VACUUM ANALYZE policy_rules")


def _rows(world: PolicyWorld) -> Iterator[tuple[object, ...]]:
    return (tuple(rules.row_of(rule).values()) for rule in world.rules())
