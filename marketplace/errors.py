"""The marketplace's own errors, and the one table from any error to HTTP, Flight and exit codes.

Problem (catalogue/errors.py)
└── MarketplaceError
    ├── SettingInvalid
    ├── RequestMalformed        the call itself is wrong
    ├── FormatNotOffered        a result asked for in a media type that there is none of
    ├── PreconditionFailed      a file is not the one that the call is meant for
    ├── RangeUnsatisfiable      a range of bytes that the file has none of
    ├── Unauthenticated         no token, or one that is unknown, expired or revoked
    ├── TicketInvalid           a Flight ticket or handle that opens nothing for this caller
    ├── WrongProject            the token belongs to another project
    ├── AccessDenied            the decision, with its reason
    ├── AccessEnded             access ended while a result was being sent
    ├── InvalidSharing          a request or agreement that cannot be made or moved so
    ├── InvalidMove             a move of the rollout that cannot be made so
    ├── AnswerTooLarge          more than one answer about others' access holds
    ├── MoveOutdated            a proposal to move it that rests on what has changed since
    ├── PolicyOutdated          a policy file that changes what has moved since it was written
    ├── UnknownRecord           no such request, agreement, person, project ...
    ├── RecordExists            a name that is taken
    ├── FileUnreadable          an uploaded file that is no table; `lines` say where
    ├── StatementRefused        SQL that is not one SELECT over the caller's tables
    ├── QueryFailed             DuckDB refused or could not finish the statement
    ├── QueryTimedOut
    ├── QueryStopped            its caller left before the first byte
    ├── QueryTooLarge           memory, or the limit on a result's bytes
    ├── WorkerLost              the process that did the work died
    ├── ServiceBusy             no worker is free; try again
    ├── ExtractNotReady         what the agreement lets out is still being written; try again
    ├── ConfinementMissing      the operator demands a sandbox that this kernel lacks
    ├── AuditUnavailable        nothing is served that cannot be recorded
    └── ProofInvalid            a receipt or checkpoint of the audit log that proves nothing
"""

from enum import StrEnum
from http import HTTPStatus

import msgspec

from access_policies.errors import InvalidRule, PolicyError, RuleConflict
from catalogue import errors as catalogue
from catalogue.errors import Problem
from connectors import errors as connectors


class MarketplaceError(Problem):
    """A fault in what the service was asked or was able to do."""


class SettingInvalid(MarketplaceError):
    """The operator's settings cannot be used."""


class RequestMalformed(MarketplaceError):
    """The call cannot be understood."""


class FormatNotOffered(MarketplaceError):
    """The call accepts none of the media types that the answer can have."""


class PreconditionFailed(MarketplaceError):
    """The file is not the one that the call is meant for."""


class RangeUnsatisfiable(MarketplaceError):
    """The file has none of the bytes asked for; `size` is how many it has."""

    def __init__(self, detail: str, *, next_step: str = "", size: int = 0) -> None:
        super().__init__(detail, next_step=next_step)
        self.size = size


class Unauthenticated(MarketplaceError):
    """No token was sent, or one that does not open anything now."""


class TicketInvalid(MarketplaceError):
    """A ticket or handle of Flight that is another's, was altered, or has expired."""


class WrongProject(MarketplaceError):
    """The call names another project than the token's."""


class AccessDenied(MarketplaceError):
    """The decision was no; `detail` is its reason."""


class AccessEnded(MarketplaceError):
    """Access ended (revoked, or its last day passed) while the result was on its way."""


class InvalidSharing(MarketplaceError):
    """A request or agreement breaks a rule or cannot make that move; `lines` list the findings."""


class InvalidMove(MarketplaceError):
    """The rollout cannot be moved so; `lines` list the findings."""


class AnswerTooLarge(MarketplaceError):
    """A question about others' access whose answer is more than one answer holds."""


class MoveOutdated(MarketplaceError):
    """What a proposal rests on has changed since; `lines` say how."""


class PolicyOutdated(MarketplaceError):
    """A policy file changes what somebody else has changed since; `lines` say what."""


class UnknownRecord(MarketplaceError):
    """There is no such request, agreement, person, project or organisation."""


class RecordExists(MarketplaceError):
    """The name is taken."""


class FileUnreadable(MarketplaceError):
    """The file is not a table that can be read for certain."""


class StatementRefused(MarketplaceError):
    """The statement is not one SELECT over the caller's tables."""


