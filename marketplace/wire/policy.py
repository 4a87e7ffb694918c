"""Policy as files: what is sent to be looked at, and what is said of it."""

import msgspec


class PolicyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The text of one organisation's policy file (TOML)."""

    text: str


class PolicyFinding(msgspec.Struct, frozen=True, kw_only=True):
    """Something odd about one rule.

    `fault` is `unreachable`, `shadowed` (by the rule `by`), `expired`, `over-broad` or `unknown`.
    """

    fault: str
    rule: str
    grant: str
    sentence: str
    by: str = ""


class PolicyDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A grant in which a file and what stands differ; `change` is `make`, `end` or `change`."""

    change: str
    grant: str
    sentence: str


class PolicyReview(msgspec.Struct, frozen=True, kw_only=True):
    """A file held against what stands under the policy revision `revision`."""

    organisation: str
    revision: int
    differences: tuple[PolicyDifference, ...]
    findings: tuple[PolicyFinding, ...]
