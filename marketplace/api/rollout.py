"""The rollout: where it stands, what a move would do, and moves that two operators make."""

import msgspec
from litestar import get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody
from litestar.response import Stream

from access_policies import sentences, stages
from access_policies.vocabulary import Action, Audience
from marketplace.api.call import Call, Given
from marketplace.api.media_types import OFFERS, negotiate
from marketplace.bootstrap import Marketplace
from marketplace.clock import Clock
from marketplace.errors import RequestMalformed
from marketplace.identity.principal import Principal
from marketplace.rollout import words
from marketplace.rollout.criteria import Finding
from marketplace.rollout.effect import Counts
from marketplace.rollout.export import written
from marketplace.rollout.groups import groups_of
from marketplace.rollout.plan import Plan
from marketplace.rollout.proposals import Proposal, Target
from marketplace.rollout.situation import Standing
from marketplace.wire import (
    ConfirmationForm,
    CriterionDescription,
    EffectCounts,
    EffectGroup,
    InvitationForm,
    MoveTarget,
    PreviewDescription,
    ProposalDescription,
    ProposalForm,
    Reason,
    RolloutDescription,
    ScheduledMove,
    StandingDescription,
    UndoForm,
    WaveDescription,
)

_SEE = {"action": Action.AUDIT}
_MOVE = {"action": Action.ADMINISTER}
_TAGS = ["Rollout"]


@get("/rollout", opt=_SEE, sync_to_thread=True, tags=_TAGS)
def describe_rollout(
    principal: Given[Principal], marketplace: Given[Marketplace]
) -> RolloutDescription:
    """Describe how far the marketplace and its datasets are open, and what speaks for going on."""
    return _situation(principal, marketplace)


@get("/rollout/proposals", opt=_SEE, sync_to_thread=True, tags=_TAGS)
def list_proposals(
    principal: Given[Principal], marketplace: Given[Marketplace]
) -> list[ProposalDescription]:
    """List every move that was proposed and how it ended, newest first."""
    found = marketplace.rollout.history(principal)
    undone = {
        one.undoes: one.id
        for one in found
        if one.undoes is not None and one.revision_made is not None
    }
    made = ((one, one.revision_made) for one in found)
    return [
        _proposal(
            one,
            marketplace.clock,
            undone_by="" if revision is None else undone.get(revision, ""),
        )
        for one, revision in made
    ]


@post("/rollout/preview", opt=_SEE, status_code=200, sync_to_thread=True, tags=_TAGS)
def preview_move(
    data: JSONBody[MoveTarget], principal: Given[Principal], marketplace: Given[Marketplace]
) -> PreviewDescription:
    """Say what a move would do, counted exactly; it changes nothing."""
    return _preview(marketplace.rollout.preview(principal, _target(data)))


@post(
    "/rollout/preview/pairs",
    opt=_SEE,
    status_code=200,
    sync_to_thread=True,
    tags=_TAGS,
    responses={
        200: ResponseSpec(
            data_container=bytes,
            media_type=next(iter(OFFERS)),
            generate_examples=False,
            description="Every pair, in the media type that Accept asks for.",
        )
    },
)
def list_pairs(
    data: JSONBody[MoveTarget],
    request: Call,
    principal: Given[Principal],
    marketplace: Given[Marketplace],
) -> Stream:
    """List every dataset that a move would open or close, for whom, and by which rule."""
    media_type, encoding = negotiate(request.headers.get("accept", "*/*"))
    planned = marketplace.rollout.preview(principal, _target(data))
    return Stream(written(planned.effect, encoding), media_type=media_type)


@post("/rollout/proposals", opt=_MOVE, sync_to_thread=True, tags=_TAGS)
def propose_move(
    data: JSONBody[ProposalForm], principal: Given[Principal], marketplace: Given[Marketplace]
) -> ProposalDescription:
    """Propose a move, which another operator confirms."""
    proposal = marketplace.rollout.propose(
        principal, _target(data.target), reason=data.reason, override=data.override
    )
    return _proposal(proposal, marketplace.clock)


@post(
    "/rollout/proposals/{proposal_id:str}/confirm",
    opt=_MOVE,
    status_code=200,
    sync_to_thread=True,
    tags=_TAGS,
)
def confirm_move(
    proposal_id: FromPath[str],
    data: JSONBody[ConfirmationForm],
    principal: Given[Principal],
    marketplace: Given[Marketplace],
) -> ProposalDescription:
    """Make a move that another operator proposed."""
    made = marketplace.rollout.confirm(
        principal, proposal_id, reason=data.reason, foreseen=data.foreseen
    )
    return _proposal(made, marketplace.clock)


@post(
    "/rollout/proposals/{proposal_id:str}/withdraw",
    opt=_MOVE,
    status_code=200,
    sync_to_thread=True,
    tags=_TAGS,
)
def withdraw_move(
    proposal_id: FromPath[str],
    data: JSONBody[Reason],
    principal: Given[Principal],
    marketplace: Given[Marketplace],
) -> ProposalDescription:
    """Take a proposal back."""
    ended = marketplace.rollout.withdraw(principal, proposal_id, reason=data.reason)
    return _proposal(ended, marketplace.clock)


