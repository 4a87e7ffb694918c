"""What is odd about rules: those that can do nothing, and those that open more than is usual.

Nothing here decides anything. A finding is for a person who reviews policy; the decision point is
as strict without it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from access_policies import principals, rules, sentences
from access_policies.decision import RestrictTo
from access_policies.rulebook import Damaged
from access_policies.rules import DATA_ACTIONS, Effect, GrantKind, Rule
from access_policies.scope import AllRows
from access_policies.vocabulary import Audience

_YEAR = 366 * 24 * 3600


class Fault(StrEnum):
    """What is odd.

    UNREACHABLE: no caller can meet it as things are. SHADOWED: another rule always answers before
    it. EXPIRED: it has ended. OVER_BROAD: it opens more, to more, or for longer than is usual.
    UNKNOWN: what it names is not there. DAMAGED: it cannot be read, so it refuses what it bears on.
    """

    UNREACHABLE = "unreachable"
    SHADOWED = "shadowed"
    EXPIRED = "expired"
    OVER_BROAD = "over-broad"
    UNKNOWN = "unknown"
    DAMAGED = "damaged"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something odd about one rule, in a sentence; `by` is the rule that is in its way, if one is."""

    fault: Fault
    rule: str
    grant: str
    sentence: str
    by: str = ""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What there is for rules to name.

    `datasets` are addresses, `subjects` the names that somebody goes by now, each with the audience
    that it acts in (see `principals`); `stages` the audience that a dataset, or `*`, is open to.
    """

    datasets: frozenset[str]
    subjects: Mapping[str, Audience]
    stages: Mapping[str, Audience]


def lint(found: Iterable[Rule], known: Known, *, now: int) -> tuple[Finding, ...]:
    """Everything odd about the rules at a moment (epoch seconds), in the rules' order."""
    every = tuple(found)
    live = tuple(rule for rule in every if rule.exp > now)
    ahead = _ahead(live)
    return tuple(
        finding for rule in every for finding in _about(rule, known, ahead.get(rule.id), now)
    )


def damage(one: Damaged) -> Finding:
    """What is to be said of a rule that cannot be read, and so is in no text either."""
    # Its values may be anything, so they are told as they would be quoted.
    what = f"{one.subject!a:.80} to {one.action!a:.80} on {one.dataset!a:.80}"
    return Finding(
        fault=Fault.DAMAGED,
        rule=one.id,
        grant=one.grant,
        sentence=f"The rule {one.id!a:.120} ({what}) cannot be read: whatever it bears on is refused. "
        "End what it came from, or let the operator put the row back from a backup.",
    )


def _about(rule: Rule, known: Known, ahead: Rule | None, now: int) -> Iterator[Finding]:
    if rule.exp <= now:
        ended = f"It ended at {sentences.moment(rule.exp)}, and is history."
        yield _finding(Fault.EXPIRED, rule, ended)
        return
    yield from _unknown(rule, known)
    if rule.effect is Effect.ALLOW:
        yield from _unreachable(rule, known)
        yield from _over_broad(rule, now)
    if ahead is not None:
        sentence = f"{sentences.source(ahead)} answers before it whenever it could."
        yield _finding(Fault.SHADOWED, rule, sentence, by=ahead.id)


def _unknown(rule: Rule, known: Known) -> Iterator[Finding]:
    one = rule.dataset != rules.ANY and not rule.dataset.endswith(".*")
    if one and rule.dataset not in known.datasets:
        yield _finding(Fault.UNKNOWN, rule, f"There is no dataset {rule.dataset}.")
    named = rule.subject.partition(":")[0] in ("project", "person", "member", "organisation")
    if named and rule.subject not in known.subjects:
        yield _finding(Fault.UNKNOWN, rule, f"Nobody goes by the name {rule.subject} now.")


