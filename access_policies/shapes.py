"""What many callers may do with many datasets, by asking Casbin once for each shape of a slice.

Two slices have the same shape where every comparison that the matcher makes comes out the same for
both, rule by rule. So one answer serves all slices of a shape, and the names of datasets and callers
do not matter. That is sound only while the matcher makes no other comparisons than those listed
here: it is held to the list when this is made.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, case, select

from access_policies import rules
from access_policies.decision_point import DecisionPoint
from access_policies.errors import PolicyError
from access_policies.records import rules as table
from access_policies.rules import Effect, GrantKind, Rule
from access_policies.vocabulary import Action, Audience, Environment, Resource, Subject

KNOWN_COMPARISONS = frozenset(
    {
        "g(r_sub, p_sub)",
        "p_obj == r_obj",
        "p_obj == r_ctx.organisation",
        "p_obj == '*'",
        "p_act == r_act",
        "p_act == '*'",
        "p_nbf <= r_ctx.now",
        "r_ctx.now < p_exp",
        "p_eft == 'deny'",
        "r_ctx.audience <= r_ctx.stage",
        "r_ctx.audience <= p_stage",
        "p_purpose == '*'",
        "p_purpose == r_ctx.purpose",
    }
)

_READING = (Action.QUERY, Action.DOWNLOAD)
_ASKED = (*_READING, Action.DISCOVER)
_KINDS = {kind.value: place for place, kind in enumerate(GrantKind)}
_NAMES_AT_ONCE = 500


class Line(NamedTuple):
    """A rule in force. From `action` to `breadth` it has all that comparisons tell apart.

    `breadth` says how many datasets it is on: one (0), an organisation's (1) or all (2).
    """

    subject: str
    dataset: str
    action: str
    purpose: str
    stage: int
    effect: str
    breadth: int
    exp: int
    grant: str
    id: str

    @property
    def reads(self) -> bool:
        """Whether data is read by it; else it is only found, and so can be asked for."""
        return self.action in _READING

    @property
    def preference(self) -> tuple[int, int, int, int, str]:
        """As `Rule.preference`; a grant of no known kind comes last."""
        kind = _KINDS.get(self.grant.partition(":")[0], len(_KINDS))
        return kind, self.breadth, self.stage, -self.exp, self.id


_SHAPE = slice(Line._fields.index("action"), Line._fields.index("breadth") + 1)


class Shapes:
    """Answers by shape, at one moment. Not to be shared between threads."""

    def __init__(self, decision_point: DecisionPoint, *, now: datetime) -> None:
        """Raise PolicyError where the matcher compares what a shape does not hold."""
        unknown = decision_point.reads - KNOWN_COMPARISONS
        if unknown:
            raise PolicyError(
                f"The policy model's matcher compares {', '.join(sorted(unknown))}, which no shape "
                "holds, so that effects cannot be foreseen.",
                next_step="Add it to access_policies/shapes.py with what shapes then hold.",
            )
        self._decision_point = decision_point
        self._now = now
        self._answers: dict[tuple[object, ...], tuple[int, ...]] = {}

    def find(
        self, lines: list[Line], dataset: str, audience: Audience, purpose: str
    ) -> Line | None:
        """By which of the lines, all that there are for a dataset and a caller's names, it is open.

        Reading it comes before finding it. It is asked as if the audience were within the stage.
        """
        asked = (audience, purpose, *[line[_SHAPE] for line in lines])
        if asked not in self._answers:
            self._answers[asked] = self._decide(lines, dataset, audience, purpose)
        places = self._answers[asked]
        if not places:
            return None
        if len(places) == 1:
            return lines[places[0]]
        return min((lines[place] for place in places), key=lambda line: line.preference)

    def _decide(
        self, lines: list[Line], dataset: str, audience: Audience, purpose: str
    ) -> tuple[int, ...]:
        """The places of the lines that allow by themselves what all of them together allow."""
        for action in _ASKED:
            held = [line for line in lines if line.action in (action, rules.ANY)]
            if held and self._allowed(held, dataset, audience, purpose, action):
                return tuple(
                    place
                    for place, line in enumerate(lines)
                    if line.action == action
                    and self._allowed([line], dataset, audience, purpose, action)
                )
        return ()

    def _allowed(
        self, held: list[Line], dataset: str, audience: Audience, purpose: str, action: Action
    ) -> bool:
        subject = Subject(
            person="", principals=frozenset(line.subject for line in held), audience=audience
        )
        resource = Resource(dataset=dataset, stage=audience)
        environment = Environment(now=self._now, stage=audience, purpose=purpose)
        try:
            found = tuple(map(_rule, held))
            decision = self._decision_point.over(found, subject, action, resource, environment)
        except Exception:  # noqa: BLE001 - as the decision point itself: what cannot be decided is a no
            return False
        return decision.allowed


def lines_in_force(
    connection: Connection, names: Iterable[str], *, now: datetime, dataset: str | None = None
) -> Iterator[Line]:
    """The rules for these names by which data is read or found, or both denied, at a moment.

    Those that bear on one dataset, or all.
    """
    moment = now.timestamp()
    breadth = case((table.c.dataset == rules.ANY, 2), (table.c.dataset.like("%.*"), 1), else_=0)
    columns = [breadth if name == "breadth" else table.c[name] for name in Line._fields]
    for some in _in_turn(sorted(set(names)), _NAMES_AT_ONCE):
        query = select(*columns).where(
            table.c.subject.in_(some),
            table.c.action.in_((*_ASKED, rules.ANY)),
            table.c.nbf <= moment,
            table.c.exp > moment,
        )
        if dataset is not None:
            wide = (dataset, rules.organisation_wide(dataset), rules.ANY)
            query = query.where(table.c.dataset.in_(wide))
        yield from map(Line._make, connection.execute(query).fetchall())


def _in_turn(names: list[str], most: int) -> Iterator[list[str]]:
    return (names[start : start + most] for start in range(0, len(names), most))


def _rule(line: Line) -> Rule:
    return Rule(
        id=line.id,
        subject=line.subject,
        dataset=line.dataset,
        action=line.action,
        purpose=line.purpose,
        exp=line.exp,
        stage=Audience(line.stage),
        effect=Effect(line.effect),
        grant=line.grant,
    )
