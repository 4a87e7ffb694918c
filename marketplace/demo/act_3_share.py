"""Act 3: a squad asks with a purpose and a legal basis, and the owner's yes is the enforcement."""

from datetime import date

from marketplace.demo.cast import HOUSING, MEMBER, OWNER
from marketplace.demo.telling import Telling
from marketplace.demo.world import World
from marketplace.wire import (
    AgreementDescription,
    ApprovalForm,
    RowsInPlaces,
    ScopeOfTable,
    ShareRequestForm,
)

TEMPORARY_ACCOMMODATION = f"{HOUSING}.temporary_accommodation"

# Sheffield as the area lookup of December 2024 has it; the table itself says E08000039.
OLD_CODE = "E08000019"

_SHEFFIELD = ScopeOfTable(
    table="temporary_accommodation", columns=("*",), rows=RowsInPlaces((OLD_CODE,))
)

_AIMS = "See where families are placed and for how long, to find them homes sooner."
_GATEWAY = "DEA2017_S35"


def share(world: World, telling: Telling) -> None:
    """Ask, look at what was asked, and approve it for Sheffield until a day."""
    last_day = world.calendar.first_last_day
    telling.person(MEMBER.name, f"asks for {TEMPORARY_ACCOMMODATION}")
    with world.acting(MEMBER.key) as client:
        found = client.search("temporary accommodation")
        telling.shown(*(f"found {one.address}: {one.title}" for one in found))
        request = ask(world, last_day)
    telling.outcome(
        "Ask, with a purpose and a legal basis",
        f"submitted under {_GATEWAY} (Digital Economy Act 2017, section 35)",
    )
    telling.person(OWNER.name, f"approves it for the place {OLD_CODE} until {last_day:%d %b %Y}")
    approve(world, request, last_day)
    telling.outcome(
        "Approve for Sheffield's rows until a day",
        f"agreement in force until the midnight that ends {last_day:%d %b %Y}",
    )
    world.copy_database(world.keepsakes.older.name)


def ask(world: World, last_day: date, address: str = TEMPORARY_ACCOMMODATION) -> str:
    """Submit the squad's request for a dataset and return its identifier."""
    form = ShareRequestForm(
        dataset=address,
        last_day=last_day,
        data_type="none",
        aims=_AIMS,
        how_data_helps="It shows how many households with children are placed, and in what.",
        benefits=("service_delivery", "decisions_benefiting_people"),
        power="legislation",
        gateway=_GATEWAY,
        controller="controller",
        deletion="Copies are deleted within a week of the last day.",
    )
    with world.acting(MEMBER.key) as client:
        return client.ask(form).id


def approve(world: World, request: str, last_day: date) -> AgreementDescription:
    """Approve all columns of Sheffield's rows."""
    approval = ApprovalForm(
        reason="Needed for the squad's work, and Sheffield is enough for it.",
        scope=(_SHEFFIELD,),
        last_day=last_day,
    )
    with world.acting(OWNER.key) as client:
        return client.approve(request, approval)
