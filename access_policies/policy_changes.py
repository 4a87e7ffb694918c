"""What a policy file would change of what stood when it was written, grant by grant."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from access_policies import policy_text, rules, sentences
from access_policies.policy_text import GrantText, PolicyText
from access_policies.rules import GrantKind, Rule
from access_policies.vocabulary import Audience

_MOST_NAMED = 3


class Deed(StrEnum):
    """What is to be done to a grant."""

    MAKE = "make"
    CHANGE = "change"
    END = "end"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One grant that a file would make, end, or let be another.

    `grant` is `kind:identifier` as the file has it; to be made is one whose identifier is absent, or
    names nothing that stood. `place` says where in the file it is.
    """

    grant: str
    kind: GrantKind
    place: str
    before: tuple[Rule, ...]
    after: tuple[Rule, ...]

    @property
    def deed(self) -> Deed:
        """What is to be done."""
        if not self.before:
            return Deed.MAKE
        return Deed.CHANGE if self.after else Deed.END

    @property
    def identifier(self) -> str:
        """The grant's own; empty where it is to be made."""
        return self.grant.partition(":")[2]

    @property
    def sentence(self) -> str:
        """What it comes to, for people."""
        match self.deed:
            case Deed.MAKE:
                return f"It would be made: {_told(self.after)}."
            case Deed.END:
                return f"It would end: {_told(self.before)}."
            case Deed.CHANGE:
                otherwise = "; ".join(_otherwise(self.before, self.after))
                return f"It would be another: {_told(self.before)}: {otherwise}."


def changes(
    stood: Iterable[Rule], document: PolicyText, text: str, *, now: int
) -> tuple[Change, ...]:
    """What a file changes of the rules that stood when it was written, in the order of the file.

    A grant whose rules are written in another order, or under other identifiers, is the same. One
    that is not in the file and has ended by now is not ended again.
    """
    before = by_grant(stood)
    found = [
        Change(
            grant=grant,
            kind=members[0][0].kind,
            place=members[0][1],
            before=before.get(grant, ()),
            after=tuple(rule for member, _ in members for rule in policy_text.rules_of(member)),
        )
        for (grant, _), members in _written(document, text).items()
    ]
    named = {change.grant for change in found}
    found += [
        Change(grant=grant, kind=held[0].kind, place="taken out", before=held, after=())
        for grant, held in before.items()
        if grant not in named and any(rule.exp > now for rule in held)
    ]
    return tuple(one for one in found if _shape(one.before) != _shape(one.after))


def by_grant(found: Iterable[Rule]) -> Mapping[str, tuple[Rule, ...]]:
    """The rules of each grant, without those that a person has ended."""
    held: dict[str, list[Rule]] = defaultdict(list)
    for rule in found:
        if rule.nbf < rule.exp:
            held[rule.grant].append(rule)
    return {grant: tuple(members) for grant, members in held.items()}


def _written(
    document: PolicyText, text: str
) -> Mapping[tuple[str, object], list[tuple[GrantText, str]]]:
    """What a file says of each grant. What is denied anew on one dataset belongs together."""
    held: dict[tuple[str, object], list[tuple[GrantText, str]]] = defaultdict(list)
    where = policy_text.places(document, text)
    for number, (grant, place) in enumerate(zip(document.grant, where, strict=True)):
        together: object = ""
        if not grant.identifier:
            together = grant.dataset if grant.kind is GrantKind.DENIAL else number
        held[(grant.grant, together)].append((grant, place))
    return held


def _shape(found: tuple[Rule, ...]) -> frozenset[Rule]:
    """The rules without the names that they go by themselves, and what they oblige to in one order."""
    return frozenset(
        msgspec.structs.replace(rule, id="", obligations=tuple(sorted(rule.obligations, key=repr)))
        for rule in found
    )


def _told(found: tuple[Rule, ...]) -> str:
    first = found[0]
    names = _few(sorted({rule.subject for rule in found}))
    actions = ", ".join(dict.fromkeys(_short(rule.action) for rule in found))
    until = "" if first.exp == rules.FOREVER else f", until {sentences.moment(first.exp)}"
    return f"{first.effect} {names} to {actions} on {first.dataset}{until}"


def _otherwise(before: tuple[Rule, ...], after: tuple[Rule, ...]) -> Iterator[str]:
    """In what the rules of a grant differ, one phrase for each field."""
    for field in ("dataset", "purpose", "effect", "stage", "nbf", "exp"):
        had, has = (_values(found, field) for found in (before, after))
        if had != has:
            yield f"{_FIELDS[field]} {has} instead of {had}"
    for field, what in (("subject", "for"), ("action", "to")):
        had_some, has_some = ({getattr(one, field) for one in found} for found in (before, after))
        for sign, some in ((f"no longer {what}", had_some - has_some), (what, has_some - had_some)):
            if some:
                yield f"{sign} {_few(sorted(map(_short, some)))}"
    if {one.obligations for one in before} != {one.obligations for one in after}:
        yield "with other tables, columns, rows, masks or limits"


_FIELDS = {
    "dataset": "on",
    "purpose": "for the purpose",
    "effect": "to",
    "stage": "reaching",
    "nbf": "beginning",
    "exp": "ending",
}


def _values(found: tuple[Rule, ...], field: str) -> str:
    values = sorted({getattr(rule, field) for rule in found})
    return _few([_value(field, value) for value in values])


def _value(field: str, value: object) -> str:
    match field, value:
        case (("nbf" | "exp"), int()):
            never = {0: "from ever", rules.FOREVER: "never"}
            return never.get(value) or sentences.moment(value)
        case "stage", Audience():
            return value.name.lower()
        case _:
            return str(value)


def _short(action: str) -> str:
    return action.removeprefix("dataset:")


def _few(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return f"{', '.join(names[:_MOST_NAMED])} and {more} more" if more > 0 else ", ".join(names)
