"""What can go wrong on the client's side of the wire.

ClientError
├── MarketplaceProblem      the service refused or failed; what it said, word for word
├── ServiceUnreachable      nothing answers, or what answers is no marketplace
├── StreamCut               a result or an upload broke off; nothing of it is to be used
├── InsecureConnection      a token would travel readable for others
├── InvalidCall             an argument that no service could make sense of
├── ResultConsumed          a result is read once
└── LibraryMissing          a data frame was asked for without its library
"""

from collections.abc import Sequence

from marketplace.wire import ProblemDetails


class ClientError(Exception):
    """Something a person can be told: what and why, and what to do next.

    `exit_code` is what a command line ends with; `status` is the HTTP status, 0 where the service
    did not answer; `retry_after` is how many seconds the service asks to wait for, where it does.
    """

    title: str = "Client error"
    status: int = 0
    exit_code: int = 1
    retry_after: int = 0

    def __init__(self, detail: str, *, next_step: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.next_step = next_step
        self.lines = tuple(lines)

    def __str__(self) -> str:
        """Everything there is to say, since in a notebook nothing else is shown."""
        return "\n".join(part for part in (self.detail, *self.lines, self.next_step) if part)


class MarketplaceProblem(ClientError):
    """The service's own answer (RFC 9457). `type` names the kind of problem.

    `instance` names this occurrence in the service's log.
    """

    def __init__(self, details: ProblemDetails, *, retry_after: int = 0) -> None:
        super().__init__(details.detail, next_step=details.next_step, lines=details.lines)
        self.type = details.type
        self.title = details.title
        self.status = details.status
        self.instance = details.instance
        self.retry_after = retry_after
        self.exit_code = details.exit_code


class ServiceUnreachable(ClientError):
    """No marketplace answers at the address."""

    title = "No answer"
    exit_code = 8


class StreamCut(ClientError):
    """The connection ended before everything had come; what came is not complete."""

    title = "Connection cut"
    exit_code = 8


class InsecureConnection(ClientError):
    """The token would be sent unencrypted over a network."""

    title = "Not encrypted"
    exit_code = 2


class InvalidCall(ClientError):
    """The arguments do not say what is wanted."""

    title = "Call malformed"
    exit_code = 2


class ResultConsumed(ClientError):
    """The result was read before, or closed."""

    title = "Result already read"
    exit_code = 2


class LibraryMissing(ClientError):
    """An optional library is not installed."""

    title = "Library missing"
    exit_code = 2
