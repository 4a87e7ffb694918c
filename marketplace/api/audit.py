"""Proofs from the audit log, as texts that verify without this service."""

from litestar import MediaType, get
from litestar.params import FromPath

from marketplace.api.authentication import SIGNED_IN
from marketplace.api.call import Given
from marketplace.bootstrap import Marketplace


@get(
    "/audit/checkpoint",
    opt={"action": SIGNED_IN},
    media_type=MediaType.TEXT,
    sync_to_thread=True,
    tags=["Audit"],
)
def read_checkpoint(marketplace: Given[Marketplace]) -> str:
    """The signed head of the audit log (C2SP tlog-checkpoint). Keep it to expose a changed past."""
    return marketplace.audit.sequence().note


@get(
    "/audit/receipts/{entry:str}",
    opt={"action": SIGNED_IN},
    media_type=MediaType.TEXT,
    sync_to_thread=True,
    tags=["Audit"],
)
def read_receipt(entry: FromPath[str], marketplace: Given[Marketplace]) -> str:
    """Prove that an entry stands in the audit log (C2SP tlog-proof).

    The entry's name is given to the reader whom it is about, in Marketplace-Audit-Entry. A receipt
    holds commitments in the place of everything about a person.
    """
    return str(marketplace.audit.receipt(entry))
