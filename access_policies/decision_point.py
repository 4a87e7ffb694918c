"""The one decision point: may this subject do this to that? Default deny. Casbin's only home.

Casbin evaluates the model in `model.conf` over a slice of rules. What it would get wrong by itself
is closed here: an empty slice never reaches it (no rules at all would be evaluated with empty
strings), its evaluator is replaced by a compiled matcher, its policy is an immutable tuple that
belongs to one thread, and anything that raises is a refusal.
"""

import logging
import re
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import casbin
from casbin.rbac.role_manager import RoleManager
from sqlalchemy import Connection

from access_policies import principals, rules, sentences
from access_policies.decision import Decision
from access_policies.errors import InvalidRule, PolicyError
from access_policies.matcher import Matcher
from access_policies.memo import Memo
from access_policies.rules import Effect, Rule
from access_policies.slice_query import Found
from access_policies.vocabulary import Action, Audience, Environment, Resource, Subject

logger = logging.getLogger(__name__)

_MODEL = Path(__file__).with_name("model.conf")

# Of Casbin's other effects some allow what no rule does, and some let the order of rules decide.
_EFFECT = "some(where (p_eft == allow)) && !some(where (p_eft == deny))"

# Every rule of a slice is on its dataset. So slices that differ in nothing but the dataset's name are
# answered alike, as long as the matcher reads no more of it than this.
_ON_THE_DATASET = {"p_obj == r_obj", "p_obj == r_ctx.organisation", "p_obj == '*'"}
_NAMES_OF_DATASETS = re.compile(r"\b(p_obj|r_obj|p_id|organisation)\b")

_MOST_KEPT = 16_384

STEWARDSHIP = frozenset(
    {
        Action.PUBLISH,
        Action.DECIDE_REQUEST,
        Action.AUDIT,
        Action.ADMINISTER_ORGANISATION,
        Action.ADMINISTER,
    }
)
"""Actions of those who look after data. A stage says who may use it, and closes none of these."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the matcher reads of a request beside who, what and which action."""

    now: float
    audience: int
    stage: int
    purpose: str
    organisation: str


class Question(NamedTuple):
    """All that an answer depends on but the policy and the time: what an answer is kept by."""

    subject: Subject
    purpose: str
    action: Action
    dataset: str


