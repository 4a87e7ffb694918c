"""An organisation's own people and their roles, for its administrators and owners."""

from litestar import get, post
from litestar.params import FromPath, JSONBody

from access_policies.vocabulary import Action, Role
from marketplace.api.call import Given
from marketplace.api.forms import converted
from marketplace.bootstrap import Marketplace
from marketplace.identity.principal import Principal
from marketplace.staff import Post
from marketplace.wire import (
    AppointmentDescription,
    AppointmentEnd,
    AppointmentForm,
    PersonDescription,
    PersonForm,
)

_ADMINISTER = {"action": Action.ADMINISTER_ORGANISATION}
_TAGS = ["Organisation"]


@post("/staff/people", opt=_ADMINISTER, sync_to_thread=True, tags=_TAGS)
def register_person(
    data: JSONBody[PersonForm], principal: Given[Principal], marketplace: Given[Marketplace]
) -> PersonDescription:
    """Enter a person who is at home in the caller's organisation; administrators do this."""
    person = marketplace.staff.register(principal, name=data.name, email=data.email)
    return PersonDescription(name=person.name, email=person.email, organisation=person.organisation)


@get("/staff", opt={"action": Action.AUDIT}, sync_to_thread=True, tags=_TAGS)
def list_staff(
    principal: Given[Principal], marketplace: Given[Marketplace]
) -> list[AppointmentDescription]:
    """List who holds which role in the caller's organisation, past and to come too."""
    return [_described(one) for one in marketplace.staff.list(principal)]


@post("/staff/appointments", opt=_ADMINISTER, sync_to_thread=True, tags=_TAGS)
def appoint(
    data: JSONBody[AppointmentForm], principal: Given[Principal], marketplace: Given[Marketplace]
) -> AppointmentDescription:
    """Name somebody of the caller's organisation to a role.

    Administrators name publishers, owners and deputies; owners name their own deputies.
    """
    return _described(
        marketplace.staff.appoint(
            principal,
            email=data.email,
            role=converted(data.role, Role),
            first_day=data.first_day,
            last_day=data.last_day,
            in_place_of=data.in_place_of,
        )
    )


@post(
    "/staff/appointments/{appointment_id:str}/end",
    opt=_ADMINISTER,
    status_code=200,
    sync_to_thread=True,
    tags=_TAGS,
)
def dismiss(
    appointment_id: FromPath[str],
    data: JSONBody[AppointmentEnd],
    principal: Given[Principal],
    marketplace: Given[Marketplace],
) -> AppointmentDescription:
    """Let an appointment end at once, or with the end of an earlier day."""
    return _described(marketplace.staff.dismiss(principal, appointment_id, last_day=data.last_day))


def _described(one: Post) -> AppointmentDescription:
    held = one.appointment
    return AppointmentDescription(
        id=held.id,
        name=one.person.name,
        email=one.person.email,
        role=held.role.value,
        organisation=held.organisation or "",
        in_place_of=one.in_place_of.name if one.in_place_of is not None else None,
        first_day=held.first_day,
        last_day=held.last_day,
    )
