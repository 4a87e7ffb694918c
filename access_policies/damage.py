"""How many rules are damaged, so that whoever they are for is refused whatever they bear on.

Rules that differ only in what no check looks at are checked once.
"""

from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, case, func, select

from access_policies import principals, rules
from access_policies.errors import InvalidRule
from access_policies.records import rules as table
from access_policies.rules import GrantKind, Rule


def count_damaged(connection: Connection) -> int:
    """The rules that are refused when they are read, ended ones too."""
    # A database may hold text where a number belongs; only a number is itself plus nothing.
    numbers = (table.c.nbf == table.c.nbf + 0) & (table.c.exp == table.c.exp + 0)
    of_everyone = table.c.subject == principals.EVERYONE
    complete = (table.c.id != "") & (table.c.subject != "") & (table.c.dataset != "")
    groups = {
        "numbers": numbers,
        "subject": case((of_everyone, principals.EVERYONE), else_="one"),
        "complete": complete & (table.c.purpose != ""),
        "grant": case(*((_comes_from(kind), f"{kind}:one") for kind in GrantKind), else_=""),
        "action": table.c.action,
        "stage": table.c.stage,
        "effect": table.c.effect,
        "obligations": table.c.obligations,
    }
    query = select(
        *(expression.label(name) for name, expression in groups.items()),
        func.count().label("rules"),
    ).group_by(*groups.values())
    found = connection.execute(query).mappings()
    return sum(row["rules"] for row in found if not _whole(row))


def _comes_from(kind: GrantKind) -> Any:
    prefix = f"{kind}:"
    begins = func.substr(table.c.grant, 1, len(prefix)) == prefix
    return begins & (func.length(table.c.grant) > len(prefix))


def _whole(row: RowMapping) -> bool:
    if not (row["numbers"] and row["complete"]):
        return False
    values = {name: row[name] for name in ("subject", "grant", "action", "stage", "effect")}
    try:
        obligations = msgspec.json.decode(row["obligations"])
        rule = msgspec.convert(
            values | {"id": "one", "dataset": "one", "obligations": obligations}, Rule
        )
        rules.check(rule)
    except (InvalidRule, msgspec.MsgspecError):
        return False
    return True
