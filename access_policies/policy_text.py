"""Policy as text that people review: one TOML file for an organisation's datasets.

A file holds grants. A grant is what people decide on (an agreement, a role, a standing offer, a
listing, a denial); its rules are one for each action and name, and are written out together. What
is read back from a file is the same rules, or an error that says where it is not.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import msgspec
import tomli_w

from access_policies import rules
from access_policies.decision import Obligation
from access_policies.errors import InvalidRule
from access_policies.rules import DATA_ACTIONS, Effect, GrantKind, Rule
from access_policies.vocabulary import Audience

FORMAT = 1
_LARGEST = 4 * 1024**2  # characters: some ten thousand grants
_HEADER = re.compile(r"[ \t]*\[\[[ \t]*grant[ \t]*\]\]")
_NUMBERED = re.compile(r"\$\.grant\[(\d+)\]")
_MOST_DOTS = 64  # in a line: the parser takes the square of a key's parts


class GrantText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of one grant for one name: they differ in their action alone.

    `grant` is `kind:identifier`; an identifier that is absent (`offer:`) stands for a grant to be
    made. `begins` and `ends` are moments (absent: from ever, without an end). `obligations` bind the
    actions that rows leave by.
    """

    grant: str
    subject: str
    dataset: str
    actions: tuple[str, ...]
    effect: Effect = Effect.ALLOW
    purpose: str = rules.ANY
    reach: str = Audience.PUBLIC.name.lower()
    begins: datetime | None = None
    ends: datetime | None = None
    stem: str = ""
    obligations: tuple[Obligation, ...] = ()

    @property
    def kind(self) -> GrantKind:
        """What sort of grant it is. Raises InvalidRule."""
        kind, _, _ = self.grant.partition(":")
        try:
            return GrantKind(kind)
        except ValueError:
            known = ", ".join(GrantKind)
            raise InvalidRule(f"{self.grant!r} is no grant: one begins with {known}.") from None

    @property
    def identifier(self) -> str:
        """The grant's own; empty where it is to be made."""
        return self.grant.partition(":")[2]


class PolicyText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file: what stands over the datasets of an organisation, or over everything (`*`).

    `revision` is the policy revision that it was written from; 0 where a person wrote it from nothing.
    """

    format: int
    organisation: str
    revision: int = 0
    grant: tuple[GrantText, ...] = ()

    def rules(self) -> tuple[Rule, ...]:
        """The rules of the file, checked as stored ones are. Raises InvalidRule."""
        return tuple(rule for grant in self.grant for rule in rules_of(grant))


def file_name(organisation: str) -> str:
    """The name of an organisation's file."""
    return "marketplace.toml" if organisation == rules.ANY else f"{organisation}.toml"


def write(
    organisation: str, revision: int, found: Iterable[Rule], *, left_out: Iterable[str] = ()
) -> str:
    """The file of an organisation whose rules these are; the same rules give the same text.

    `left_out` are sentences on what could not be written, for people to read.
    """
    grants = sorted(_grants(found), key=_order)
    document = {
        "format": FORMAT,
        "organisation": organisation,
        "revision": revision,
        "grant": [_plain(grant) for grant in grants],
    }
    about = "everything" if organisation == rules.ANY else f"the datasets of {organisation}"
    heading = (
        f"# What stands over {about}, as of policy revision {revision}.\n"
        "# Times are in UTC. Edit what is to change, see it with: marketplace policy diff FILE,\n"
        "# and make it so with: marketplace policy apply FILE. Agreements are made by deciding on\n"
        "# requests, and not here.\n"
    )
    missing = "".join(f"# {sentence}\n" for sentence in left_out)
    return f"{heading}{missing}\n{tomli_w.dumps(document)}"


def read(text: str) -> PolicyText:
    """What a file says. Raises InvalidRule with the place of what is wrong."""
    if len(text) > _LARGEST or any(line.count(".") > _MOST_DOTS for line in text.split("\n")):
        raise InvalidRule(
            "The file is too large, or nested too deeply, to be one organisation's policy.",
            next_step="Begin again from an exported one: marketplace policy export.",
        )
    try:
        document = msgspec.convert(tomllib.loads(text), PolicyText)
    except msgspec.ValidationError as error:
        raise InvalidRule(
            f"The file is TOML, but not a policy: {_with_line(str(error), text)}.",
            next_step="Compare it with an exported one: marketplace policy export.",
        ) from None
    # Beside its own error it raises ValueError for a number of thousands of digits.
    except (ValueError, RecursionError) as error:
        raise InvalidRule(
            f"The file is not TOML: {error}.", next_step="Correct the line that is named."
        ) from None
    _check(document, places(document, text))
    return document


def places(document: PolicyText, text: str) -> tuple[str, ...]:
    """Where each grant of a document stands in its text, in words: `line 12`."""
    lines = [number for number, line in enumerate(text.split("\n"), 1) if _HEADER.match(line)]
    if len(lines) != len(document.grant):  # written as an array in one piece
        return tuple(f"grant {number}" for number, _ in enumerate(document.grant, 1))
    return tuple(f"line {number}" for number in lines)


def rules_of(grant: GrantText) -> tuple[Rule, ...]:
    """The rules of one grant, in the order of its actions. Raises InvalidRule."""
    found = tuple(_rule(grant, action) for action in grant.actions)
    for rule in found:
        rules.check(rule)
    return found


