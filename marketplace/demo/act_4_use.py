"""Act 4: the member queries over HTTP and gets Arrow: Sheffield's rows, and nothing else."""

from marketplace.demo.act_3_share import OLD_CODE
from marketplace.demo.cast import MEMBER
from marketplace.demo.telling import Telling
from marketplace.demo.world import World

SQL = (
    "SELECT la_code, la_name, total_households_in_ta, children_in_ta "
    "FROM mhclg.temporary_accommodation"
)


def use(world: World, telling: Telling) -> None:
    """Query in SQL, look at the Arrow table, and keep the receipt."""
    telling.person(MEMBER.name, "queries in Python")
    telling.shown(f'connect(url, token).query("{SQL}").to_arrow()')
    with world.acting(MEMBER.key) as client:
        result = client.query(SQL)
        table = result.to_arrow()
        world.keepsakes.receipt = client.receipt(result.entry)
        whole = client.query(
            "SELECT count(*) AS n, min(la_name) AS first, max(la_name) AS last "
            "FROM mhclg.temporary_accommodation"
        ).to_arrow()
    telling.rows(table.column_names, [list(row.values()) for row in table.to_pylist()])
    codes = sorted(set(table["la_code"].to_pylist()))
    telling.outcome(
        "Query over HTTP, as Arrow in the Python client",
        f"{table.num_rows} row of 296: Sheffield as {', '.join(codes)}, agreed as {OLD_CODE}",
    )
    (counted,) = whole.to_pylist()
    telling.outcome(
        "Look for other rows by counting",
        f"{counted['n']} row from {counted['first']} to {counted['last']}: the rest is not there",
    )
    telling.outcome("Keep a receipt of the read", "proof that the read stands in the audit log")
