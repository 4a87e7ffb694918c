"""Journey 2 on one screen: a project asks, an owner decides, and the decision is the enforcement.

Each use case is one step (`step`): a transaction with its moment and its caller, which writes what it
does together with its rules and its audit entry, or nothing.
"""

from collections.abc import Callable
from datetime import date

import msgspec
from sqlalchemy import Connection

from access_policies.decision_point import DecisionPoint
from access_policies.explain import Explanation
from access_policies.vocabulary import Action
from catalogue import releases
from catalogue.address import DatasetAddress
from catalogue.errors import Problem, UnknownDataset
from catalogue.places import Places
from marketplace.audit.entries import EntryKind, Fact
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.discovery import unknown as unknown_dataset
from marketplace.errors import (
    AccessDenied,
    RequestMalformed,
    Unauthenticated,
    UnknownRecord,
)
from marketplace.identity import projects
from marketplace.identity.principal import Principal
from marketplace.identity.projects import Project
from marketplace.sharing import (
    agreements,
    checks,
    explanations,
    requests,
    revisions,
    scopes,
    words,
)
from marketplace.sharing.agreements import Agreement
from marketplace.sharing.draft import Approval, RequestDraft
from marketplace.sharing.requests import Mover, RequestState, ShareRequest
from marketplace.sharing.scopes import Scope
from marketplace.sharing.step import Step, Steps

# A person is an identifier or an e-mail address; what is longer names nobody.
_LONGEST_TYPED = 320