def _with_line(error: str, text: str) -> str:
    """What the reader says is wrong, with the line of the grant that it counts from nought."""
    lines = [number for number, line in enumerate(text.split("\n"), 1) if _HEADER.match(line)]
    found = _NUMBERED.search(error)
    if found is None or int(found[1]) >= len(lines):
        return error
    return f"{error}, in the grant at line {lines[int(found[1])]}"


def _check(document: PolicyText, where: tuple[str, ...]) -> None:
    if document.format != FORMAT:
        raise InvalidRule(
            f"The file has format {document.format}, and this version reads {FORMAT}."
        )
    if document.revision < 0:
        raise InvalidRule(f"There is no policy revision {document.revision}.")
    for grant, place in zip(document.grant, where, strict=True):
        try:
            _check_grant(grant, document.organisation)
        except InvalidRule as error:
            raise InvalidRule(
                f"The grant at {place} ({grant.grant!a:.120}): {error.detail}",
                next_step=error.next_step,
            ) from None
    named = Counter(rule.id for rule in document.rules() if not rule.id.startswith("/"))
    for name, times in named.most_common(1):
        if times > 1:
            raise InvalidRule(f"The file says {name!r} twice.", next_step="Leave one of them out.")


def _check_grant(grant: GrantText, organisation: str) -> None:
    if not grant.actions:
        raise InvalidRule("It names no action.")
    if len(set(grant.actions)) < len(grant.actions):
        raise InvalidRule("It names an action twice.")
    if grant.dataset != organisation and grant.dataset.partition(".")[0] != organisation:
        raise InvalidRule(f"{grant.dataset} is not of {organisation}, whose file this is.")
    for moment in (grant.begins, grant.ends):
        if moment is not None:
            _check_moment(moment)
    if grant.begins is not None and grant.ends is not None and grant.begins >= grant.ends:
        raise InvalidRule("It would end before it begins.")
    if grant.obligations and not DATA_ACTIONS.intersection(grant.actions):
        raise InvalidRule("It has obligations, and opens no rows that they could bind.")
    rules_of(grant)


def _check_moment(moment: datetime) -> None:
    if moment.tzinfo is None:
        raise InvalidRule(
            f"{moment} names no time zone.",
            next_step="Write it with one, as 2027-01-01T00:00:00Z.",
        )
    if not 0 <= rules.epoch(moment) <= rules.FOREVER:
        raise InvalidRule(f"{moment} is not between the years 1970 and 9999.")


def _rule(grant: GrantText, action: str) -> Rule:
    try:
        reach = Audience[grant.reach.upper()]
    except KeyError:
        raise InvalidRule(f"{grant.reach!r} is no audience.") from None
    identifier = grant.identifier or "new"
    return Rule(
        id=f"{grant.stem}/{action}",
        subject=grant.subject,
        dataset=grant.dataset,
        action=action,
        purpose=grant.purpose,
        nbf=rules.epoch(grant.begins) if grant.begins else 0,
        exp=rules.epoch(grant.ends) if grant.ends else rules.FOREVER,
        stage=reach,
        effect=grant.effect,
        grant=f"{grant.kind}:{identifier}",
        obligations=grant.obligations if action in DATA_ACTIONS else (),
    )


def _grants(found: Iterable[Rule]) -> Iterator[GrantText]:
    """The rules put together by everything but their action."""
    ordered = sorted(found, key=lambda rule: (_together(rule), rule.id))
    for _, group in groupby(ordered, key=_together):
        members = list(group)
        binding = [rule.obligations for rule in members if rule.action in DATA_ACTIONS]
        if len(set(binding)) <= 1:
            yield _text(members, binding[0] if binding else ())
        else:
            yield from (_text([rule], rule.obligations) for rule in members)


def _together(rule: Rule) -> tuple[str, ...]:
    stem = rule.id.removesuffix(f"/{rule.action}")
    edges = (str(rule.nbf), str(rule.exp), str(int(rule.stage)))
    return (rule.grant, stem, rule.subject, rule.dataset, rule.effect, rule.purpose, *edges)


def _text(members: list[Rule], obligations: tuple[Obligation, ...]) -> GrantText:
    rule = members[0]
    return GrantText(
        grant=rule.grant,
        stem=rule.id.removesuffix(f"/{rule.action}"),
        subject=rule.subject,
        dataset=rule.dataset,
        actions=tuple(member.action for member in members),
        effect=rule.effect,
        purpose=rule.purpose,
        reach=rule.stage.name.lower(),
        begins=_moment(rule.nbf) if rule.nbf else None,
        ends=_moment(rule.exp) if rule.exp != rules.FOREVER else None,
        obligations=obligations,
    )


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _order(grant: GrantText) -> tuple[int, str, str, str, str]:
    """Denials first, for they win; then as decisions prefer them."""
    order = (GrantKind.DENIAL, *(kind for kind in GrantKind if kind is not GrantKind.DENIAL))
    return order.index(grant.kind), grant.dataset, grant.subject, grant.grant, grant.stem


def _plain(grant: GrantText) -> dict[str, Any]:
    """The grant as TOML can hold it: what is not said is left out."""
    plain: dict[str, Any] = msgspec.to_builtins(grant, builtin_types=(datetime,))
    unsaid = {"purpose": rules.ANY, "obligations": (), "effect": Effect.ALLOW.value}
    said = {name: value for name, value in plain.items() if unsaid.get(name) != value}
    without_nulls: dict[str, Any] = _without_nulls(said)
    return without_nulls


def _without_nulls(value: Any) -> Any:
    match value:
        case dict():
            return {name: _without_nulls(held) for name, held in value.items() if held is not None}
        case list() | tuple():
            return [_without_nulls(held) for held in value]
        case _:
            return value
