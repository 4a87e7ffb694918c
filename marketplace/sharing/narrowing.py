"""Whether one resolved scope lets out no more than another: what an approval may not go beyond.

Only what is certain counts as narrower; what cannot be compared goes beyond.
"""

from collections.abc import Iterator
from decimal import Decimal

from access_policies.scope import (
    AtLeast,
    AtMost,
    Constant,
    FirstCharacters,
    Mask,
    MonthOnly,
    NoValue,
    RowCondition,
    RowsBetweenDays,
    RowScope,
    RowsInPlaces,
    RowsInRange,
    RowsWithValues,
    TableScope,
    YearOnly,
    conditions_of,
)
from catalogue.places import Places
from marketplace.sharing.scopes import Scope


def beyond(
    given: Scope, asked: Scope, places: Places, *, what: str = "asked for"
) -> tuple[str, ...]:
    """Say in what a resolved scope goes beyond another; nothing where it is as wide or narrower.

    `what` says what the other one was.
    """
    by_name = {table.table: table for table in asked}
    sentences: list[str] = []
    for table in given:
        of_asked = by_name.get(table.table)
        if of_asked is None:
            sentences.append(f'The table "{table.table}" was not {what}.')
        else:
            sentences += _beyond(table, of_asked, places, what)
    return tuple(sentences)


def _beyond(given: TableScope, asked: TableScope, places: Places, what: str) -> Iterator[str]:
    for name in given.columns:
        if name not in asked.columns:
            yield f'The column "{name}" of {given.table} was not {what}.'
        elif not _shows_no_more(given.mask(name), asked.mask(name)):
            yield f'The column "{name}" of {given.table} was {what} with another mask.'
    if not _within(given.rows, asked.rows, places):
        yield f"The rows of {given.table} go beyond those {what}."


def _within(given: RowScope, asked: RowScope, places: Places) -> bool:
    """Whether each condition asked follows from one that is given."""
    return all(
        any(_follows(wide, narrow, places) for narrow in conditions_of(given))
        for wide in conditions_of(asked)
    )


def _follows(wide: RowCondition, narrow: RowCondition, places: Places) -> bool:
    """Whether every row that meets `narrow` meets `wide`."""
    match wide, narrow:
        case RowsInPlaces(), RowsInPlaces():
            return _codes(narrow, places) <= _codes(wide, places)
        case RowsWithValues(), RowsWithValues():
            return narrow.column == wide.column and set(narrow.values) <= set(wide.values)
        case RowsInRange(), RowsInRange():
            return narrow.column == wide.column and (
                _from(wide.least, narrow.least) and _to(wide.most, narrow.most)
            )
        case RowsBetweenDays(), RowsBetweenDays():
            return narrow.column == wide.column and (
                (wide.first is None or (narrow.first is not None and wide.first <= narrow.first))
                and (wide.last is None or (narrow.last is not None and wide.last >= narrow.last))
            )
        case _:
            return False


def _from(wide: Decimal | None, narrow: Decimal | None) -> bool:
    return wide is None or (narrow is not None and wide <= narrow)


def _to(wide: Decimal | None, narrow: Decimal | None) -> bool:
    return wide is None or (narrow is not None and wide >= narrow)


def _codes(condition: RowsInPlaces, places: Places) -> frozenset[str]:
    return frozenset[str]().union(*(places.codes(code) for code in condition.places))


def _shows_no_more(given: Mask | None, asked: Mask | None) -> bool:
    """Whether a column masked by `given` tells nothing that it does not tell masked by `asked`."""
    if asked is None or given == asked:
        return True
    match asked, given:
        case _, NoValue():
            return True
        case NoValue(), _:
            return False
        case _, Constant():
            return True
        case MonthOnly(), YearOnly():
            return True
        case FirstCharacters(), FirstCharacters():
            return given.count <= asked.count
        case AtMost(), AtMost():
            return given.bound <= asked.bound
        case AtLeast(), AtLeast():
            return given.bound >= asked.bound
        case _:
            return False