class Sharing:
    """Requests, decisions on them, and agreements."""

    def __init__(
        self,
        *,
        database: Database,
        decision_point: DecisionPoint,
        places: Places,
        clock: Clock,
        on_agreed: Callable[[Agreement], None] = lambda _: None,
    ) -> None:
        self._steps = Steps(database=database, decision_point=decision_point, clock=clock)
        self._decision_point = decision_point
        self._places = places
        self._on_agreed = on_agreed

    def ask(self, principal: Principal, draft: RequestDraft) -> ShareRequest:
        """Submit a data share request for the caller's project.

        Raises InvalidSharing with a line per finding, UnknownDataset also for a dataset that the
        caller may not know of, UnknownPlace.
        """
        with self._steps.begin(principal) as step:
            project = step.project()
            asked, flags = self._checked(step, project, draft)
            request = requests.submit(
                step.connection, step.principal, project.name, draft, asked, flags, now=step.now
            )
            _record_move(step, request)
        return request

    def ask_again(self, principal: Principal, request_id: str, draft: RequestDraft) -> ShareRequest:
        """Submit a returned request again, rewritten. Raises as `ask` does."""
        with self._steps.begin(principal) as step:
            request = self._readable(step, request_id)
            self._check_mover(step, request, Mover.ASKER)
            asked, flags = self._checked(step, step.project(), draft)
            request = requests.resubmit(
                step.connection, step.principal, request, draft, asked, flags, now=step.now
            )
            _record_move(step, request)
        return request

    def requests(self, principal: Principal) -> tuple[ShareRequest, ...]:
        """The caller's project's requests, or those that the caller's role may decide on or audit."""
        with self._steps.begin(principal) as step:
            project = step.principal.project
            found = requests.list_all(step.connection, project=project)
            if project is None:
                seen = step.overseen({str(request.dataset) for request in found})
                found = tuple(request for request in found if str(request.dataset) in seen)
            step.record_reading("requests", len(found))
            return found

    def request(self, principal: Principal, request_id: str) -> ShareRequest:
        """One request that the caller may see. Raises UnknownRecord."""
        with self._steps.begin(principal) as step:
            found = self._readable(step, request_id)
            step.record_reading(f"request:{found.id}", 1)
            return found

    def take_up(self, principal: Principal, request_id: str) -> ShareRequest:
        """Begin to review a request."""
        return self._move(principal, request_id, RequestState.IN_REVIEW, "")

    def return_(self, principal: Principal, request_id: str, reason: str) -> ShareRequest:
        """Give a request back for changes, saying which."""
        return self._move(principal, request_id, RequestState.RETURNED, reason)

    def reject(self, principal: Principal, request_id: str, reason: str) -> ShareRequest:
        """Say no, and why."""
        return self._move(principal, request_id, RequestState.REJECTED, reason)

    def cancel(self, principal: Principal, request_id: str, reason: str = "") -> ShareRequest:
        """Withdraw a request that is not decided yet; the asking project does this."""
        return self._move(principal, request_id, RequestState.CANCELLED, reason)

    def approve(self, principal: Principal, request_id: str, approval: Approval) -> Agreement:
        """Say yes, as asked or narrower: the agreement is in force when this returns.

        An earlier agreement of the project over the dataset ends in the same moment. Members who
        drop off before the last day are named in the agreement's notes. Raises InvalidSharing,
        AccessDenied, UnknownRecord, UnknownPlace.
        """
        with self._steps.begin(principal, changes_policy=True) as step:
            request = self._readable(step, request_id)
            self._check_mover(step, request, Mover.OWNER)
            checks.reason_given(approval.reason)
            project = projects.get(step.connection, request.project)
            last_day, terms = checks.of_approval(
                step.connection, self._places, project, request, approval, now=step.now
            )
            request = self._moved(step, request, RequestState.ACCEPTED, approval.reason)
            agreement, replaced = agreements.make(
                step.connection,
                project,
                request.dataset,
                request.id,
                terms,
                last_day,
                by=step.principal.person_id,
                now=step.now,
            )
            _record_agreement(step, agreement, replaced)
        self._on_agreed(agreement)
        return agreement

    def revoke(self, principal: Principal, agreement_id: str, reason: str) -> Agreement:
        """End an agreement at once; a running stream under it is cut. Owners do this."""
        with self._steps.begin(principal, changes_policy=True) as step:
            return revisions.revoke(step, agreement_id, reason)

    def extend(
        self, principal: Principal, agreement_id: str, last_day: date, reason: str
    ) -> Agreement:
        """Let an agreement in force last longer, with the same terms; owners do this.

        It stays the one agreement of its project over the dataset, keeps what its last day was, and
        what runs under it goes on. Raises InvalidSharing, AccessDenied, UnknownRecord.
        """
        with self._steps.begin(principal, changes_policy=True) as step:
            return revisions.extend(step, agreement_id, last_day, reason)

    def agreements(self, principal: Principal) -> tuple[Agreement, ...]:
        """The caller's project's agreements, or those that the caller's role oversees."""
        with self._steps.begin(principal) as step:
            project = step.principal.project
            found = agreements.list_all(step.connection, project=project)
            if project is None:
                seen = step.overseen({str(agreement.dataset) for agreement in found})
                found = tuple(one for one in found if str(one.dataset) in seen)
            step.record_reading("agreements", len(found))
            return tuple(_with_suspension(step.connection, one) for one in found)

    def why(
        self,
        principal: Principal,
        dataset: DatasetAddress,
        action: Action = Action.QUERY,
        *,
        person: str | None = None,
        project: str | None = None,
    ) -> Explanation:
        """Why the caller may or may not do something to a dataset, and what to ask for.

        Owners and auditors of the dataset may ask about a person (identifier or e-mail address), in
        a project or in whichever of their capacities comes nearest. Raises UnknownDataset also for a dataset that the caller may not know of.
        """
        told: Explanation | Problem
        with self._steps.begin(principal) as step:
            try:
                told = self._explained(step, dataset, action, person, project)
            except (UnknownDataset, UnknownRecord) as unknown:
                told = unknown
            facts: dict[str, Fact] = {
                "dataset": str(dataset),
                "action": action.value,
                "project": step.principal.project or "",
                "allowed": isinstance(told, Explanation) and told.decision.allowed,
            }
            answer = told.sentence if isinstance(told, Explanation) else told.detail
            about = {"about_person": person, "about_project": project}
            asked = {field: _typed(name) for field, name in about.items() if name is not None}
            step.record(EntryKind.ACCESS_EXPLAINED, facts, answer, **asked)
        if isinstance(told, Problem):
            raise told
        return told

    def _move(
        self, principal: Principal, request_id: str, after: RequestState, reason: str
    ) -> ShareRequest:
        with self._steps.begin(principal) as step:
            request = self._readable(step, request_id)
            self._check_mover(step, request, requests.MOVED_BY[after])
            checks.storable(reason)
            if after in (RequestState.RETURNED, RequestState.REJECTED):
                checks.reason_given(reason)
            return self._moved(step, request, after, reason)

    def _moved(
        self, step: Step, request: ShareRequest, after: RequestState, reason: str
    ) -> ShareRequest:
        """Move a request; deciding on one that nobody took up takes it up first."""
        decided = requests.NEXT_STATES[RequestState.IN_REVIEW] - {RequestState.CANCELLED}
        if request.state is RequestState.SUBMITTED and after in decided:
            request = self._moved(step, request, RequestState.IN_REVIEW, "")
        request = requests.move(
            step.connection, request, after, step.principal, reason, now=step.now
        )
        _record_move(step, request)
        return request

    def _checked(
        self, step: Step, project: Project, draft: RequestDraft
    ) -> tuple[Scope, tuple[str, ...]]:
        # Who may find a dataset may ask for it; to others it does not exist.
        if not step.allows(Action.DISCOVER, draft.dataset):
            raise unknown_dataset(str(draft.dataset))
        return checks.of_draft(step.connection, self._places, project, draft, now=step.now)

    def _explained(
        self,
        step: Step,
        dataset: DatasetAddress,
        action: Action,
        person: str | None,
        project: str | None,
    ) -> Explanation:
        if not step.may_know_of(dataset):
            stopped = explanations.of_stopped(step.connection, step.decide(action, dataset))
            if stopped is None:
                raise unknown_dataset(str(dataset))
            return stopped
        if person is None and project is None:
            told = explanations.why(
                step.connection,
                self._decision_point,
                explanations.of_caller(step.principal),
                action,
                str(dataset),
                now=step.now,
            )
            told = explanations.elsewhere(
                step.connection,
                self._decision_point,
                told,
                step.principal.person_id,
                action,
                str(dataset),
                now=step.now,
            )
            return words.explained(told, self._places)
        return self._explained_of_another(step, dataset, action, person, project)

    def _explained_of_another(
        self,
        step: Step,
        dataset: DatasetAddress,
        action: Action,
        person: str | None,
        project: str | None,
    ) -> Explanation:
        if not step.oversees(dataset):
            raise AccessDenied(
                "Only owners and auditors of a dataset may ask about others.",
                next_step="Leave the person and the project out to ask about yourself.",
            )
        if person is None:
            raise RequestMalformed("Name the person too; a project by itself asks for nothing.")
        connection, now = step.connection, step.now
        try:
            capacities = (
                explanations.of_person(connection, person, now=now)
                if project is None
                else (explanations.of_member(connection, person, project, now=now),)
            )
        except Unauthenticated as absence:
            return explanations.of_absence(absence)
        told = explanations.nearest(
            connection, self._decision_point, capacities, action, str(dataset), now=now
        )
        return explanations.as_they_are_told(words.explained(told, self._places))

    def _readable(self, step: Step, request_id: str) -> ShareRequest:
        request = requests.read(step.connection, request_id)
        if not step.is_own(request.project) and not step.oversees(request.dataset):
            raise requests.unknown(request_id)
        return request

    def _check_mover(self, step: Step, request: ShareRequest, mover: Mover) -> None:
        if mover is Mover.OWNER:
            revisions.check_decider(step, request)
        elif not step.is_own(request.project):
            raise AccessDenied(
                f"Only the project {request.project} can do that with its request.",
                next_step="Send a token of that project.",
            )


