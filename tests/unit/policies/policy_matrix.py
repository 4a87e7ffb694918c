"""Who may do what with which kind of dataset, as the decision point says it, written for people.

    .venv/bin/python -m tests.unit.policies.policy_matrix

writes `policy_matrix.md` anew. Read the difference before you commit it: it is a change of policy.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from access_policies.vocabulary import Action, Audience, Authority, Role
from marketplace.errors import Unauthenticated
from marketplace.identity import tokens
from marketplace.sharing import explanations
from tests.oracle.facts import Terms, Token
from tests.oracle.world import World, new_world

DOCUMENT = Path(__file__).with_name("policy_matrix.md")

TERMS = Terms(tables=(("t", ("a",)),))
READ = (Action.QUERY, Action.DOWNLOAD)

USES = {
    "know of it": (Action.DISCOVER, Action.READ_METADATA, Action.READ_SCHEMA),
    "see rows": (Action.PREVIEW, Action.QUERY),
    "download": (Action.DOWNLOAD,),
}
LOOKING_AFTER = {
    Action.PUBLISH: "publish",
    Action.DECIDE_REQUEST: "decide on requests",
    Action.AUDIT: "read the audit log",
    Action.ADMINISTER_ORGANISATION: "name who holds roles",
    Action.ADMINISTER: "administer",
}

HEAD = """\
# Who may do what

Written by the decision point, compared by a test; `.venv/bin/python -m tests.unit.policies.policy_matrix` writes it
anew. The marketplace is open to researchers; businesses and the public wait. All datasets are the ministry's (mhclg).
A cell says by what somebody may, or the number of the sentence below that says what stands in the way. Rows leave only
as far as the agreement or offer says.

"Know of it" is to find it, to read about it and to see its columns; "see rows" is the first ones and any query."""

_IDENTIFIERS = re.compile(r"\b[0-9a-f]{32}\b")


def opened(world: World) -> dict[str, str]:
    """Let everything happen that the matrix is about; the kinds of datasets, by address."""
    kinds: dict[str, str] = {}

    def publish(name: str, kind: str, listed: Audience | None = Audience.PUBLIC) -> str:
        address = f"mhclg.{name}"
        world.publish(address, listed)
        kinds[address] = kind
        return address

    def shared(name: str, kind: str) -> str:
        """A dataset that is agreed with the squads and studies, and offered to all."""
        address = publish(name, kind)
        agree(world, address, days=30)
        world.offer(address, Audience.PUBLIC, TERMS, None)
        return address

    agree(world, publish("agreed", "Agreed, for some columns, until a day"), days=30)
    agree(world, publish("over", "Agreed until yesterday"), days=-1)
    publish("listed", "Listed for everybody, neither agreed nor offered")
    publish("hidden", "Listed for central government", Audience.GOVERNMENT)
    world.offer(publish("open", "Offered to the public"), Audience.PUBLIC, TERMS, None)
    world.offer(publish("studied", "Offered to researchers"), Audience.RESEARCHER, TERMS, None)
    world.offer(
        publish("withdrawn", "Offered to the public, and withdrawn"), Audience.PUBLIC, TERMS, None
    )
    world.withdraw(-1)
    world.mark(shared("marked", "Agreed and offered, marked HMG USE ONLY"), True)
    world.stop(Authority.OWNER, shared("stopped", "Agreed and offered, stopped by its owner"), {})
    part = shared("part", "Agreed and offered, stopped for researchers by the organisation")
    world.stop(Authority.ORGANISATION, part, {"audience": Audience.RESEARCHER})
    closed = shared("closed", "Agreed and offered, its own stage closed to central government")
    world.move(closed, Audience.GOVERNMENT, None, None)
    cohort = shared(
        "cohort", "Agreed and offered, its stage open to invited councils: Sheffield's squad"
    )
    world.invite("first", "project:squad")
    world.move(cohort, Audience.LOCAL_GOVERNMENT, ("first",), None)
    return kinds


def agree(world: World, dataset: str, *, days: int) -> None:
    """Agree it with every project; before today's agreements somebody made those that are over."""
    made, last = world.now, world.today + timedelta(days=days)
    world.now -= timedelta(days=2)
    for project in ("squad", "task_force", "study", "trial"):
        world.agree(project, dataset, (), READ, TERMS, last)
    world.now = made


