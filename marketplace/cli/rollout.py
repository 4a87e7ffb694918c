"""`marketplace rollout`: how far it is open, what a move would do, and moves that two operators make."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from cyclopts import App, Parameter

from marketplace.cli.choices import AudienceWord
from marketplace.cli.connection import SERVICE, Service
from marketplace.cli.identifiers import which_proposal
from marketplace.cli.screen import (
    Json,
    moment,
    say,
    show_facts,
    show_json,
    show_table,
    stderr,
    transfer,
)
from marketplace.client import Client
from marketplace.client.errors import InvalidCall
from marketplace.wire import (
    InvitationForm,
    MoveTarget,
    PreviewDescription,
    ProposalDescription,
    ProposalForm,
    RolloutDescription,
    StandingDescription,
    UndoForm,
)

_LONDON = ZoneInfo("Europe/London")
_STAGES = ("government", "local_government", "researcher", "business", "public")
_MOST_GROUPS = 10

rollout = App(
    name="rollout",
    help="How far the marketplace is open, what a move would do, and moves that two operators make.",
    help_format="markdown",
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Move:
    """What is moved, to whom, from when."""

    dataset: str = "*"
    "organisation.dataset; the whole marketplace unless said."
    places: int = 0
    "Open it by invitation, with so many places for organisations and projects."
    invite: Annotated[list[str], Parameter(negative=())] = field(default_factory=list)
    "Somebody who takes a place at once: organisation:name or project:name; may be repeated."
    at: datetime | None = None
    "From when it holds (2027-01-31T09:00, in London unless it says otherwise); at once unless said."

    def target(self, stage: str) -> MoveTarget:
        """As the service takes it."""
        begins = self.at
        if begins is not None and begins.tzinfo is None:
            begins = begins.replace(tzinfo=_LONDON)
        return MoveTarget(
            scope=self.dataset,
            stage=stage,
            by_invitation=bool(self.places or self.invite),
            places=self.places or len(self.invite),
            invited=tuple(self.invite),
            begins=begins,
        )


MOVE = Move()


@rollout.default
def show(*, json: Json = False, service: Service = SERVICE) -> None:
    """Show how far it is open, whom it waits for, and whether the stage's exit criteria are met.

    Parameters
    ----------
    json
        Write JSON.
    """
    with service.client() as client:
        found = client.rollout.situation()
    if json:
        show_json(found)
    else:
        _show_rollout(found)


@rollout.command(name="preview")
def preview(
    stage: AudienceWord,
    /,
    *,
    move: Move = MOVE,
    output: Path | None = None,
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Say what a move would do, counted exactly; nothing is changed.

    Parameters
    ----------
    stage
        The least trusted audience that is to be open.
    output
        A file for every pair of dataset and party; its ending chooses the format.
    json
        Write JSON.
    """
    target = move.target(stage)
    with service.client() as client:
        if output is not None:
            with transfer("Writing pairs") as report:
                client.rollout.pairs(target, output, progress=report)
            say(f"Every pair is in {output}.")
            return
        with stderr.status("Working out what it would do"):
            found = client.rollout.preview(target)
    if json:
        show_json(found)
    else:
        _show_preview(found)