def _with_suspension(connection: Connection, agreement: Agreement) -> Agreement:
    release = releases.latest(connection, agreement.dataset)
    tables = {table.name: table.schema for table in release.tables} if release else {}
    gone = scopes.gone_from(agreement.terms.scope, tables)
    return msgspec.structs.replace(agreement, suspended_by=gone)


def _record_move(step: Step, request: ShareRequest) -> None:
    moved = request.moves[-1]
    facts: dict[str, Fact] = {
        "request": request.id,
        "project": request.project,
        "dataset": str(request.dataset),
        "before": moved.before.value,
        "after": moved.after.value,
    }
    step.record(EntryKind.REQUEST_MOVED, facts, moved.why)


def _record_agreement(step: Step, agreement: Agreement, replaced: Agreement | None) -> None:
    facts: dict[str, Fact] = {
        "agreement": agreement.id,
        "request": agreement.request,
        "project": agreement.project,
        "dataset": str(agreement.dataset),
        "scope": msgspec.to_builtins(agreement.terms.scope),
        "actions": [action.value for action in agreement.terms.actions],
        "output_tier": agreement.terms.output_tier.value,
        "result_limit": msgspec.to_builtins(agreement.terms.result_limit),
        "last_day": agreement.last_day.isoformat(),
        "replaces": replaced.id if replaced is not None else None,
    }
    kind = EntryKind.AGREEMENT_MADE if replaced is None else EntryKind.AGREEMENT_REVISED
    step.record(kind, facts, agreement.terms.reason)


def _typed(text: str) -> str:
    """What somebody typed, in a form and a length that the log can keep."""
    return text[:_LONGEST_TYPED].encode(errors="backslashreplace").decode()
