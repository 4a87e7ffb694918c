"""Why a decision is what it is: the rule that decided, the one that came nearest, what to ask for.

Only rules for the subject's own names are looked at, so nothing is told of others' agreements.
"""

from collections.abc import Iterator
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from access_policies import rules, sentences
from access_policies.decision import Decision
from access_policies.decision_point import DecisionPoint, ceiling
from access_policies.errors import InvalidRule
from access_policies.rules import DATA_ACTIONS, Effect, Rule
from access_policies.vocabulary import Action, Audience, Environment, Resource, Subject


class Obstacle(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why a permission did not match, and what would remove it."""

    sentence: str
    remedy: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A decision with its reasons, in sentences for the person whom it is about.

    `nearest` is the permission that came nearest to allowing where none did, `obstacles` say what
    it lacked, and `ask` what to ask for and whom. `acting` is what the person acts in.
    """

    decision: Decision
    sentence: str
    nearest: Rule | None = None
    obstacles: tuple[str, ...] = ()
    ask: str = ""
    acting: str = ""


def why(
    connection: Connection,
    decision_point: DecisionPoint,
    subject: Subject,
    action: Action,
    resource: Resource,
    environment: Environment,
) -> Explanation:
    """Explain the decision on one request. The caller decides who may hear it."""
    decision = decision_point.decide(connection, subject, action, resource, environment)
    if decision.allowed:
        return Explanation(decision=decision, sentence=decision.reason)
    if decision.rule:
        return Explanation(
            decision=decision,
            sentence=decision.reason,
            ask="Ask the operator of the marketplace why it was closed.",
        )
    try:
        held = rules.slice_for(connection, resource.dataset, subject.principals, None)
    except (InvalidRule, msgspec.MsgspecError):
        # What is wrong with it, and what it says, is the operator's to look at.
        return Explanation(
            decision=decision,
            sentence=f"{decision.reason} A rule that bears on this is damaged.",
            ask="Tell the operator of the marketplace that a rule is damaged.",
        )
    candidates = [
        (tuple(_obstacles(rule, subject, action, resource, environment)), rule)
        for rule in held
        if _could_have_allowed(rule, action)
    ]
    # Without an obstacle the decision failed for another reason; its own sentence says so.
    candidates = [(obstacles, rule) for obstacles, rule in candidates if obstacles]
    if not candidates:
        ask = _ask_for_access(action, resource.dataset)
        return Explanation(decision=decision, sentence=decision.reason, ask=ask)
    obstacles, nearest = min(candidates, key=lambda pair: (len(pair[0]), pair[1].preference))
    told = tuple(obstacle.sentence for obstacle in obstacles)
    return Explanation(
        decision=decision,
        sentence=" ".join((decision.reason, *told)),
        nearest=nearest,
        obstacles=told,
        ask=" ".join(dict.fromkeys(obstacle.remedy for obstacle in obstacles)),
    )


def _could_have_allowed(rule: Rule, action: Action) -> bool:
    if rule.effect is not Effect.ALLOW:
        return False
    return rule.action == action or (action in DATA_ACTIONS and rule.action in DATA_ACTIONS)


def _obstacles(
    rule: Rule, subject: Subject, action: Action, resource: Resource, environment: Environment
) -> Iterator[Obstacle]:
    yield from _in_time(rule, resource.dataset, environment.now)
    if rule.action != action:
        yield Obstacle(
            sentence=f"{sentences.source(rule)} is for another use of the data.",
            remedy=f"Ask the owner of {resource.dataset} to extend it.",
        )
    if rule.purpose not in (rules.ANY, environment.purpose):
        yield Obstacle(
            sentence=f"{sentences.source(rule)} is for another purpose.",
            remedy="Act in the project that it was made for, or ask for this purpose too.",
        )
    yield from _for_audience(rule, subject.audience, ceiling(action, resource, environment))


def _in_time(rule: Rule, dataset: str, now: datetime) -> Iterator[Obstacle]:
    moment = now.timestamp()
    if rule.exp <= moment:
        yield Obstacle(
            sentence=f"{sentences.source(rule)} ended at {sentences.moment(rule.exp)}.",
            remedy=f"Ask the owner of {dataset} for an extension: make a new request.",
        )
    elif rule.nbf > moment:
        yield Obstacle(
            sentence=f"{sentences.source(rule)} begins at {sentences.moment(rule.nbf)}.",
            remedy="Wait until it begins.",
        )


def _for_audience(rule: Rule, audience: Audience, opened: Audience) -> Iterator[Obstacle]:
    acting = f"you act for {sentences.AUDIENCES[audience]}"
    if audience > rule.stage:
        yield Obstacle(
            sentence=f"{sentences.source(rule)} reaches {sentences.AUDIENCES[rule.stage]}, and {acting}.",
            remedy="If you were seconded, ask the lead of your project whether that goes on.",
        )
    if audience > opened:
        yield Obstacle(
            sentence=f"The rollout has reached {sentences.AUDIENCES[opened]}, and {acting}.",
            remedy="Ask the operator of the marketplace when it opens to you.",
        )


def _ask_for_access(action: Action, dataset: str) -> str:
    organisation = dataset.partition(".")[0]
    if action in DATA_ACTIONS:
        return (
            f"Make a data share request for {dataset} in a project, with its purpose and legal "
            f"basis; the owner at {organisation} decides on it."
        )
    if dataset == rules.ANY:
        return "The operator of the marketplace gives out the roles that may."
    return f"A role at {organisation} is needed; the operator of the marketplace gives it out."