@rollout.command(name="propose")
def propose(
    stage: AudienceWord,
    /,
    *,
    reason: str,
    override: str = "",
    move: Move = MOVE,
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Propose to open or close; another operator confirms it.

    Parameters
    ----------
    stage
        The least trusted audience that is to be open.
    reason
        Why; it is kept.
    override
        Why it should be made although exit criteria are not met.
    json
        Write JSON.
    """
    form = ProposalForm(target=move.target(stage), reason=reason, override=override)
    with service.client() as client, stderr.status("Working out what it would do"):
        made = client.rollout.propose(form)
    _tell(made, json)


@rollout.command(name="wave")
def wave(
    places: int,
    /,
    *,
    reason: str,
    dataset: str = "*",
    invite: Annotated[list[str] | None, Parameter(negative=())] = None,
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Propose more places in the stage that is open by invitation; another operator confirms it.

    Parameters
    ----------
    places
        How many places it adds.
    reason
        Why; it is kept.
    dataset
        organisation.dataset; the whole marketplace unless said.
    invite
        Somebody who takes a place at once: organisation:name or project:name; may be repeated.
    json
        Write JSON.
    """
    with service.client() as client, stderr.status("Working out what it would do"):
        standing = _standing(client, dataset)
        if not standing.by_invitation:
            raise InvalidCall(
                f"{standing.what} There is nothing to add places to.",
                next_step="Open a stage by invitation with: marketplace rollout propose --places.",
            )
        move = Move(dataset=dataset, places=places, invite=invite or [])
        made = client.rollout.propose(
            ProposalForm(target=move.target(standing.stage), reason=reason)
        )
    _tell(made, json)


@rollout.command(name="confirm")
def confirm(
    identifier: str,
    /,
    *,
    reason: str,
    foreseen: str | None = None,
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Make a move that another operator proposed.

    Parameters
    ----------
    identifier
        The proposal: its identifier or how that begins.
    reason
        Why; it is kept.
    foreseen
        What the command asks for where the move would do something else by now.
    json
        Write JSON.
    """
    with service.client() as client:
        found = which_proposal(client, identifier)
        with stderr.status("Working out what it does by now"):
            made = client.rollout.confirm(found, reason, foreseen=foreseen)
    _tell(made, json)


@rollout.command(name="withdraw")
def withdraw(identifier: str, /, *, reason: str, service: Service = SERVICE) -> None:
    """Take a proposal back.

    Parameters
    ----------
    identifier
        The proposal: its identifier or how that begins.
    reason
        Why; it is kept.
    """
    with service.client() as client:
        client.rollout.withdraw(which_proposal(client, identifier), reason)
    say("The proposal is withdrawn.")


@rollout.command(name="undo")
def undo(
    *,
    reason: str,
    dataset: str = "*",
    override: str = "",
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Put back what stood before the newest move: at once, unless that opens anything.

    Parameters
    ----------
    reason
        Why; it is kept.
    dataset
        organisation.dataset; the whole marketplace unless said.
    override
        Why it should be opened again although exit criteria are not met.
    json
        Write JSON.
    """
    with service.client() as client, stderr.status("Working out what it does"):
        made = client.rollout.undo(UndoForm(scope=dataset, reason=reason, override=override))
    _tell(made, json)


@rollout.command(name="invite")
def invite(
    name: str,
    /,
    *,
    reason: str,
    dataset: str = "*",
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Let an organisation or a project take a free place in a wave.

    Parameters
    ----------
    name
        organisation:name or project:name.
    reason
        Why; it is kept.
    dataset
        organisation.dataset; the whole marketplace unless said.
    json
        Write JSON.
    """
    with service.client() as client:
        found = client.rollout.invite(InvitationForm(scope=dataset, name=name, reason=reason))
    if json:
        show_json(found)
        return
    say(f"{name} is invited.")
    _show_rollout(found)


@rollout.command(name="uninvite")
def uninvite(
    name: str,
    /,
    *,
    reason: str,
    dataset: str = "*",
    json: Json = False,
    service: Service = SERVICE,
) -> None:
    """Take an invitation back, at once; the place is free for another.

    Parameters
    ----------
    name
        organisation:name or project:name.
    reason
        Why; it is kept.
    dataset
        organisation.dataset; the whole marketplace unless said.
    json
        Write JSON.
    """
    with service.client() as client:
        found = client.rollout.uninvite(InvitationForm(scope=dataset, name=name, reason=reason))
    if json:
        show_json(found)
        return
    say(f"{name} is invited no longer.")
    _show_rollout(found)


@rollout.command(name="history")
def history(*, json: Json = False, service: Service = SERVICE) -> None:
    """List every move that was proposed: by whom, why, what it was foreseen to do, how it ended.

    Parameters
    ----------
    json
        Write JSON.
    """
    with service.client() as client:
        found = client.rollout.history()
    if json:
        show_json(found)
        return
    show_table(
        ("proposal", "what", "proposed", "reason", "state", "by", "when"),
        (
            (
                one.id,
                one.what,
                f"{one.proposed_by}, {moment(one.proposed_at)}",
                one.reason,
                f"{one.state}, undone" if one.undone_by else one.state,
                one.ended_by,
                one.ended_at,
            )
            for one in found
        ),
    )


def _standing(client: Client, scope: str) -> StandingDescription:
    for standing in client.rollout.situation().standings:
        if standing.scope == scope:
            return standing
    raise InvalidCall(
        f"{scope} has no stage of its own.", next_step="See those that have: marketplace rollout."
    )


def _tell(one: ProposalDescription, json: bool) -> None:
    if json:
        show_json(one)
        return
    show_facts(
        [
            ("proposal", one.id),
            ("what", one.what),
            ("from", one.begins),
            ("places", one.places or None),
            ("invited", ", ".join(one.invited)),
            *(("does", sentence) for sentence in one.sentences),
            ("reason", one.reason),
            ("override", one.override),
            ("state", one.state),
            ("revision", one.revision),
        ]
    )
    if one.state == "open":
        say(
            f"Another operator confirms it until {moment(one.expires_at)}: "
            f"marketplace rollout confirm {one.id[:8]} --reason ..."
        )


def _show_preview(found: PreviewDescription) -> None:
    show_facts(
        [
            ("is", found.before),
            ("will be", found.after),
            ("from", found.begins),
            *(("does", sentence) for sentence in found.sentences),
            *(("met" if one.met else "NOT met", one.sentence) for one in found.criteria),
        ]
    )
    for kind in dict.fromkeys(one.kind for one in found.groups):
        of_kind = [one for one in found.groups if one.kind == kind]
        for one in of_kind[:_MOST_GROUPS]:
            say(f"  {one.sentence}")
        if len(of_kind) > _MOST_GROUPS:
            say(f"  and {len(of_kind) - _MOST_GROUPS} more; --output lists every pair")


def _show_rollout(found: RolloutDescription) -> None:
    for standing in found.standings:
        say(_picture(standing))
        say(f"  {standing.what}")
        for one in standing.waves:
            taken = ", ".join(one.invited) or "nobody yet"
            say(f"  wave {one.id[:8]}: {one.free} of {one.places} places free; invited: {taken}")
        for scheduled in standing.scheduled:
            say(f"  from {moment(scheduled.begins)}: {scheduled.what}")
    if found.criteria:
        say("To leave the stage:")
    for criterion in found.criteria:
        say(f"  {'✔' if criterion.met else '✘'} {criterion.sentence}")
    for waiting in found.waiting:
        say(
            f"Waits for a second operator: {waiting.id[:8]} by {waiting.proposed_by}. {waiting.what}."
        )


def _picture(standing: StandingDescription) -> str:
    """The stages in a line: open (●), open by invitation (◐), closed (○)."""
    reached = _STAGES.index(standing.stage)
    signs = []
    for place, stage in enumerate(_STAGES):
        sign = "●" if place <= reached else "○"
        if place == reached and standing.by_invitation:
            sign = "◐"
        signs.append(f"{sign} {stage.replace('_', ' ')}")
    named = "the marketplace" if standing.scope == "*" else standing.scope
    return f"{' → '.join(signs)}   {named}"
