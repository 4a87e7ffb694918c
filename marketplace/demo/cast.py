"""The story's people: roles, not persons. Nobody here exists."""

from dataclasses import dataclass

from access_policies.vocabulary import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """Somebody in the story, and what their token is for: a squad, or a role in an organisation."""

    key: str
    name: str
    home: str
    squad: str | None = None
    role: Role | None = None
    organisation: str | None = None

    @property
    def email(self) -> str:
        """An address that cannot exist (RFC 2606)."""
        return f"{self.key}@example.org"


HOUSING = "mhclg"
COMPANY = "example_company"
UNIVERSITY = "university"
SHEFFIELD_SQUAD = "sheffield_temporary_accommodation"
LIVERPOOL_SQUAD = "liverpool_temporary_accommodation"
RESEARCH = "spending_study"

PUBLISHER = Character(
    key="housing_publisher",
    name="The housing department's publisher",
    home=HOUSING,
    role=Role.PUBLISHER,
    organisation=HOUSING,
)
OWNER = Character(
    key="housing_owner",
    name="The housing department's data owner",
    home=HOUSING,
    role=Role.OWNER,
    organisation=HOUSING,
)
MEMBER = Character(
    key="squad_member",
    name="The squad member on secondment",
    home=COMPANY,
    squad=SHEFFIELD_SQUAD,
)
OUTSIDER = Character(
    key="outsider",
    name="Somebody in another squad",
    home="liverpool",
    squad=LIVERPOOL_SQUAD,
)
COUNCIL_PUBLISHERS = tuple(
    Character(
        key=f"{council}_publisher",
        name=f"The publisher at {council.capitalize()}",
        home=council,
        role=Role.PUBLISHER,
        organisation=council,
    )
    for council in ("leeds", "trafford", "manchester")
)
PAYMENTS_OWNER = Character(
    key="manchester_owner",
    name="The data owner at Manchester",
    home="manchester",
    role=Role.OWNER,
    organisation="manchester",
)
OWNERS_NAMED_LATER = tuple(
    Character(
        key=f"{council}_owner",
        name=f"The data owner at {council.capitalize()}",
        home=council,
        role=Role.OWNER,
        organisation=council,
    )
    for council in ("leeds", "trafford")
)
TRAFFORD_OWNER = OWNERS_NAMED_LATER[-1]
RESEARCHER = Character(key="researcher", name="The researcher", home=UNIVERSITY, squad=RESEARCH)
FIRST_OPERATOR = Character(
    key="operator",
    name="An operator of the marketplace",
    home="cabinet_office",
    role=Role.OPERATOR,
)
SECOND_OPERATOR = Character(
    key="second_operator", name="Another operator", home="cabinet_office", role=Role.OPERATOR
)
AUDITOR = Character(key="auditor", name="The auditor", home="cabinet_office", role=Role.AUDITOR)

AT_FIRST = (
    PUBLISHER,
    OWNER,
    MEMBER,
    OUTSIDER,
    *COUNCIL_PUBLISHERS,
    PAYMENTS_OWNER,
    RESEARCHER,
    FIRST_OPERATOR,
    SECOND_OPERATOR,
    AUDITOR,
)
CAST = (*AT_FIRST, *OWNERS_NAMED_LATER)
