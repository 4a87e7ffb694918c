"""What goes over HTTP, told once for the service and for its client.

Requests refuse members they do not know, so that a misspelt one is told and not ignored; answers may
grow, and a client ignores what it does not know. Moments are RFC 3339 in UTC. Nothing of the server
is imported here.
"""

from marketplace.wire.catalogue import (
    ColumnDescription,
    DatasetDescription,
    DatasetSummary,
    PublishedRelease,
    ReleaseDescription,
    TableDescription,
    TableFile,
    TableFiles,
)
from marketplace.wire.service import (
    Caller,
    Health,
    ProblemDetails,
    QueryRequest,
)
from marketplace.wire.sharing import (
    AgreementDescription,
    AllRows,
    ApprovalForm,
    ExplanationOfAccess,
    Reason,
    RequestMove,
    RowsInPlaces,
    RowsWithValues,
    ScopeOfTable,
    ShareRequestDescription,
    ShareRequestForm,
)

__all__ = [
    "AgreementDescription",
    "AllRows",
    "ApprovalForm",
    "Caller",
    "ColumnDescription",
    "DatasetDescription",
    "DatasetSummary",
    "ExplanationOfAccess",
    "Health",
    "ProblemDetails",
    "PublishedRelease",
    "QueryRequest",
    "Reason",
    "ReleaseDescription",
    "RequestMove",
    "RowsInPlaces",
    "RowsWithValues",
    "ScopeOfTable",
    "ShareRequestDescription",
    "ShareRequestForm",
    "TableDescription",
    "TableFile",
    "TableFiles",
]
