"""From the plain words of a form to the use cases' own values, and back."""

from typing import Any, TypeVar

import msgspec

from access_policies.vocabulary import Audience
from marketplace.errors import RequestMalformed
from marketplace.sharing.scopes import Scope

Form = TypeVar("Form")


def converted(values: object, kind: type[Form]) -> Form:
    """The use case's own value; a word that it does not know is told with its place."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise RequestMalformed(
            "The form has a word that is not one of its choices.",
            next_step="The choices are listed in the README of marketplace/sharing.",
            lines=[str(error)],
        ) from None


def audience_named(name: str, field: str = "audience") -> Audience:
    """The audience of that name. Raises RequestMalformed."""
    try:
        return Audience[name.upper()]
    except KeyError:
        choices = ", ".join(audience.name.lower() for audience in Audience)
        raise RequestMalformed(
            f"{field} does not name an audience.", next_step=f"Choose one of: {choices}."
        ) from None


def scope_of(scope: Scope) -> list[dict[str, Any]]:
    """As a form takes it: without the types that the service keeps beside it."""
    return [
        {name: value for name, value in msgspec.to_builtins(table).items() if name != "types"}
        for table in scope
    ]
