"""How far the marketplace is open: stages, cohorts, what a move does, and two people to make it."""

from marketplace.rollout.rollout import Rollout

__all__ = ["Rollout"]
