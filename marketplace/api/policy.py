"""Policy as text that people review."""

import msgspec
from litestar import MediaType, get, post
from litestar.params import FromPath, JSONBody

from access_policies.vocabulary import Action
from marketplace.api.call import Given
from marketplace.bootstrap import Marketplace
from marketplace.identity.principal import Principal
from marketplace.wire import (
    PolicyApplication,
    PolicyApplied,
    PolicyFile,
    PolicyFinding,
    PolicyReview,
)

_READ = {"action": Action.AUDIT}
_TAGS = ["Policy"]
_LARGEST_FILE = 8 * 1024**2  # bytes, in JSON


@get(
    "/policy/{organisation:str}",
    opt=_READ,
    media_type=MediaType.TEXT,
    sync_to_thread=True,
    tags=_TAGS,
)
def export_policy(
    organisation: FromPath[str], principal: Given[Principal], marketplace: Given[Marketplace]
) -> str:
    """Write out what stands over an organisation's datasets (`*`: over everything), as TOML."""
    return marketplace.policy.export(principal, organisation)


@get("/policy/{organisation:str}/findings", opt=_READ, sync_to_thread=True, tags=_TAGS)
def lint_policy(
    organisation: FromPath[str], principal: Given[Principal], marketplace: Given[Marketplace]
) -> list[PolicyFinding]:
    """Name the rules that can do nothing, and those that open more than is usual."""
    found = marketplace.policy.lint(principal, organisation)
    return msgspec.convert(msgspec.to_builtins(found), list[PolicyFinding])


@post(
    "/policy/review",
    opt=_READ,
    status_code=200,
    sync_to_thread=True,
    tags=_TAGS,
    request_max_body_size=_LARGEST_FILE,
)
def review_policy(
    data: JSONBody[PolicyFile], principal: Given[Principal], marketplace: Given[Marketplace]
) -> PolicyReview:
    """Say what a policy file changes, and name what is odd in it. Nothing is changed."""
    review = marketplace.policy.review(principal, data.text)
    return msgspec.convert(msgspec.to_builtins(review), PolicyReview)


@post(
    "/policy/apply",
    opt={"action": Action.DECIDE_REQUEST},
    status_code=200,
    sync_to_thread=True,
    tags=_TAGS,
    request_max_body_size=_LARGEST_FILE,
)
def apply_policy(
    data: JSONBody[PolicyApplication], principal: Given[Principal], marketplace: Given[Marketplace]
) -> PolicyApplied:
    """Make every change of a policy file at once, as the caller may make each, or none of them.

    Nothing is kept of a dry run.
    """
    applied = marketplace.policy.apply(principal, data.text, data.reason, dry_run=data.dry_run)
    return msgspec.convert(msgspec.to_builtins(applied), PolicyApplied)
