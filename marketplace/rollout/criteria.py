"""What must hold before the marketplace leaves a stage, evaluated from its own records.

The thresholds are data (`exit_criteria.csv`, or the operator's own file of the same form). A
criterion without evidence, such as a median of no decisions, is not met.
"""

import csv
import statistics
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

import msgspec
from sqlalchemy import Connection, case, func, or_, select

from access_policies import stages
from access_policies.damage import count_damaged
from access_policies.records import rules as rules_table
from access_policies.rules import FOREVER, Effect
from access_policies.vocabulary import Audience, Role
from catalogue.records import releases
from marketplace.audit.entries import EntryKind
from marketplace.audit.records import entries
from marketplace.clock import LONDON
from marketplace.errors import SettingInvalid
from marketplace.identity.records import appointments
from marketplace.rollout import proposals
from marketplace.sharing.records import moves, requests
from marketplace.sharing.requests import RequestState

SHIPPED = Path(__file__).with_name("exit_criteria.csv")

_DAY = 24 * 3600
_DECIDED = (RequestState.ACCEPTED, RequestState.REJECTED, RequestState.RETURNED)
_OWN_ACCORD = RequestState.CANCELLED


class Criterion(StrEnum):
    """What is measured. Of days without an incident more are better; of all else, less."""

    DAYS_WITHOUT_INCIDENT = "days_without_incident"
    DATASETS_WITHOUT_OWNER = "datasets_without_owner"
    MEDIAN_DAYS_TO_DECIDE = "median_days_to_decide"
    DAMAGED_RULES = "damaged_rules"


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """One criterion for leaving one stage."""

    stage: Audience
    criterion: Criterion
    threshold: float


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A criterion with its figure (None: no evidence), whether it is met, and a sentence."""

    stage: Audience
    criterion: Criterion
    threshold: float
    figure: float | None
    met: bool
    sentence: str


def read_thresholds(path: Path = SHIPPED) -> tuple[Threshold, ...]:
    """Read thresholds from a CSV file. Raises SettingInvalid where it is not one."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(
                Threshold(
                    stage=Audience[row["stage"].upper()],
                    criterion=Criterion(row["criterion"]),
                    threshold=float(row["threshold"]),
                )
                for row in csv.DictReader(file)
            )
    except (OSError, KeyError, ValueError, TypeError, AttributeError, csv.Error):
        raise SettingInvalid(
            "The file of exit criteria cannot be read.",
            next_step="Compare MARKETPLACE_EXIT_CRITERIA with marketplace/rollout/exit_criteria.csv: "
            "stage, criterion, threshold.",
        ) from None


def evaluate(
    connection: Connection,
    thresholds: Iterable[Threshold],
    leaving: Iterable[Audience],
    *,
    now: datetime,
) -> tuple[Finding, ...]:
    """The criteria for leaving these stages, each with its figure at a moment."""
    left = set(leaving)
    wanted = [one for one in thresholds if one.stage in left]
    figures = {
        criterion: _MEASURES[criterion](connection, now)
        for criterion in Criterion
        if any(one.criterion is criterion for one in wanted)
    }
    return tuple(_finding(one, figures[one.criterion]) for one in wanted)


def _finding(asked: Threshold, figure: float | None) -> Finding:
    if figure is None:
        met = False
    elif asked.criterion is Criterion.DAYS_WITHOUT_INCIDENT:
        met = figure >= asked.threshold
    else:
        met = figure <= asked.threshold
    return Finding(
        stage=asked.stage,
        criterion=asked.criterion,
        threshold=asked.threshold,
        figure=figure,
        met=met,
        sentence=_sentence(asked, figure),
    )


def _sentence(asked: Threshold, figure: float | None) -> str:
    limit = f"{asked.threshold:g}"
    match asked.criterion:
        case Criterion.DAYS_WITHOUT_INCIDENT:
            if figure is None:
                return f"Nothing was ever recorded; {limit} days without an incident are asked for."
            return f"{figure:g} days in this stage without an incident; {limit} are asked for."
        case Criterion.DATASETS_WITHOUT_OWNER:
            return f"{figure:g} published datasets without a named owner; at most {limit} may be."
        case Criterion.MEDIAN_DAYS_TO_DECIDE:
            if figure is None:
                return f"No request was decided yet; a median within {limit} days is asked for."
            return f"Requests are decided within {figure:.3g} days at the median; {limit} are the most."
        case Criterion.DAMAGED_RULES:
            return f"{figure:g} rules are damaged; at most {limit} may be."


