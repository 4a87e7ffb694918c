"""What callers were told of statements a moment ago, to be told again without deciding it anew.

A client that prepares a statement each time before it runs it asks for the same description again and
again. Under the same policy revision the same caller would get the same answer (decision 0016).
"""

from datetime import datetime, timedelta

import msgspec

from access_policies.memo import Memo
from marketplace.query.permits import Permit

_FOR = timedelta(minutes=1)

_MOST_KEPT = 1024
_MOST_BYTES_OF_ONE = 16 * 1024


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """A statement's result before it is run.

    `schema` is an Arrow IPC stream without rows, `parameters` how many the statement has, `entry`
    the audit entry of the decision, and `releases` the number of each dataset's release.
    """

    schema: bytes
    parameters: int
    entry: str
    releases: dict[str, int]


class Told:
    """Descriptions by whom they were told and of what. Safe to share between threads."""

    def __init__(self) -> None:
        self._kept: Memo[tuple[str, str], Description] = Memo(_MOST_KEPT)

    def find(self, token: str, sql: str, *, revision: int, now: datetime) -> Description | None:
        """What the token was told of the statement in the last minute, where it is still so."""
        return self._kept.find((token, sql), revision=revision, now=now)

    def keep(self, permit: Permit, sql: str, description: Description) -> None:
        """Keep what was told under a permit, unless it is large."""
        if len(sql) + len(description.schema) > _MOST_BYTES_OF_ONE:
            return
        self._kept.keep(
            (permit.principal.token_id, sql),
            description,
            revision=permit.revision,
            since=permit.since,
            until=min(permit.since + _FOR, permit.until, permit.principal.changes_at),
        )
