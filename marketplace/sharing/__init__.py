"""Journey 2: requests, decisions on them, and the agreements that are the enforcement."""

from marketplace.sharing.policy_files import PolicyFiles
from marketplace.sharing.sharing import Sharing
from marketplace.sharing.standing_rules import StandingRules

__all__ = ["PolicyFiles", "Sharing", "StandingRules"]
