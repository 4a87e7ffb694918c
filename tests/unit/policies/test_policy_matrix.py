"""The table of who may do what, that people review, is what the decision point says."""

from tests.unit.policies.policy_matrix import DOCUMENT, written


def test_the_policy_matrix_is_what_the_decision_point_says():
    # Where this is a change that was meant: see the head of `policy_matrix.py`.
    assert DOCUMENT.read_text(encoding="utf-8") == written()
