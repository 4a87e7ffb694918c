"""One change of a policy file made: by the step that a command takes, under the same authority.

A file may say anything; what it comes to is written by the marketplace's own hand. So each change is
taken apart into what a command could say (a last day, a scope, a party), and refused unless the rules
that follow from that are the ones in the file.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import NamedTuple

import msgspec

from access_policies import principals, rules, standing
from access_policies.decision import LimitOutput, LimitResult, OutputTier, RestrictTo
from access_policies.policy_changes import Change, Deed
from access_policies.rules import DATA_ACTIONS, GrantKind, Rule
from access_policies.vocabulary import Action, Audience, Authority
from catalogue.address import DatasetAddress
from catalogue.places import Places
from marketplace.clock import last_day_ending
from marketplace.errors import InvalidSharing
from marketplace.identity import projects
from marketplace.plain_text import is_plain
from marketplace.sharing import agreements, revisions, standing_steps
from marketplace.sharing.agreements import Agreement, Terms
from marketplace.sharing.scopes import Scope
from marketplace.sharing.step import Step
from marketplace.sharing.stops import Party


def make(step: Step, places: Places, change: Change, reason: str) -> Agreement | None:
    """Make one change, and return the agreement that lets out something else by it, if one does.

    Raises InvalidSharing for what no file can do, and whatever the step of the command raises.
    """
    if change.deed is Deed.MAKE and change.identifier:
        raise InvalidSharing(
            "There is no such grant in the policy that the file was written from.",
            next_step=f"To make one, write {change.kind}: without an identifier.",
        )
    match change.kind:
        case GrantKind.AGREEMENT:
            return _agreement(step, places, change, reason)
        case GrantKind.OFFER:
            _offer(step, places, change, reason)
        case GrantKind.DENIAL:
            _stop(step, change, reason)
        case GrantKind.ROLE:
            raise InvalidSharing(
                "What a role may do is the marketplace's own law, and no file changes it.",
                next_step="Name or dismiss who holds it: marketplace staff.",
            )
        case GrantKind.LISTING:
            raise InvalidSharing(
                "Who may find a dataset is said when it is first published.",
                next_step="Leave it as it was; marketplace stop closes a dataset.",
            )
    return None


def _agreement(step: Step, places: Places, change: Change, reason: str) -> Agreement | None:
    if change.deed is Deed.MAKE:
        raise InvalidSharing(
            "An agreement comes from a request with a purpose and a legal basis.",
            next_step="Let the project ask: marketplace request; its owner approves that.",
        )
    if change.deed is Deed.END:
        revisions.revoke(step, change.identifier, reason)
        return None
    agreement = revisions.overseen(step, change.identifier)
    wanted = _revision_of(step, agreement, change)
    if wanted.terms == agreement.terms and wanted.last_day > agreement.last_day:
        return revisions.extend(step, agreement.id, wanted.last_day, reason)
    return revisions.revise(step, places, agreement, wanted.terms, wanted.last_day, reason)


class _Revision(NamedTuple):
    terms: Terms
    last_day: date


def _revision_of(step: Step, agreement: Agreement, change: Change) -> _Revision:
    """The terms and the last day that a changed agreement comes to. Raises InvalidSharing."""
    project = projects.get(step.connection, agreement.project)
    bound = _bound(change.after)
    last_day = _last_day(change.after)
    if last_day is None:
        raise InvalidSharing("An agreement has a last day.", next_step="Say when it ends.")
    people = _people(change.after, agreement.project)
    terms = msgspec.structs.replace(
        agreement.terms,
        scope=bound.scope,
        output_tier=bound.tier,
        result_limit=bound.limit,
        actions=_actions(agreement.terms.actions, {rule.action for rule in change.after}),
        # They are the same people in whichever order the file has them.
        people=agreement.terms.people if set(people) == set(agreement.terms.people) else people,
    )
    revised = msgspec.structs.replace(
        agreement, terms=terms, last_day=last_day, ends_at=_moment(change.after[0].exp)
    )
    _check_said(
        change.after,
        agreements.rules_of(revised, project),
        begins=change.before[0].nbf,
        may_be="last day, tables, columns, rows, masks, limits, actions and named people",
    )
    return _Revision(terms, last_day)


def _actions(held: tuple[Action, ...], written: set[str]) -> tuple[Action, ...]:
    """Those that were agreed and are in the file still; first rows go without saying with a query."""
    if Action.QUERY in held and Action.QUERY not in written:
        held = (Action.PREVIEW, *held)
    return tuple(action for action in dict.fromkeys(held) if action in written)


def _people(found: tuple[Rule, ...], project: str) -> tuple[str, ...]:
    """Who is named, where not the whole project is meant; `_check_said` sees what is neither."""
    prefix = principals.member(project, "")
    names = dict.fromkeys(rule.subject for rule in found)
    return tuple(name.removeprefix(prefix) for name in names if name.startswith(prefix))


def _offer(step: Step, places: Places, change: Change, reason: str) -> None:
    if change.before:
        standing_steps.withdraw(step, change.identifier, reason)
    if not change.after:
        return
    bound, last_day = _bound(change.after), _last_day(change.after)
    if bound.limit is not None or bound.tier is not OutputTier.ROWS or not bound.scope:
        raise InvalidSharing(
            "A standing offer names tables and lets their rows out, without a limit on a result.",
            next_step="Write obligations of the types restrict_to (with tables) and limit_output "
            "(with the tier rows).",
        )
    first = change.after[0]
    expected = standing.offer_rules(
        "one",
        first.dataset,
        first.stage,
        (),
        begins=_moment(first.nbf),
        ends=_moment(first.exp) if last_day is not None else None,
    )
    _check_said(
        change.after,
        expected,
        begins=change.before[0].nbf if change.before else 0,
        may_be=f"dataset, audience (subject and reach), last day and scope; it opens "
        f"{', '.join(standing.OFFERED)}",
    )
    dataset = DatasetAddress.parse(first.dataset)
    standing_steps.offer(step, places, dataset, first.stage, bound.scope, last_day)


def _stop(step: Step, change: Change, reason: str) -> None:
    if change.deed is Deed.CHANGE:
        raise InvalidSharing(
            "A stop is made and ended as a whole.",
            next_step="Take it out to end it, and write another: denial: without an identifier.",
        )
    if change.deed is Deed.END:
        standing_steps.resume(step, change.identifier.partition("@")[2], reason)
        return
    dataset = change.after[0].dataset
    parties = tuple(_parties({rule.subject for rule in change.after}))
    actions = (rules.ANY,) if dataset == rules.ANY else tuple(sorted(DATA_ACTIONS))
    # Whose stop it is, the step says; here it does not matter.
    expected = standing.denial_rules(
        "one",
        Authority.OWNER,
        subjects=tuple(name for party in parties for name in party.names),
        dataset=dataset,
        actions=actions,
        begins=_moment(0),
    )
    _check_said(
        change.after,
        expected,
        begins=0,
        may_be=f"dataset and party; it closes {', '.join(actions)}",
    )
    for party in parties:
        standing_steps.stop(step, dataset, party, reason)


def _parties(names: set[str]) -> Iterator[Party]:
    """The parties that are denied something by exactly these names. Raises InvalidSharing."""
    only = {audience for audience in Audience if principals.only(audience) in names}
    found = [Party(audience=min(only))] if only else []
    for name in sorted(names):
        kind, _, named = name.partition(":")
        match kind if is_plain(name) else "":
            case "*":
                found.append(Party())
            case "organisation" | "employer":
                found.append(Party(organisation=named))
            case "project":
                found.append(Party(project=named))
            case "person":
                found.append(Party(person=named))
            case "only":
                continue  # told apart above
            case _:
                raise InvalidSharing(
                    f"{name!a:.120} cannot be stopped by name.", next_step=_PARTIES
                )
    whole = {name for party in found for name in party.names}
    if lacking := sorted(whole - names):
        raise InvalidSharing(
            f"Such a stop is also for {', '.join(lacking)} on the same dataset.", next_step=_PARTIES
        )
    yield from dict.fromkeys(found)


_PARTIES = (
    "A stop is for *, person:ID, project:NAME, organisation:NAME with employer:NAME, or only:AUDIENCE "
    "with each less trusted one."
)


class _Bound(NamedTuple):
    scope: Scope
    tier: OutputTier
    limit: LimitResult | None


def _bound(found: Iterable[Rule]) -> _Bound:
    """What the rules that open rows oblige to, all to the same. Raises InvalidSharing."""
    said = {rule.obligations for rule in found if rule.action in DATA_ACTIONS}
    kinds = [type(one) for one in next(iter(said), ())]
    if len(said) != 1 or len(set(kinds)) < len(kinds) or RestrictTo not in kinds:
        raise InvalidSharing(
            "Its parts open rows under different obligations, or it has none or one twice.",
            next_step="Give each part the same ones: restrict_to, limit_output, limit_result.",
        )
    scope: Scope = ()
    tier, limit = OutputTier.ROWS, None
    for one in next(iter(said)):
        match one:
            case RestrictTo(tables=tables):
                scope = tables
            case LimitOutput(tier=given):
                tier = given
            case LimitResult():
                limit = one
    return _Bound(scope, tier, limit)


def _last_day(found: tuple[Rule, ...]) -> date | None:
    """The last day of rules that end alike; None where they have no end. Raises InvalidSharing."""
    ends = {rule.exp for rule in found}
    if ends == {rules.FOREVER}:
        return None
    day = last_day_ending(_moment(min(ends)))
    if len(ends) > 1 or day is None:
        raise InvalidSharing(
            "All its parts end with the same day, at the midnight in London that ends it.",
            next_step="A last day of 30 June 2027 is written as ends = 2027-06-30T23:00:00Z, one of "
            "31 December 2027 as ends = 2028-01-01T00:00:00Z.",
        )
    return day


def _check_said(
    found: tuple[Rule, ...], expected: Iterable[Rule], *, begins: int, may_be: str
) -> None:
    """Raise InvalidSharing unless the rules are these, but for their names and obligations."""
    as_it_began = {msgspec.structs.replace(rule, nbf=begins) for rule in expected}
    if _outline(found) != _outline(as_it_began):
        raise InvalidSharing(
            "It says something that cannot be said in a file.",
            next_step=f"What can be said of it: {may_be}. Leave out begins where it is new.",
        )


def _outline(found: Iterable[Rule]) -> frozenset[Rule]:
    return frozenset(
        msgspec.structs.replace(rule, id="", grant="", obligations=()) for rule in found
    )


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
