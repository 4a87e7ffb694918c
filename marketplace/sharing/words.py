"""What is asked or agreed, in sentences with the names of places."""

import msgspec

from access_policies import scope_sentences
from access_policies.decision import LimitResult, RestrictTo
from access_policies.explain import Explanation
from catalogue.errors import UnknownPlace
from catalogue.places import Places
from marketplace.sharing.scopes import Scope


def of_scope(scope: Scope, places: Places) -> tuple[str, ...]:
    """A sentence for each table."""

    def named(code: str) -> str:
        try:
            return f"{places.find(code).name} ({code})"
        except UnknownPlace:  # it was known when it was agreed
            return code

    return tuple(scope_sentences.of_table(table, named) for table in scope)


def of_terms(scope: Scope, limit: LimitResult | None, places: Places) -> tuple[str, ...]:
    """A sentence for each table, and one for what a result may have."""
    sentences = of_scope(scope, places)
    return sentences if limit is None else (*sentences, scope_sentences.of_limit(limit))


def explained(told: Explanation, places: Places) -> Explanation:
    """An explanation that also says what is let out, where something is."""
    sentences: list[str] = []
    for obligation in told.decision.obligations:
        if isinstance(obligation, RestrictTo):
            sentences += of_scope(obligation.tables, places)
        elif isinstance(obligation, LimitResult):
            sentences.append(scope_sentences.of_limit(obligation))
    if not sentences:
        return told
    return msgspec.structs.replace(told, sentence=" ".join((told.sentence, *sentences)))
