"""What can go wrong with a rule. A decision itself never raises: it denies."""


class PolicyError(Exception):
    """A rule or request that the policy cannot hold; `detail` says why, `next_step` what to do."""

    def __init__(self, detail: str, *, next_step: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.next_step = next_step


class InvalidRule(PolicyError):
    """The rule ends before it begins, names nothing, or is otherwise not a rule."""


class RuleConflict(PolicyError):
    """The rule would stand beside one that must be the only one."""
