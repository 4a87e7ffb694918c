"""Answers about access in sentences."""

from collections.abc import Iterable, Iterator

from access_policies import sentences
from access_policies.decision import LimitOutput, LimitResult, Obligation, OutputTier, RestrictTo
from access_policies.rules import Rule
from access_policies.scope_sentences import of_limit
from access_policies.vocabulary import Action
from catalogue.places import Places
from marketplace.oversight.changes import Cause, Change, Turn
from marketplace.sharing.words import of_scope


def actions(done: Iterable[Action]) -> str:
    """What may be done: `download and query`."""
    return " and ".join(sentences.DOING[action] for action in done)


def of_obligations(obligations: Iterable[Obligation], places: Places) -> tuple[str, ...]:
    """What is let out, a sentence for each table and limit; all of it where nothing is said."""
    return tuple(_of_obligations(obligations, places)) or ("All tables, columns and rows.",)


def because(change: Change) -> str:
    """What brought a change about, a sentence for each cause."""
    return " ".join(_because(cause, change) for cause in change.causes)


def _of_obligations(obligations: Iterable[Obligation], places: Places) -> Iterator[str]:
    for obligation in obligations:
        if isinstance(obligation, RestrictTo):
            yield from of_scope(obligation.tables, places)
        elif isinstance(obligation, LimitResult):
            yield of_limit(obligation)
        elif isinstance(obligation, LimitOutput) and obligation.tier is not OutputTier.ROWS:
            yield f"Results leave only as {obligation.tier.value}."


def _because(cause: Cause, change: Change) -> str:
    before, after = _grant(change.before), _grant(change.after)
    match change.turn, cause:
        case _, Cause.JOINED:
            return f"They began to act as {change.post}."
        case _, Cause.LEFT:
            return f"They no longer act as {change.post}."
        case _, Cause.AUDIENCE:
            return f"They act as {change.post} for another audience."
        case _, Cause.STAGE:
            return "The rollout moved."
        case Turn.GAINED, Cause.DENIAL:
            return "A denial of it was lifted."
        case _, Cause.DENIAL:
            return "A denial closed it."
        case Turn.GAINED, Cause.RULE:
            return f"{after} was made."
        case Turn.LOST, Cause.RULE:
            return f"{before} was ended."
        case Turn.GAINED, Cause.TIME:
            return f"{after} began."
        case Turn.LOST, Cause.TIME:
            return f"{before} reached its end."
        case _:
            return f"{after} took the place of {before}."


def _grant(rule: Rule | None) -> str:
    return sentences.grant(rule) if rule is not None else "nothing"