class QueryFailed(MarketplaceError):
    """The statement is allowed but cannot be carried out."""


class QueryTimedOut(MarketplaceError):
    """The statement did not finish before its deadline."""


class QueryStopped(MarketplaceError):
    """The caller left before the statement had its first bytes, so it was stopped."""


class QueryTooLarge(MarketplaceError):
    """The statement needs more memory, or gives more bytes, than one query may."""


class WorkerLost(MarketplaceError):
    """The process that did the work died; nothing of its result is complete."""


class ServiceBusy(MarketplaceError):
    """Every worker is taken; the same call may succeed after `retry_after` seconds."""

    def __init__(self, detail: str, *, next_step: str = "", retry_after: int = 5) -> None:
        super().__init__(detail, next_step=next_step)
        self.retry_after = retry_after


class ExtractNotReady(MarketplaceError):
    """What the agreement lets out is still being written; `detail` says how much is done."""


class ConfinementMissing(MarketplaceError):
    """The kernel cannot confine workers, and the operator requires it."""


class AuditUnavailable(MarketplaceError):
    """The audit log cannot be written, so nothing is served."""


class ProofInvalid(MarketplaceError):
    """A receipt or checkpoint is malformed, or was not signed by the audit log's key."""


class FlightStatus(StrEnum):
    """What Arrow Flight can say of a call that failed; `failed` is all that its caller can mend."""

    FAILED = "failed"
    UNAUTHENTICATED = "unauthenticated"
    UNAUTHORIZED = "unauthorized"
    TIMED_OUT = "timed_out"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


# Flight has fewer words than HTTP has, so its column follows from HTTP's.
_FLIGHT_STATUSES = {
    HTTPStatus.UNAUTHORIZED: FlightStatus.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: FlightStatus.UNAUTHORIZED,
    HTTPStatus.GATEWAY_TIMEOUT: FlightStatus.TIMED_OUT,
    HTTPStatus.SERVICE_UNAVAILABLE: FlightStatus.UNAVAILABLE,
    HTTPStatus.BAD_GATEWAY: FlightStatus.UNAVAILABLE,
    HTTPStatus.INTERNAL_SERVER_ERROR: FlightStatus.INTERNAL,
}


class Answer(msgspec.Struct, frozen=True):
    """How an error is told: HTTP status, exit code of the command line, short title."""

    status: HTTPStatus
    exit_code: int
    title: str

    @property
    def flight(self) -> FlightStatus:
        """What it is told as over Arrow Flight."""
        return _FLIGHT_STATUSES.get(self.status, FlightStatus.FAILED)


