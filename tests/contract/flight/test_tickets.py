"""Tickets and handles: what their holders may do with them, when, and nobody else."""

import os
import stat
from datetime import timedelta

import pytest
from pyarrow import flight

from access_policies.vocabulary import Audience
from marketplace.bootstrap import opened
from marketplace.errors import SettingInvalid
from marketplace.flight import flight_sql_pb2 as sql
from marketplace.flight.seal import open_seal
from marketplace.flight.server import running_flight

HOMES = "SELECT households FROM mhclg.homes"
CORRECTED = "area_code,area,households\nE08000012,Liverpool,1200\nE08000039,Sheffield,700\n"


def sealed_in(ticket: flight.Ticket, unpacked) -> bytes:
    handle: bytes = unpacked(ticket.ticket, sql.TicketStatementQuery).statement_handle
    return handle


def shown(handle: bytes, packed) -> bytes:
    ticket: bytes = packed(sql.TicketStatementQuery(statement_handle=handle))
    return ticket


def test_a_ticket_opens_for_a_minute_and_no_longer(world, clock) -> None:
    member = world.caller("member")
    ticket = member.ticket(HOMES)
    clock.advance(timedelta(seconds=59))
    assert member.read(ticket).to_pylist() == [{"households": 614}]
    clock.advance(timedelta(seconds=1))
    with pytest.raises(flight.FlightUnauthorizedError, match="ticket has expired"):
        member.read(ticket)


def test_a_handle_opens_for_half_a_day_and_no_longer(world, clock) -> None:
    member = world.caller("member")
    handle = member.prepare(HOMES).handle
    clock.advance(timedelta(hours=11, minutes=59))
    assert member.execute(handle) == [{"households": 614}]
    clock.advance(timedelta(minutes=1))
    with pytest.raises(flight.FlightUnauthorizedError, match="handle has expired"):
        member.execute(handle)


def test_another_persons_ticket_is_answered_as_an_invented_or_an_altered_one(
    shared_world, packed, unpacked
) -> None:
    member, outsider = shared_world.caller("member"), shared_world.caller("outsider")
    ticket = member.ticket("SELECT 1")
    handle = sealed_in(ticket, unpacked)
    altered = handle[:-1] + bytes([handle[-1] ^ 1])
    other_version = b"\x02" + handle[1:]
    told = set()
    for caller, shown_handle in (
        (outsider, handle),
        (member, altered),
        (member, other_version),
        (member, os.urandom(len(handle))),
        (member, handle[:10]),
        (member, b""),
        (outsider, b"x"),
    ):
        with pytest.raises(flight.FlightUnauthorizedError) as refused:
            caller.read(shown(shown_handle, packed))
        told.add(str(refused.value))
    assert len(told) == 1
    assert "none that your token was given" in told.pop()


def test_another_persons_handle_cannot_be_run_described_or_bound(shared_world, packed) -> None:
    handle = shared_world.caller("member").prepare(HOMES).handle
    outsider = shared_world.caller("outsider")
    command = sql.CommandPreparedStatementQuery(prepared_statement_handle=handle)
    with pytest.raises(flight.FlightUnauthorizedError, match="none that your token"):
        outsider.info(command)
    row = shared_world.row(x=1)
    with pytest.raises(flight.FlightUnauthorizedError, match="none that your token"):
        outsider.bind(handle, row)


def test_every_byte_of_a_ticket_is_sealed(member, packed, unpacked) -> None:
    handle = sealed_in(member.ticket("SELECT 1"), unpacked)
    for place in range(0, len(handle), 7):
        altered = bytearray(handle)
        altered[place] ^= 0x40
        with pytest.raises(flight.FlightUnauthorizedError):
            member.read(shown(bytes(altered), packed))


def test_a_handle_is_no_ticket_and_a_ticket_no_handle(member, packed, unpacked) -> None:
    handle = member.prepare("SELECT 1").handle
    with pytest.raises(flight.FlightUnauthorizedError, match="ticket is none"):
        member.read(shown(handle, packed))
    sealed = sealed_in(member.ticket("SELECT 1"), unpacked)
    with pytest.raises(flight.FlightUnauthorizedError, match="handle is none"):
        member.execute(sealed)


