"""How much of everything a run measures."""

from dataclasses import dataclass

from policy_world import FULL, SMALL, PolicySize


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The sizes of one run.

    `scale` is TPC-H's scale factor, `payments` the rows of the CSV file that is published, of some 93
    bytes each, and `large_payments` those of the large one, `samples` how many small queries a
    latency is the median of, `clients` and `seconds` how many ask at the same time and for how long
    in each round, after `warming` seconds that are not counted, `policy` how much stands in the world
    of many grants.
    """

    scale: float = 1
    rounds: int = 5
    payments: int = 3_000_000
    large_payments: int = 54_000_000
    samples: int = 200
    clients: int = 16
    seconds: float = 3.0
    warming: float = 12.0
    policy: PolicySize = FULL


QUICK = Plan(
    scale=0.01,
    rounds=1,
    payments=20_000,
    large_payments=20_000,
    samples=5,
    clients=3,
    seconds=0.2,
    warming=0.1,
    policy=SMALL,
)
"""A run that only shows that everything is measured; its figures say nothing."""