# Exit codes: 1 unexpected, 2 the call is wrong, 3 not found, 4 not allowed, 5 conflict,
# 6 the data is wrong, 7 too large or too slow, 8 try again, 9 the service is unfit.
ANSWERS: dict[type[Exception], Answer] = {
    catalogue.InvalidAddress: Answer(HTTPStatus.BAD_REQUEST, 2, "Not an address"),
    catalogue.UnknownDataset: Answer(HTTPStatus.NOT_FOUND, 3, "No such dataset"),
    catalogue.DatasetExists: Answer(HTTPStatus.CONFLICT, 5, "Dataset already there"),
    catalogue.UnknownRelease: Answer(HTTPStatus.NOT_FOUND, 3, "No such release"),
    catalogue.UnknownPlace: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, 2, "No such place"),
    catalogue.ReleaseConflict: Answer(HTTPStatus.CONFLICT, 5, "Another release came first"),
    catalogue.ReleaseUnchanged: Answer(HTTPStatus.CONFLICT, 5, "Nothing new to publish"),
    catalogue.IntentExpired: Answer(HTTPStatus.CONFLICT, 5, "The publish took too long"),
    catalogue.AboveOfficial: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, 6, "Classified too high"),
    catalogue.ContractBroken: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, 6, "Contract broken"),
    catalogue.InvalidKey: Answer(HTTPStatus.INTERNAL_SERVER_ERROR, 1, "Not a key"),
    catalogue.ObjectMissing: Answer(HTTPStatus.INTERNAL_SERVER_ERROR, 9, "A stored file is gone"),
    catalogue.ObjectExists: Answer(HTTPStatus.INTERNAL_SERVER_ERROR, 9, "A stored file is there"),
    catalogue.ObjectCorrupted: Answer(HTTPStatus.INTERNAL_SERVER_ERROR, 9, "A file was altered"),
    catalogue.StoreUnfit: Answer(HTTPStatus.SERVICE_UNAVAILABLE, 9, "The object store is unfit"),
    catalogue.CatalogueError: Answer(HTTPStatus.BAD_REQUEST, 2, "Catalogue error"),
    connectors.SourceTooLarge: Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, 7, "File too large"),
    connectors.SourceInterrupted: Answer(
        HTTPStatus.BAD_REQUEST, 8, "The file did not arrive whole"
    ),
    connectors.StoreUnavailable: Answer(HTTPStatus.SERVICE_UNAVAILABLE, 8, "No object store"),
    connectors.ConnectorError: Answer(HTTPStatus.BAD_GATEWAY, 8, "Connector error"),
    InvalidRule: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, 2, "Not a rule"),
    RuleConflict: Answer(HTTPStatus.CONFLICT, 5, "Conflicting rule"),
    PolicyError: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, 2, "Policy error"),
    SettingInvalid: Answer(HTTPStatus.INTERNAL_SERVER_ERROR, 2, "Setting invalid"),
    RequestMalformed: Answer(HTTPStatus.BAD_REQUEST, 2, "Request malformed"),
    FormatNotOffered: Answer(HTTPStatus.NOT_ACCEPTABLE, 2, "Format not offered"),
    PreconditionFailed: Answer(HTTPStatus.PRECONDITION_FAILED, 5, "Another file"),
    RangeUnsatisfiable: Answer(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 2, "No such range of bytes"
    ),
    Unauthenticated: Answer(HTTPStatus.UNAUTHORIZED, 4, "Not signed in"),
    TicketInvalid: Answer(HTTPStatus.FORBIDDEN, 4, "Ticket not valid"),
    WrongProject: Answer(HTTPStatus.FORBIDDEN, 4, "Another project's token"),
    AccessDenied: Answer(HTTPStatus.FORBIDDEN, 4, "Not allowed"),
    AccessEnded: Answer(HTTPStatus.FORBIDDEN, 4, "Access ended"),
    InvalidSharing: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, 2, "Not possible"),
    InvalidMove: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, 2, "Not a move that can be made"),
    AnswerTooLarge: Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, 7, "Answer too large"),
    MoveOutdated: Answer(HTTPStatus.CONFLICT, 5, "The proposal is out of date"),
    PolicyOutdated: Answer(HTTPStatus.CONFLICT, 5, "The policy file is out of date"),
    UnknownRecord: Answer(HTTPStatus.NOT_FOUND, 3, "Not found"),
    RecordExists: Answer(HTTPStatus.CONFLICT, 5, "Already there"),
    FileUnreadable: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, 6, "File unreadable"),
    StatementRefused: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, 2, "Statement refused"),
    QueryFailed: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, 2, "Query failed"),
    QueryTimedOut: Answer(HTTPStatus.GATEWAY_TIMEOUT, 7, "Query timed out"),
    QueryStopped: Answer(HTTPStatus.BAD_REQUEST, 8, "Query stopped"),
    QueryTooLarge: Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, 7, "Query too large"),
    WorkerLost: Answer(HTTPStatus.SERVICE_UNAVAILABLE, 8, "Worker lost"),
    ServiceBusy: Answer(HTTPStatus.SERVICE_UNAVAILABLE, 8, "Busy"),
    ExtractNotReady: Answer(HTTPStatus.SERVICE_UNAVAILABLE, 8, "Still being prepared"),
    ConfinementMissing: Answer(HTTPStatus.INTERNAL_SERVER_ERROR, 9, "No confinement"),
    AuditUnavailable: Answer(HTTPStatus.SERVICE_UNAVAILABLE, 9, "Audit unavailable"),
    ProofInvalid: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, 6, "Proves nothing"),
    MarketplaceError: Answer(HTTPStatus.INTERNAL_SERVER_ERROR, 1, "Marketplace error"),
    Problem: Answer(HTTPStatus.INTERNAL_SERVER_ERROR, 1, "Problem"),
}

UNEXPECTED = Answer(HTTPStatus.INTERNAL_SERVER_ERROR, 1, "Unexpected error")


def answer_for(error: BaseException) -> Answer:
    """The nearest entry for an error's class; anything unknown is told as unexpected."""
    return next((ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS), UNEXPECTED)