class DecisionPoint:
    """Answers two questions: may I do this one thing, and on which of these may I.

    It never raises: what cannot be decided is refused and logged, without the caller's details.
    `kept` is for whoever asks it in the transactions of one database (see `memo`); it keeps nothing
    there by itself. Safe to share between threads.
    """

    def __init__(self, model: Path = _MODEL) -> None:
        self.kept: Memo[Question, Decision] = Memo(_MOST_KEPT)
        self._model = str(model)
        self._own = threading.local()
        self._matcher = _matcher_of(self._model)

    @property
    def reads(self) -> frozenset[str]:
        """The comparisons that the model's matcher makes; see `Matcher`."""
        return self._matcher.reads

    def decide(
        self,
        connection: Connection,
        subject: Subject,
        action: Action,
        resource: Resource,
        environment: Environment,
    ) -> Decision:
        """Decide one request. The answer's `until` covers the rules only.

        The caller shortens it by whatever else ends by time: the token, the membership or the
        secondment that made the subject what it is (`Principal.valid_until`).
        """
        try:
            found, *_ = rules.rows_for(connection, resource.dataset, subject.principals, action)
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer is no
            return _refused_by(error, action)
        return self.decide_over(found, subject, action, resource, environment)

    def decide_over(
        self,
        found: Iterable[Found],
        subject: Subject,
        action: Action,
        resource: Resource,
        environment: Environment,
    ) -> Decision:
        """As `decide`, over the rows of the slice (`rules.rows_for`), of which any may be damaged."""
        try:
            return self.over(rules.in_slice(found), subject, action, resource, environment)
        except Exception as error:  # noqa: BLE001 - as above
            return _refused_by(error, action)

    def permitted(
        self,
        connection: Connection,
        subject: Subject,
        action: Action,
        resources: Iterable[Resource],
        environment: Environment,
    ) -> tuple[Resource, ...]:
        """Those of the resources, in their order, on which the action is allowed."""
        try:
            held = rules.slices_for(connection, subject.principals, action)
        except Exception as error:  # noqa: BLE001 - as above
            _refused_by(error, action)
            return ()
        answers: dict[Hashable, bool] = {}
        return tuple(
            resource
            for resource in resources
            if self._allowed(held, answers, subject, action, resource, environment)
        )

    def over(
        self,
        found: tuple[Rule, ...],
        subject: Subject,
        action: Action,
        resource: Resource,
        environment: Environment,
    ) -> Decision:
        """Decide over a slice in hand, the preferred rule last. May raise; `decide` does not."""
        until = _next_boundary(found, environment.now)
        determining = (
            self._enforce(found, subject, action, resource, environment) if found else None
        )
        if determining is None or determining.effect is Effect.DENY:
            reason = sentences.refusal(determining, action, resource.dataset)
            rule = determining.id if determining else ""
            return Decision(allowed=False, reason=reason, rule=rule, until=until)
        return Decision(
            allowed=True,
            reason=sentences.permission(determining, action, resource.dataset),
            rule=determining.id,
            grant=determining.grant,
            obligations=determining.obligations,
            until=until,
        )

    def _allowed(
        self,
        held: Mapping[str, tuple[Rule, ...] | None],
        answers: dict[Hashable, bool],
        subject: Subject,
        action: Action,
        resource: Resource,
        environment: Environment,
    ) -> bool:
        """As `over` has it; `answers` are those to slices that say the same of other datasets."""
        try:
            found = _slice(held, resource.dataset)
            shape = None if found is None else (resource.stage, *map(_shape, found))
            if shape not in answers:
                answers[shape] = False
                if found is None:
                    raise InvalidRule("A rule that bears on this is damaged.")
                answers[shape] = self.over(found, subject, action, resource, environment).allowed
            return answers[shape]
        except Exception as error:  # noqa: BLE001 - as above
            return _refused_by(error, action).allowed

    def _enforce(
        self,
        found: tuple[Rule, ...],
        subject: Subject,
        action: Action,
        resource: Resource,
        environment: Environment,
    ) -> Rule | None:
        """The rule that decided: a denial, else the preferred permission, else none."""
        circumstances = Circumstances(
            now=environment.now.timestamp(),
            audience=int(subject.audience),
            stage=int(ceiling(action, resource, environment)),
            purpose=environment.purpose,
            organisation=rules.organisation_wide(resource.dataset),
        )
        allowed, row = self._enforcer().explained(
            tuple(_policy_row(rule) for rule in found),
            subject.principals | {principals.EVERYONE},
            (subject.person, resource.dataset, str(action), circumstances),
        )
        if not row:
            return None
        rule = next(rule for rule in found if rule.id == row[-1])
        if allowed is not (rule.effect is Effect.ALLOW):
            raise RuntimeError("the effect and the determining rule disagree")
        return rule

    def _enforcer(self) -> "_SliceEnforcer":
        enforcer: _SliceEnforcer | None = getattr(self._own, "enforcer", None)
        if enforcer is None:
            enforcer = self._own.enforcer = _SliceEnforcer(self._model, self._matcher)
        return enforcer


def ceiling(action: Action, resource: Resource, environment: Environment) -> Audience:
    """The least trusted audience to whom the action on the resource is open now."""
    if action in STEWARDSHIP:
        return Audience.PUBLIC
    return min(resource.stage, environment.stage)


class _CallersNames(RoleManager):  # type: ignore[misc]
    """Tells Casbin which names the caller of the moment goes by."""

    names: frozenset[str] = frozenset()

    def has_link(self, _caller: str, name: str, *_domain: str) -> bool:
        return name in self.names


class _CompiledExpression:
    """Stands where Casbin expects its evaluator."""

    def __init__(self, matcher: Matcher, has_name: Callable[[str, str], bool]) -> None:
        self._matcher = matcher
        self._has_name = has_name

    def eval(self, values: dict[str, object]) -> bool:
        return self._matcher.matches(self._has_name, values)


