"""Who can read a dataset, and what a person can read, as things stand."""

from collections.abc import Collection
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from access_policies import principals, rulebook
from access_policies.decision import RestrictTo
from access_policies.decision_point import DecisionPoint
from access_policies.rulebook import RuleBook
from catalogue.address import DatasetAddress
from catalogue.release_shelf import ReleaseShelf
from catalogue.table_schema import TableSchema
from marketplace import enforcement
from marketplace.identity import census
from marketplace.identity.census import Acting
from marketplace.identity.people import Person
from marketplace.oversight import access
from marketplace.oversight.access import Access, View
from marketplace.oversight.directory import Directory
from marketplace.sharing import scopes


def who(
    connection: Connection, decision_point: DecisionPoint, dataset: str, *, now: datetime
) -> tuple[Access, ...]:
    """Everybody who can read the dataset, by what and until when."""
    view = View(
        book=RuleBook(decision_point, rulebook.on_datasets(connection, (dataset,))),
        ceilings=enforcement.ceilings(connection, (dataset,), now=now),
        now=now,
    )
    names = view.book.permitted()
    among = names if all(map(principals.is_specific, names)) else None
    acting = census.take(connection, now=now, among=among)
    found = access.find(view, acting, lambda _: (dataset,))
    return _with_suspensions(connection, found)


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
        ceilings=enforcement.ceilings(
            connection, directory.covered(book.written_on(names)), now=now
        ),
        now=now,
    )

    def covered(one: Acting) -> Collection[str]:
        return directory.covered(book.written_on(one.subject.principals))

    return _with_suspensions(connection, access.find(view, acting, covered))


def _with_suspensions(connection: Connection, found: tuple[Access, ...]) -> tuple[Access, ...]:
    """Say of what was agreed where the newest release cannot be served so."""
    shelf = ReleaseShelf()
    return tuple(
        msgspec.structs.replace(one, suspended_by=scopes.gone_from(obligation.tables, tables))
        if (obligation := _scoped(one)) is not None
        and (tables := _contracts(connection, shelf, one.dataset))
        else one
        for one in found
    )


def _scoped(one: Access) -> RestrictTo | None:
    return next((part for part in one.obligations if isinstance(part, RestrictTo)), None)


def _contracts(connection: Connection, shelf: ReleaseShelf, dataset: str) -> dict[str, TableSchema]:
    release = shelf.latest(connection, DatasetAddress.parse(dataset))
    return {table.name: table.schema for table in release.tables} if release else {}
