"""Who can read a dataset, and what a person can read, as things stand."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection

from access_policies import rulebook
from access_policies.decision_point import DecisionPoint
from access_policies.rulebook import RuleBook
from marketplace import enforcement
from marketplace.identity import census
from marketplace.identity.census import Acting
from marketplace.identity.people import Person
from marketplace.oversight import access
from marketplace.oversight.access import Access, View
from marketplace.oversight.directory import Directory


def who(
    connection: Connection, decision_point: DecisionPoint, dataset: str, *, now: datetime
) -> tuple[Access, ...]:
    """Everybody who can read the dataset, by what and until when."""
    view = View(
        book=RuleBook(decision_point, rulebook.on_datasets(connection, (dataset,))),
        ceilings=enforcement.ceilings(connection, (dataset,)),
        now=now,
    )
    return access.find(view, census.take(connection, now=now), lambda _: (dataset,))


def what(
    connection: Connection, decision_point: DecisionPoint, person: Person, *, now: datetime
) -> tuple[Access, ...]:
    """Everything that a person can read in any capacity of theirs, by what and until when."""
    acting = census.take(connection, now=now, person=person)
    names = frozenset[str]().union(*(one.subject.principals for one in acting))
    book = RuleBook(decision_point, rulebook.for_names(connection, names))
    directory = Directory.read(connection)
    view = View(
        book=book,
        ceilings=enforcement.ceilings(connection, directory.covered(book.written_on(names))),
        now=now,
    )

    def covered(one: Acting) -> Collection[str]:
        return directory.covered(book.written_on(one.subject.principals))

    return access.find(view, acting, covered)
