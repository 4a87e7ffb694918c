"""What those who look after data do: offers, stops, and who holds which role."""

from datetime import date
from urllib.parse import quote

from marketplace.client.transport import Transport
from marketplace.wire import (
    AppointmentDescription,
    AppointmentEnd,
    AppointmentForm,
    OfferDescription,
    OfferForm,
    PersonDescription,
    PersonForm,
    Reason,
    StopDescription,
    StopForm,
)


class Stewardship:
    """The calls of owners, administrators and operators; raises as `Client` does."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def offer(self, form: OfferForm) -> OfferDescription:
        """Let everyone up to an audience read a dataset, or a part of it."""
        return self._transport.call("POST", "/api/v1/offers", OfferDescription, body=form)

    def withdraw(self, offer: str, reason: str) -> OfferDescription:
        """End a standing offer at once."""
        path = f"/api/v1/offers/{quote(offer, safe='')}/withdraw"
        return self._transport.call("POST", path, OfferDescription, body=Reason(reason=reason))

    def offers(self) -> list[OfferDescription]:
        """The offers that are open to you, and all over what you oversee."""
        return self._transport.call("GET", "/api/v1/offers", list[OfferDescription])

    def stop(self, form: StopForm) -> StopDescription:
        """Close a dataset, or something to a party, at once."""
        return self._transport.call("POST", "/api/v1/stops", StopDescription, body=form)

    def resume(self, stop: str, reason: str) -> StopDescription:
        """End a stop that you, or whoever has the same authority, made."""
        path = f"/api/v1/stops/{quote(stop, safe='')}/resume"
        return self._transport.call("POST", path, StopDescription, body=Reason(reason=reason))

    def stops(self) -> list[StopDescription]:
        """What is stopped, and was, of what you look after."""
        return self._transport.call("GET", "/api/v1/stops", list[StopDescription])

    def register(self, name: str, email: str) -> PersonDescription:
        """Enter a person who is at home in your organisation."""
        body = PersonForm(name=name, email=email)
        return self._transport.call("POST", "/api/v1/staff/people", PersonDescription, body=body)

    def staff(self) -> list[AppointmentDescription]:
        """Who holds which role in your organisation, past and to come too."""
        return self._transport.call("GET", "/api/v1/staff", list[AppointmentDescription])

    def appoint(self, form: AppointmentForm) -> AppointmentDescription:
        """Name somebody of your organisation to a role."""
        path = "/api/v1/staff/appointments"
        return self._transport.call("POST", path, AppointmentDescription, body=form)

    def dismiss(self, appointment: str, last_day: date | None = None) -> AppointmentDescription:
        """Let an appointment end at once, or with the end of an earlier day."""
        path = f"/api/v1/staff/appointments/{quote(appointment, safe='')}/end"
        body = AppointmentEnd(last_day=last_day)
        return self._transport.call("POST", path, AppointmentDescription, body=body)