def _days_without_incident(connection: Connection, now: datetime) -> float | None:
    """Whole days since the last incident, or since the stage began if that was later.

    An incident is a denial that was written or lifted, or an audit log that did not verify.
    """
    used = case((rules_table.c.exp < FOREVER, rules_table.c.exp), else_=rules_table.c.nbf)
    closed = select(func.max(used)).where(rules_table.c.effect == Effect.DENY)
    last_denial = connection.execute(closed).scalar()
    moments = (last_denial, _verification_failed(connection), _stage_began(connection, now))
    since = [moment for moment in moments if moment is not None]
    if not since:
        return None
    return max(0, int((now.timestamp() - max(since)) // _DAY))


def _verification_failed(connection: Connection) -> float | None:
    """Epoch seconds of the last time that the audit log was found not to verify."""
    failed = select(func.max(entries.c.recorded_at)).where(entries.c.kind == EntryKind.AUDIT_FAILED)
    return _epoch(connection.execute(failed).scalar())


def _epoch(written: str | None) -> float | None:
    return None if written is None else datetime.fromisoformat(written).timestamp()


def _stage_began(connection: Connection, now: datetime) -> float | None:
    """Epoch seconds since when the marketplace has its stage; the log's first entry if unmoved."""
    held = stages.holding(stages.history(connection, stages.MARKETPLACE), now)
    if held is not None and held.begins != stages.AT_ONCE:
        return float(held.begins)
    if held is not None:
        made = [
            one.outcome.at
            for one in proposals.list_all(connection)
            if one.outcome is not None and one.outcome.revision == held.since_revision
        ]
        if made:
            return made[0].timestamp()
    first = select(func.min(entries.c.recorded_at))
    return _epoch(connection.execute(first).scalar())


def _datasets_without_owner(connection: Connection, now: datetime) -> float:
    """Published datasets of organisations in which nobody is named as owner on the day."""
    today = now.astimezone(LONDON).date()
    published = select(releases.c.organisation, releases.c.dataset).distinct().subquery()
    owned = select(appointments.c.organisation).where(
        appointments.c.role == Role.OWNER,
        appointments.c.organisation.is_not(None),
        appointments.c.first_day <= today,
        or_(appointments.c.last_day.is_(None), appointments.c.last_day >= today),
    )
    counted = select(func.count()).select_from(published)
    unowned = counted.where(published.c.organisation.not_in(owned))
    return float(connection.execute(unowned).scalar_one())


def _median_days_to_decide(connection: Connection, now: datetime) -> float | None:
    """From a request's submission to the first decision; who still waits counts as waiting till now.

    Without a decision at all there is no median. A request that its project cancelled is left out.
    """
    decided = (
        select(moves.c.request, func.min(moves.c.at).label("at"))
        .where(moves.c.after.in_(_DECIDED))
        .group_by(moves.c.request)
        .subquery()
    )
    found = connection.execute(
        select(requests.c.asked_at, decided.c.at)
        .outerjoin(decided, decided.c.request == requests.c.id)
        .where(requests.c.state != _OWN_ACCORD)
    ).all()
    if all(row.at is None for row in found):
        return None
    waited: list[float] = [((row.at or now) - row.asked_at) / timedelta(days=1) for row in found]
    return statistics.median(waited)


def _damaged_rules(connection: Connection, _now: datetime) -> float:
    return count_damaged(connection)


_MEASURES: dict[Criterion, Callable[[Connection, datetime], float | None]] = {
    Criterion.DAYS_WITHOUT_INCIDENT: _days_without_incident,
    Criterion.DATASETS_WITHOUT_OWNER: _datasets_without_owner,
    Criterion.MEDIAN_DAYS_TO_DECIDE: _median_days_to_decide,
    Criterion.DAMAGED_RULES: _damaged_rules,
}