@post("/rollout/undo", opt=_MOVE, status_code=200, sync_to_thread=True, tags=_TAGS)
def undo_move(
    data: JSONBody[UndoForm], principal: Given[Principal], marketplace: Given[Marketplace]
) -> ProposalDescription:
    """Put back what stood before the newest move: at once, or as a proposal where that opens."""
    undone = marketplace.rollout.undo(
        principal, data.scope, reason=data.reason, override=data.override
    )
    return _proposal(undone, marketplace.clock)


@post("/rollout/invitations", opt=_MOVE, sync_to_thread=True, tags=_TAGS)
def invite_party(
    data: JSONBody[InvitationForm], principal: Given[Principal], marketplace: Given[Marketplace]
) -> RolloutDescription:
    """Let an organisation or a project take a free place in a wave."""
    marketplace.rollout.invite(principal, data.scope, data.name, reason=data.reason)
    return _situation(principal, marketplace)


@post(
    "/rollout/invitations/withdraw",
    opt=_MOVE,
    status_code=200,
    sync_to_thread=True,
    tags=_TAGS,
)
def withdraw_invitation(
    data: JSONBody[InvitationForm], principal: Given[Principal], marketplace: Given[Marketplace]
) -> RolloutDescription:
    """Take the place of an organisation or a project in a wave back, at once; another may have it."""
    marketplace.rollout.uninvite(principal, data.scope, data.name, reason=data.reason)
    return _situation(principal, marketplace)


def _situation(principal: Principal, marketplace: Marketplace) -> RolloutDescription:
    found = marketplace.rollout.situation(principal)
    return RolloutDescription(
        standings=tuple(map(_standing, found.standings)),
        criteria=tuple(map(_criterion, found.criteria)),
        waiting=tuple(_proposal(one, marketplace.clock) for one in found.waiting),
    )


def _target(form: MoveTarget) -> Target:
    try:
        stage = Audience[form.stage.upper()]
    except KeyError:
        raise RequestMalformed(
            f"{form.stage[:32]!r} is no audience.",
            next_step=f"Choose one of: {', '.join(one.name.lower() for one in Audience)}.",
        ) from None
    if form.begins is not None and form.begins.tzinfo is None:
        raise RequestMalformed(
            "The moment has no time zone.", next_step="Write it like 2027-01-31T09:00:00Z."
        )
    return Target(
        scope=form.scope,
        stage=stage,
        by_invitation=form.by_invitation,
        places=form.places,
        invited=form.invited,
        begins=form.begins,
    )


def _preview(planned: Plan) -> PreviewDescription:
    foreseen = planned.effect.foreseen
    replaced = [
        f"It replaces a scheduled move: {words.of_reach(move.reach)} "
        f"from {sentences.moment(move.begins)}."
        for move in planned.replaced
    ]
    return PreviewDescription(
        scope=planned.change.scope,
        before=words.of_reach(planned.before),
        after=words.of_reach(planned.change.reach),
        begins=planned.change.begins,
        opens=planned.opens,
        counts=_counts(foreseen.counts),
        fingerprint=foreseen.fingerprint,
        sentences=(*words.of_counts(foreseen.counts), *replaced),
        groups=tuple(
            EffectGroup(
                kind=one.kind, name=one.name, counts=_counts(one.counts), sentence=one.sentence
            )
            for one in groups_of(planned.effect)
        ),
        criteria=tuple(map(_criterion, planned.findings)),
        revision=planned.revision,
    )


def _proposal(proposal: Proposal, clock: Clock, *, undone_by: str = "") -> ProposalDescription:
    outcome = proposal.outcome
    return ProposalDescription(
        id=proposal.id,
        scope=proposal.scope,
        what=f"{words.of_scope(proposal.scope)}: {words.of_reach(proposal.reach)}",
        stage=proposal.reach.stage.name.lower(),
        by_invitation=proposal.reach.waves is not None,
        begins=proposal.begins,
        places=proposal.places,
        invited=proposal.invited,
        reason=proposal.reason,
        override=proposal.override,
        counts=_counts(proposal.effect.counts),
        fingerprint=proposal.effect.fingerprint,
        sentences=words.of_counts(proposal.effect.counts),
        proposed_by=proposal.proposed_by_name,
        proposed_at=proposal.proposed_at,
        expires_at=proposal.expires_at,
        state=proposal.state(clock()).value,
        ended_by=outcome.by_name if outcome else "",
        ended_at=outcome.at if outcome else None,
        end_reason=outcome.reason if outcome else "",
        revision=outcome.revision if outcome else None,
        undone_by=undone_by,
    )


def _standing(found: Standing) -> StandingDescription:
    return StandingDescription(
        scope=found.scope,
        stage=found.reach.stage.name.lower(),
        by_invitation=found.reach.waves is not None,
        what=f"{words.of_scope(found.scope)} is {words.of_reach(found.reach)}.",
        waves=tuple(
            WaveDescription(id=wave.id, places=wave.places, free=wave.free, invited=wave.invited)
            for wave in found.waves
        ),
        scheduled=tuple(
            ScheduledMove(begins=stages.moment_of(move), what=words.of_reach(move.reach))
            for move in found.scheduled
        ),
    )


def _criterion(found: Finding) -> CriterionDescription:
    return CriterionDescription(
        stage=found.stage.name.lower(),
        criterion=found.criterion.value,
        threshold=found.threshold,
        figure=found.figure,
        met=found.met,
        sentence=found.sentence,
    )


def _counts(counts: Counts) -> EffectCounts:
    return msgspec.convert(msgspec.to_builtins(counts), EffectCounts)
