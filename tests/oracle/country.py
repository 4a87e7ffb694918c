"""The small country that worlds happen in, and its words as the marketplace has them."""

from datetime import UTC, datetime, timedelta

from access_policies import principals
from access_policies.decision import Decision, LimitOutput, LimitResult, RestrictTo
from access_policies.vocabulary import Audience
from catalogue.dataset import ReleaseTable
from catalogue.table_schema import Column, TableSchema
from marketplace import enforcement
from marketplace.clock import LONDON
from marketplace.errors import AccessDenied
from tests.oracle.facts import Facts, Project, Terms

# Summer time ends in the night after the 24th, so some of the days have 25 hours.
START = datetime(2026, 10, 23, 9, 0, 0, 250_000, tzinfo=UTC)
ORGANISATIONS = {
    "mhclg": Audience.GOVERNMENT,
    "sheffield": Audience.LOCAL_GOVERNMENT,
    "leeds_university": Audience.RESEARCHER,
    "acme": Audience.BUSINESS,
}
PROJECTS = {
    "squad": Project(name="squad", organisation="sheffield", audience=Audience.LOCAL_GOVERNMENT),
    "task_force": Project(
        name="task_force", organisation="sheffield", audience=Audience.GOVERNMENT
    ),
    "study": Project(name="study", organisation="leeds_university", audience=Audience.RESEARCHER),
    "trial": Project(name="trial", organisation="leeds_university", audience=Audience.RESEARCHER),
    "venture": Project(name="venture", organisation="acme", audience=Audience.BUSINESS),
    "neighbours": Project(name="neighbours", organisation="acme", audience=Audience.PUBLIC),
}
HOMES = {
    "ada": "mhclg",
    "ben": "sheffield",
    "cy": "leeds_university",
    "dot": "acme",
    "eve": "acme",
    "fay": "mhclg",
}
DATASETS = ("mhclg.homes", "mhclg.rents", "sheffield.spend")
SCOPES = (*DATASETS, "mhclg.*", "*")
"""What can be asked about: datasets, all of an organisation, the marketplace."""

TABLE = ReleaseTable(
    name="t",
    contract_version=1,
    schema=TableSchema(columns=tuple(Column(name=name, type="BIGINT") for name in ("a", "b"))),
    files=(),
)
WHOLE = ("a", "b")


def served(decision: Decision) -> tuple[str, ...] | None:
    """The columns of the one table that leave under a decision; None where it cannot be met."""
    try:
        return enforcement.scope_of(decision, TABLE).columns
    except AccessDenied:
        return None


def terms_of(decision: Decision) -> Terms:
    """What a permission obliges to, in the words of the facts."""
    tables: tuple[tuple[str, tuple[str, ...]], ...] = ()
    tier, most = "rows", None
    for one in decision.obligations:
        match one:
            case RestrictTo(tables=scopes):
                tables = tuple((scope.table, scope.columns) for scope in scopes)
            case LimitOutput(tier=found):
                tier = found.value
            case LimitResult(rows=rows):
                most = rows
    return Terms(tables=tables, tier=tier, most_rows=most)


def boundaries(known: Facts) -> list[datetime]:
    """Every moment at which something begins or ends, in order."""
    days = [*known.members, *known.seconded, *known.named]
    midnights = {one.first for one in days}
    lasts = [one.last for one in days]
    lasts += [one.last for one in known.agreements]
    lasts += [one.last for one in known.offers]
    lasts += known.accredited.values()
    midnights |= {last + timedelta(days=1) for last in lasts if last is not None}
    moments = {datetime.combine(day, datetime.min.time(), tzinfo=LONDON) for day in midnights}
    moments |= {one.begins for one in known.agreements} | {one.begins for one in known.offers}
    moments |= {one.begins for one in known.stops}
    moments |= {one.begins for one in known.moves if one.begins is not None}
    moments |= {one.expires for one in known.tokens}
    return sorted(moment.astimezone(UTC) for moment in moments)


def invitable() -> tuple[str, ...]:
    """The names that a wave may invite."""
    return (
        *(principals.organisation(name) for name in ORGANISATIONS),
        *(principals.project(name) for name in PROJECTS),
    )
