"""The rollout, as operators and auditors see and move it."""

from pathlib import Path
from urllib.parse import quote

from marketplace.client.files import Report, check_target, media_type_for, write_whole
from marketplace.client.transport import ARROW, Transport
from marketplace.wire import (
    ConfirmationForm,
    InvitationForm,
    MoveTarget,
    PreviewDescription,
    ProposalDescription,
    ProposalForm,
    Reason,
    RolloutDescription,
    UndoForm,
)

_PROPOSALS = "/api/v1/rollout/proposals"


class RolloutCalls:
    """Calls about the rollout; they raise as those of `Client` do."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def situation(self) -> RolloutDescription:
        """How far the marketplace and its datasets are open."""
        return self._transport.call("GET", "/api/v1/rollout", RolloutDescription)

    def history(self) -> list[ProposalDescription]:
        """Every move of the rollout that was proposed and how it ended, newest first."""
        return self._transport.call("GET", _PROPOSALS, list[ProposalDescription])

    def preview(self, target: MoveTarget) -> PreviewDescription:
        """What a move of the rollout would do."""
        path = "/api/v1/rollout/preview"
        return self._transport.call("POST", path, PreviewDescription, body=target)

    def pairs(
        self, target: MoveTarget, path: str | Path, *, progress: Report | None = None
    ) -> Path:
        """Write every pair of a dataset and a party that a move would open or close to a file.

        Its ending chooses the format, as for `download`.
        """
        path = Path(path)
        media_type = media_type_for(path)
        check_target(path)
        report = None if progress is None else lambda done: progress(done, None)
        address = "/api/v1/rollout/preview/pairs"
        accept = self._transport.arrow_accepted if media_type == ARROW else media_type
        with self._transport.open(
            "POST", address, accept=accept, body=target, progress=report
        ) as body:
            write_whole(body, path, media_type)
        return path

    def propose(self, form: ProposalForm) -> ProposalDescription:
        """Propose a move of the rollout, which another operator confirms."""
        return self._transport.call("POST", _PROPOSALS, ProposalDescription, body=form)

    def confirm(
        self, proposal: str, reason: str, *, foreseen: str | None = None
    ) -> ProposalDescription:
        """Make a move that another operator proposed; `foreseen` as the refusal of another asked."""
        path = f"{_PROPOSALS}/{quote(proposal, safe='')}/confirm"
        body = ConfirmationForm(reason=reason, foreseen=foreseen)
        return self._transport.call("POST", path, ProposalDescription, body=body)

    def withdraw(self, proposal: str, reason: str) -> ProposalDescription:
        """Take a proposal back."""
        path = f"{_PROPOSALS}/{quote(proposal, safe='')}/withdraw"
        return self._transport.call("POST", path, ProposalDescription, body=Reason(reason=reason))

    def undo(self, form: UndoForm) -> ProposalDescription:
        """Put back what stood before the newest move; a proposal where that opens anything."""
        return self._transport.call("POST", "/api/v1/rollout/undo", ProposalDescription, body=form)

    def invite(self, form: InvitationForm) -> RolloutDescription:
        """Let an organisation or a project take a free place in a wave."""
        path = "/api/v1/rollout/invitations"
        return self._transport.call("POST", path, RolloutDescription, body=form)

    def uninvite(self, form: InvitationForm) -> RolloutDescription:
        """Take the place of an organisation or a project in a wave back, at once."""
        path = "/api/v1/rollout/invitations/withdraw"
        return self._transport.call("POST", path, RolloutDescription, body=form)
