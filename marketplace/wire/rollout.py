"""Where the rollout stands, moves of it and what they do."""

from datetime import datetime

import msgspec


class MoveTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a scope is to be open: `*` for the marketplace, or organisation.dataset.

    `stage` is the least trusted audience. With `by_invitation`, only invited names of it: `places`
    are added, and `invited` (organisation:name or project:name) take theirs at once. It holds from
    `begins` (RFC 3339, a whole second to come), or at once.
    """

    scope: str = "*"
    stage: str
    by_invitation: bool = False
    places: int = 0
    invited: tuple[str, ...] = ()
    begins: datetime | None = None


class ProposalForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A move to propose, and why; `override` is why it should be made against exit criteria."""

    target: MoveTarget
    reason: str
    override: str = ""


class ConfirmationForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a move is confirmed; `foreseen` is the fingerprint of what it does by now."""

    reason: str
    foreseen: str | None = None


class UndoForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose newest move is undone, and why."""

    scope: str = "*"
    reason: str
    override: str = ""


class InvitationForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who takes a place: organisation:name or project:name."""

    scope: str = "*"
    name: str
    reason: str


class EffectCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many pairs of a dataset and a party become readable, or findable and no more, or cease to be."""

    readable: int
    askable: int
    no_longer_readable: int
    no_longer_askable: int


class EffectGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The pairs of one party, one audience or one dataset; `sentence` says them."""

    kind: str
    name: str
    counts: EffectCounts
    sentence: str


class CriterionDescription(msgspec.Struct, frozen=True, kw_only=True):
    """An exit criterion of a stage with its figure; none where there is no evidence."""

    stage: str
    criterion: str
    threshold: float
    figure: float | None
    met: bool
    sentence: str


class PreviewDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What a move would do. `groups` are those of all pairs, those with the most first."""

    scope: str
    before: str
    after: str
    begins: datetime | None
    opens: bool
    counts: EffectCounts
    fingerprint: str
    sentences: tuple[str, ...]
    groups: tuple[EffectGroup, ...]
    criteria: tuple[CriterionDescription, ...]
    revision: int


class ProposalDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A move that was proposed and how it ended.

    `state` is `open`, `made`, `withdrawn` or `expired`; `undone_by` the proposal that undid it.
    """

    id: str
    scope: str
    what: str
    stage: str
    by_invitation: bool
    begins: datetime | None
    places: int
    invited: tuple[str, ...]
    reason: str
    override: str
    counts: EffectCounts
    fingerprint: str
    sentences: tuple[str, ...]
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime
    state: str
    ended_by: str = ""
    ended_at: datetime | None = None
    end_reason: str = ""
    revision: int | None = None
    undone_by: str = ""


class WaveDescription(msgspec.Struct, frozen=True, kw_only=True):
    """So many places by invitation, who has one, and how many are free."""

    id: str
    places: int
    free: int
    invited: tuple[str, ...]


class ScheduledMove(msgspec.Struct, frozen=True, kw_only=True):
    """What will hold from a moment."""

    begins: datetime
    what: str


class StandingDescription(msgspec.Struct, frozen=True, kw_only=True):
    """How one scope is open; `what` says it."""

    scope: str
    stage: str
    by_invitation: bool
    what: str
    waves: tuple[WaveDescription, ...]
    scheduled: tuple[ScheduledMove, ...]


class RolloutDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The marketplace, then every dataset with a stage of its own; criteria for leaving the stage."""

    standings: tuple[StandingDescription, ...]
    criteria: tuple[CriterionDescription, ...]
    waiting: tuple[ProposalDescription, ...]
