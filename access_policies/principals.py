"""The names that rules are written for, and the only place that spells them.

A caller goes by several names at once: a person in a project is that person, the project, that
member of it, and everyone of an audience. A rule is for exactly one name.

Audiences have two kinds of name. What is offered to an audience is for all more trusted ones too, so
a caller has `audience:` with their own and every wider one; what is denied to an audience is not
denied to more trusted ones, so a denial is for `only:`, of which a caller has just their own.
"""

from functools import cache

from access_policies.vocabulary import Audience, Role

EVERYONE = "*"
"""Every caller has this name too. Only denials may be written for it."""

_ORGANISATION = "organisation:"
_EMPLOYER = "employer:"
_ONLY = "only:"


def person(identifier: str) -> str:
    """One person, whatever they act in."""
    return f"person:{identifier}"


def project(name: str) -> str:
    """Everyone who acts in the project."""
    return f"project:{name}"


def member(project_name: str, person_identifier: str) -> str:
    """One person while acting in one project, for agreements that name people."""
    return f"member:{project_name}/{person_identifier}"


def role(held: Role, organisation: str | None = None) -> str:
    """Everyone who acts in a role, of an organisation or of the marketplace itself."""
    return f"role:{held}@{organisation}" if organisation else f"role:{held}"


def organisation(name: str) -> str:
    """Everyone who acts for the organisation, in a project of it or in a role.

    Denials and invitations name it; no permission does.
    """
    return f"{_ORGANISATION}{name}"


def employer(name: str) -> str:
    """Everyone at home in the organisation, wherever they act. For denials only."""
    return f"{_EMPLOYER}{name}"


def only(audience_named: Audience) -> str:
    """Everyone of just this audience, and no more trusted ones. For denials only."""
    return f"{_ONLY}{audience_named.name.lower()}"


def is_for_denials(name: str) -> bool:
    """Whether no permission may be written for the name."""
    return name == EVERYONE or name.startswith((_ORGANISATION, _EMPLOYER, _ONLY))


def audience(offered: Audience) -> str:
    """Everyone to whom something is open that is open up to `offered`."""
    return f"audience:{offered.name.lower()}"


def is_specific(name: str) -> bool:
    """Whether the name is of certain people, and not of everyone of a kind."""
    return name.startswith(("person:", "project:", "member:", "role:"))


@cache
def audiences_of(own: Audience) -> frozenset[str]:
    """A caller's own audience and every wider one, and the name for denials to just their own."""
    return frozenset({only(own), *(audience(wider) for wider in Audience if wider >= own)})
