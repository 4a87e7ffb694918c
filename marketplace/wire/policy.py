"""Policy as files: what is sent to be looked at, and what is said of it."""

import msgspec


class PolicyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The text of one organisation's policy file (TOML)."""

    text: str


class PolicyApplication(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy file to be applied, and why. With `dry_run` nothing is kept."""

    text: str
    reason: str
    dry_run: bool = False


class PolicyFinding(msgspec.Struct, frozen=True, kw_only=True):
    """Something odd about one rule.

    `fault` is `unreachable`, `shadowed` (by the rule `by`), `expired`, `over-broad`, `unknown` or
    `damaged`.
    """

    fault: str
    rule: str
    grant: str
    sentence: str
    by: str = ""


class PolicyDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that a file changes of what stood at the revision that it was written from.

    `change` is `make`, `end` or `change`, `place` where in the file. Where it is `outdated` somebody
    else has changed the grant since, and the file is not applied.
    """

    change: str
    grant: str
    place: str
    sentence: str
    outdated: bool = False


class PolicyReview(msgspec.Struct, frozen=True, kw_only=True):
    """What a file changes, and what is odd about its rules under the policy revision `revision`."""

    organisation: str
    revision: int
    differences: tuple[PolicyDifference, ...]
    findings: tuple[PolicyFinding, ...]


class PolicyApplied(msgspec.Struct, frozen=True, kw_only=True):
    """What applying a file did, or with `dry_run` would do; `revision` is the policy's after it."""

    organisation: str
    revision: int
    dry_run: bool
    differences: tuple[PolicyDifference, ...]