def _unreachable(rule: Rule, known: Known) -> Iterator[Finding]:
    if rule.kind is GrantKind.ROLE:
        return  # a stage closes none of the work of those who look after data
    audience = known.subjects.get(rule.subject)
    if audience is not None and audience > rule.stage:
        yield _finding(
            Fault.UNREACHABLE,
            rule,
            f"It reaches {sentences.AUDIENCES[rule.stage]}, and {rule.subject} acts for "
            f"{sentences.AUDIENCES[audience]}.",
        )
    least = Audience.GOVERNMENT if audience is None else audience
    opened = min(
        known.stages.get(rules.ANY, Audience.GOVERNMENT),
        known.stages.get(rule.dataset, Audience.PUBLIC),
    )
    if least > opened:
        yield _finding(
            Fault.UNREACHABLE,
            rule,
            f"The rollout has reached {sentences.AUDIENCES[opened]}, and {rule.subject} acts for "
            f"{sentences.AUDIENCES[least]}.",
        )


def _over_broad(rule: Rule, now: int) -> Iterator[Finding]:
    if rule.kind is GrantKind.ROLE:
        return
    if rule.dataset == rules.ANY or rule.dataset.endswith(".*"):
        yield _finding(Fault.OVER_BROAD, rule, "It opens datasets that nobody has looked at.")
    if rule.action not in DATA_ACTIONS:
        return
    if rule.kind is GrantKind.AGREEMENT and rule.exp - now > 5 * _YEAR:
        yield _finding(Fault.OVER_BROAD, rule, "It opens data for more than five years.")
    if rule.kind is GrantKind.OFFER and rule.exp == rules.FOREVER and _whole(rule):
        yield _finding(
            Fault.OVER_BROAD,
            rule,
            "It offers every row, and has no last day on which to look again.",
        )


def _whole(rule: Rule) -> bool:
    scopes = [
        table for one in rule.obligations if isinstance(one, RestrictTo) for table in one.tables
    ]
    return all(isinstance(scope.rows, AllRows) and not scope.masks for scope in scopes)


def _ahead(live: tuple[Rule, ...]) -> dict[str, Rule]:
    """For each rule that never decides anything, one that does so in its place.

    A denial is ahead of whatever it covers. Of permissions for the same name, dataset, action and
    purpose the one that is preferred decides, so the other never does if it lasts no longer.
    """
    denials: dict[str, list[Rule]] = defaultdict(list)
    alike: dict[tuple[str, ...], list[Rule]] = defaultdict(list)
    for rule in live:
        if rule.effect is Effect.DENY:
            denials[rule.subject].append(rule)
        alike[(rule.subject, rule.dataset, rule.action, rule.effect)].append(rule)
    found = {}
    for rule in live:
        denying = (*denials[rule.subject], *denials[principals.EVERYONE])
        same = alike[(rule.subject, rule.dataset, rule.action, rule.effect)]
        candidates = (*(other for other in denying if _denies(other, rule)), *same)
        ahead = next((other for other in candidates if _covers(other, rule)), None)
        if ahead is not None:
            found[rule.id] = ahead
    return found


def _denies(denial: Rule, rule: Rule) -> bool:
    if rule.effect is Effect.DENY and denial.dataset == rule.dataset:
        return False  # two denials of one thing are two people's decisions; neither is in the way
    over = (rule.dataset, rules.organisation_wide(rule.dataset), rules.ANY)
    return denial.dataset in over and denial.action in (rule.action, rules.ANY)


def _covers(other: Rule, rule: Rule) -> bool:
    """Whether `other` matches whenever `rule` does, and is preferred."""
    if other.id == rule.id or other.nbf > rule.nbf or other.exp < rule.exp:
        return False
    if other.effect is Effect.DENY:
        return rule.effect is Effect.ALLOW or other.dataset != rule.dataset
    wide = other.stage >= rule.stage and other.purpose in (rule.purpose, rules.ANY)
    return wide and other.preference < rule.preference


def _finding(fault: Fault, rule: Rule, sentence: str, *, by: str = "") -> Finding:
    told = f"{sentences.source(rule)} ({rule.subject} on {rule.dataset}): {sentence}"
    return Finding(fault=fault, rule=rule.id, grant=rule.grant, sentence=told, by=by)