def callers(world: World) -> dict[str, Token]:
    """Whom the rows are about, by what they are."""
    found: dict[str, Token] = {}
    today = world.today

    def last(what: str) -> None:
        found[what] = world.facts.tokens[-1]

    for role in (Role.PUBLISHER, Role.OWNER, Role.ADMINISTRATOR):
        world.appoint("ada", role, "mhclg", today, None)
        last(f"{role} of the ministry")
    world.second("ben", today, today + timedelta(days=30), organisation="mhclg")
    world.appoint("ben", Role.DEPUTY, "mhclg", today, today + timedelta(days=30), "ada")
    last("deputy of that owner")
    world.appoint("ben", Role.OWNER, "sheffield", today, None)
    last("owner of another organisation, a council")
    for role in (Role.OPERATOR, Role.AUDITOR):
        world.appoint("ada", role, None, today, None)
        last(f"{role} of the marketplace")
    world.join("ada", "task_force", today, None)
    last("member of a project of central government")
    world.join("ben", "squad", today, None)
    last("squad member, of the council")
    world.second("dot", today, today + timedelta(days=30), project="squad")
    world.join("dot", "squad", today, None)
    last("squad member on secondment, from a company")
    world.second("eve", today - timedelta(days=9), today - timedelta(days=1), project="squad")
    world.join("eve", "squad", today - timedelta(days=9), None)
    last("the same after the secondment")
    world.join("fay", "squad", today, None)
    world.stop(Authority.MARKETPLACE, "*", {"person": "fay"})
    last("squad member whom an operator stopped everywhere")
    world.accredit("study", today + timedelta(days=30))
    world.join("cy", "study", today, None)
    last("researcher, accredited")
    world.accredit("trial", today - timedelta(days=1))
    world.join("cy", "trial", today, None)
    last("researcher, accreditation lapsed")
    world.join("dot", "venture", today, None)
    last("business")
    world.join("eve", "neighbours", today, None)
    last("one of the public")
    return found


class Sentences:
    """The sentences that refuse, numbered as they come."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def number(self, sentence: str) -> str:
        plain = _IDENTIFIERS.sub("", sentence).replace("Agreement  ", "The agreement ")
        if plain not in self.told:
            self.told.append(plain)
        return f"no ({self.told.index(plain) + 1})"


def answer(world: World, token: Token, action: Action, dataset: str, sentences: Sentences) -> str:
    """By what somebody may, or the number of the sentence that they are told."""
    try:
        caller = tokens.authenticate(world.connection, token.secret, now=world.now)
    except Unauthenticated as absence:
        return sentences.number(absence.detail)
    told = explanations.why(
        world.connection,
        world.point,
        explanations.of_caller(caller),
        action,
        dataset,
        now=world.now,
    )
    decision = world.decide(caller, action, dataset, world.now)
    assert decision.allowed is told.decision.allowed, (token, action, dataset)
    assert decision.allowed is world.expected(token, action, dataset, world.now).allowed
    if decision.allowed:
        return f"by {decision.grant.partition(':')[0]}"
    return sentences.number(" ".join(told.obstacles) or _WITHOUT)


_WITHOUT = "No agreement, standing offer or role allows it."


def written() -> str:
    """The whole document."""
    with new_world({}) as world:
        world.move("*", Audience.RESEARCHER, None, None)
        rows, kinds = callers(world), opened(world)
        sentences = Sentences()
        parts = [HEAD]
        for dataset, kind in kinds.items():
            parts.append("\n".join(_section(world, rows, dataset, kind, sentences)))
        parts.append("\n".join(_looking_after(world, rows, next(iter(kinds)))))
        numbered = [f"{number}. {told}" for number, told in enumerate(sentences.told, 1)]
        return "\n\n".join([*parts, "## What they are told", "\n".join(numbered)]) + "\n"


def _section(
    world: World, rows: dict[str, Token], dataset: str, kind: str, sentences: Sentences
) -> Iterator[str]:
    yield f"## {kind}"
    yield ""
    yield f"| who | {' | '.join(USES)} |"
    yield "|---" * (len(USES) + 1) + "|"
    for who, token in rows.items():
        cells = []
        for actions in USES.values():
            found = dict.fromkeys(
                answer(world, token, action, dataset, sentences) for action in actions
            )
            cells.append(" / ".join(found))
        yield f"| {who} | {' | '.join(cells)} |"


def _looking_after(world: World, rows: dict[str, Token], dataset: str) -> Iterator[str]:
    """No stage, marking or agreement touches these, so one table is for all kinds of datasets."""
    yield "## Looking after data, of any kind"
    yield ""
    yield "| who | may |"
    yield "|---|---|"
    for who, token in rows.items():
        may = [
            doing
            for action, doing in LOOKING_AFTER.items()
            if answer(world, token, action, dataset, Sentences()).startswith("by ")
        ]
        yield f"| {who} | {', '.join(may) or 'nothing'} |"


if __name__ == "__main__":
    DOCUMENT.write_text(written(), encoding="utf-8")
