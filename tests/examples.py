"""How many examples a property is held against."""

import os

THOROUGH = "MARKETPLACE_TESTS_THOROUGH"


def examples(many: int) -> int:
    """All of them under `make thorough`, and a quarter where every second counts."""
    return many if os.environ.get(THOROUGH) else many // 4
