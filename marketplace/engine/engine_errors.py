"""What DuckDB says of a failure, as a problem that can be told to the caller.

A caller's own values may stand in it (DuckDB quotes the value that it could not convert): the
instance holds nothing else. Paths of files may not.
"""

from collections.abc import Mapping

import duckdb

from catalogue.errors import Problem
from marketplace.errors import QueryFailed, QueryTooLarge

ENGINE_ERRORS = (duckdb.Error, OSError, MemoryError, RuntimeError, ValueError)
"""What a statement can raise where its result is not taken as Arrow."""

_LONGEST = 2000
_OWN_FAULT = ("INTERNAL Error", "FATAL Error", "TransactionContext Error", "Serialization Error")
_OF_FILES = ("IO Error", "Permission Error", "HTTP Error")


def told(error: BaseException, hidden: Mapping[str, str]) -> Problem:
    """The problem to raise; each key of `hidden` (a path) is replaced by its value."""
    text = str(error)
    if isinstance(error, MemoryError) or text.startswith("Out of Memory Error"):
        return QueryTooLarge(
            "The statement needs more memory or scratch space than one query may have.",
            next_step="Ask for less: fewer rows or columns, or a smaller join or sort.",
        )
    if text.startswith(_OF_FILES):
        return QueryFailed(
            "The engine could not open what the statement names.",
            next_step="Name tables as organisation.dataset or organisation.dataset.table.",
        )
    if text.startswith(_OWN_FAULT) or not text:
        return QueryFailed(
            "The engine failed on this statement.",
            next_step="Write it another way, or tell the operator.",
        )
    for path, name in hidden.items():
        text = text.replace(path, name)
    return QueryFailed(text[:_LONGEST], next_step="Change the statement and send it again.")


def is_fatal(error: BaseException) -> bool:
    """Whether the instance can no longer be trusted to work."""
    return isinstance(error, MemoryError) or str(error).startswith(
        ("INTERNAL Error", "FATAL Error", "Out of Memory Error")
    )