def test_what_a_ticket_holds_cannot_be_read_in_it(member, unpacked) -> None:
    handle = sealed_in(member.ticket("SELECT 'in clear'"), unpacked)
    assert b"SELECT" not in handle
    assert b"clear" not in handle


def test_a_ticket_is_decided_anew_when_it_is_shown(world) -> None:
    member = world.caller("member")
    ticket, handle = member.ticket(HOMES), member.prepare(HOMES).handle
    world.revoke()
    with pytest.raises(flight.FlightUnauthorizedError, match="marketplace request"):
        member.read(ticket)
    with pytest.raises(flight.FlightUnauthorizedError, match="marketplace request"):
        member.execute(handle)


def test_a_ticket_opens_nothing_once_its_token_is_revoked(world) -> None:
    member = world.caller("member")
    ticket, handle = member.ticket(HOMES), member.prepare(HOMES).handle
    world.revoke_token("member")
    with pytest.raises(flight.FlightUnauthenticatedError, match="revoked"):
        member.read(ticket)
    with pytest.raises(flight.FlightUnauthenticatedError, match="revoked"):
        member.execute(handle)


def test_another_token_of_the_same_person_does_not_open_its_tickets(world) -> None:
    ticket = world.caller("member").ticket(HOMES)
    world.issue_another_token("member")
    with pytest.raises(flight.FlightUnauthorizedError, match="none that your token"):
        world.caller("member").read(ticket)


def test_a_ticket_reads_the_release_that_was_announced(world) -> None:
    member = world.caller("member")
    ticket = member.ticket(HOMES)
    world.publish("mhclg.homes", CORRECTED, visible_to=Audience.LOCAL_GOVERNMENT)
    assert member.read(ticket).to_pylist() == [{"households": 614}]
    assert member.rows(HOMES) == [{"households": 700}]


def test_a_prepared_statement_reads_a_new_release_within_a_minute(world, clock) -> None:
    member = world.caller("member")
    handle = member.prepare(HOMES).handle
    world.publish("mhclg.homes", CORRECTED, visible_to=Audience.LOCAL_GOVERNMENT)
    clock.advance(timedelta(minutes=1))
    assert member.execute(handle) == [{"households": 700}]


def test_any_process_of_the_service_opens_what_another_sealed(world, clock) -> None:
    member = world.caller("member")
    ticket, handle = member.ticket(HOMES), member.prepare(HOMES).handle
    with (
        opened(world.marketplace.settings, clock=clock) as another,
        running_flight(another) as location,
    ):
        there = world.caller("member", location=location)
        assert there.read(ticket).to_pylist() == [{"households": 614}]
        assert there.execute(handle) == [{"households": 614}]


def test_the_key_is_made_once_for_the_service_alone(tmp_path) -> None:
    first = open_seal(tmp_path)
    sealed = first.close(b"content", purpose="ticket", holder="me")
    assert open_seal(tmp_path).open(sealed, purpose="ticket", holder="me") == b"content"
    assert stat.S_IMODE((tmp_path / "flight.key").stat().st_mode) == 0o600


def test_a_key_that_others_may_read_or_that_is_none_is_not_used(tmp_path) -> None:
    open_seal(tmp_path)
    key = tmp_path / "flight.key"
    key.chmod(0o640)
    with pytest.raises(SettingInvalid, match="can be read by others"):
        open_seal(tmp_path)
    key.chmod(0o600)
    key.write_text("no key\n")
    with pytest.raises(SettingInvalid, match="does not hold the key"):
        open_seal(tmp_path)


def test_without_the_key_nothing_that_is_out_opens_any_more(tmp_path) -> None:
    sealed = open_seal(tmp_path).close(b"content", purpose="ticket", holder="me")
    (tmp_path / "flight.key").unlink()
    assert open_seal(tmp_path).open(sealed, purpose="ticket", holder="me") is None