class _SliceEnforcer(casbin.Enforcer):  # type: ignore[misc]
    """Casbin over one slice at a time, in one thread."""

    def __init__(self, model: str, matcher: Matcher) -> None:
        super().__init__(model)
        # Its own logger writes who was refused what; decisions are recorded by the audit log.
        self.logger = logging.getLogger(f"{__name__}.casbin")
        self.logger.disabled = True
        self._callers = _CallersNames()
        self._expression = _CompiledExpression(matcher, self._callers.has_link)
        self.model["g"]["g"].rm = self._callers

    def explained(
        self,
        policy: tuple[tuple[str | int, ...], ...],
        names: frozenset[str],
        request: tuple[object, ...],
    ) -> tuple[bool, tuple[str | int, ...]]:
        """Whether allowed, and the row that decided (empty where none matched)."""
        self._callers.names = names
        self.model["p"]["p"].policy = policy
        try:
            allowed, row = self.enforce_ex(*request)
        finally:
            self._callers.names = frozenset()
            self.model["p"]["p"].policy = ()
        return bool(allowed), tuple(row)

    def _get_expression(self, _matcher: str, _functions: Any = None) -> _CompiledExpression:
        return self._expression


def _matcher_of(path: str) -> Matcher:
    """The compiled matcher of a model. Raises PolicyError where the model is unfit."""
    model = casbin.Enforcer.new_model(path)
    if model["e"]["e"].value != _EFFECT:
        raise PolicyError(
            "The policy model's effect must be: a permission matches, and no denial does.",
            next_step=f"Write it as Casbin's: {_EFFECT}",
        )
    names = frozenset({*model["r"]["r"].tokens, *model["p"]["p"].tokens} - {"r_ctx"})
    matcher = Matcher(model["m"]["m"].value, names)
    if {one for one in matcher.reads if _NAMES_OF_DATASETS.search(one)} != _ON_THE_DATASET:
        raise PolicyError(
            "The policy model's matcher may read of a dataset's name only whether a rule is on it.",
            next_step="Compare obj with the request's, its organisation's and '*', and no id.",
        )
    return matcher


def _policy_row(rule: Rule) -> tuple[str | int, ...]:
    return (
        rule.subject,
        rule.dataset,
        rule.action,
        rule.purpose,
        rule.nbf,
        rule.exp,
        int(rule.stage),
        rule.effect.value,
        rule.id,
    )


def _shape(rule: Rule) -> tuple[str | int, ...]:
    """What the matcher reads of a rule that is on the dataset, which it is not asked about."""
    subject, _dataset, *others, _id = _policy_row(rule)
    return (subject, *others)


def _slice(held: Mapping[str, tuple[Rule, ...] | None], dataset: str) -> tuple[Rule, ...] | None:
    """The slice of one dataset out of all that is held; None where a rule of it is damaged."""
    parts: list[tuple[Rule, ...]] = []
    for scope in dict.fromkeys((dataset, rules.organisation_wide(dataset), rules.ANY)):
        if scope in held:
            part = held[scope]
            if part is None:
                return None
            parts.append(part)
    return parts[0] if len(parts) == 1 else rules.in_order(rule for part in parts for rule in part)


def _next_boundary(found: tuple[Rule, ...], now: datetime) -> datetime | None:
    """The first moment after now at which any rule of the slice begins or ends."""
    moment = now.timestamp()
    ahead = [
        edge for rule in found for edge in (rule.nbf, rule.exp) if moment < edge < rules.FOREVER
    ]
    return datetime.fromtimestamp(min(ahead), UTC) if ahead else None


def _refused_by(error: Exception, action: Action) -> Decision:
    # Only the kind of error: its text may quote the caller or a rule.
    logger.error("A decision on %s failed with %s and was refused.", action, type(error).__name__)
    return Decision(
        allowed=False,
        reason="The decision could not be made, so the answer is no. Tell the operator.",
    )
