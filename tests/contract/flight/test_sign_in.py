"""Who is let in, how they say who they are, and what is told to those who are not."""

from datetime import timedelta

import pytest
from pyarrow import flight

from marketplace.flight import flight_sql_pb2 as sql

CATALOGS = sql.CommandGetCatalogs()


def test_any_user_name_with_the_token_as_password_is_given_the_bearer_token(shared_world) -> None:
    client = flight.connect(shared_world.location)
    header, value = client.authenticate_basic_token("client-id", shared_world.secret("member"))
    assert (header, value) == (b"authorization", f"Bearer {shared_world.secret('member')}".encode())


def test_a_wrong_password_is_refused_at_the_handshake_with_what_to_do(shared_world) -> None:
    client = flight.connect(shared_world.location)
    with pytest.raises(flight.FlightUnauthenticatedError, match=r"not a token .* knows") as refused:
        client.authenticate_basic_token("member@sheffield.example", "password")
    assert "Ask the operator" in str(refused.value)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer  ",
        "Basic",
        "Basic !!!",
        "Basic cGFzcw==",
        "Digest a=b",
        "Bearer nobody",
    ],
)
def test_a_call_without_a_token_that_is_known_is_refused(shared_world, authorization, bare) -> None:
    with pytest.raises(flight.FlightUnauthenticatedError):
        bare(authorization).listed(CATALOGS)


def test_a_call_without_any_header_is_told_what_to_send(shared_world) -> None:
    client = flight.connect(shared_world.location)
    with pytest.raises(flight.FlightUnauthenticatedError, match="authorization: Bearer"):
        list(client.list_actions())


def test_a_call_may_sign_in_with_user_and_password_itself(shared_world, basic, bare) -> None:
    caller = bare(basic("anybody", shared_world.secret("member")))
    assert caller.listed(CATALOGS) == [{"catalog_name": "mhclg"}]


def test_credentials_without_their_padding_are_read(shared_world, basic, bare) -> None:
    header = basic("ab", shared_world.secret("member"))
    assert header.endswith("=")
    assert bare(header.rstrip("=")).listed(CATALOGS) == [{"catalog_name": "mhclg"}]


def test_two_tokens_in_one_call_are_refused(shared_world) -> None:
    bearer = f"Bearer {shared_world.secret('member')}".encode()
    other = f"Bearer {shared_world.secret('outsider')}".encode()
    client = flight.connect(shared_world.location)
    options = flight.FlightCallOptions(
        headers=[(b"authorization", bearer), (b"authorization", other)]
    )
    with pytest.raises(flight.FlightUnauthenticatedError, match="twice"):
        list(client.list_actions(options))


def test_a_call_for_another_project_than_the_tokens_is_refused(shared_world) -> None:
    own = shared_world.caller("member", marketplace_project="sheffield_squad")
    assert own.rows("SELECT 1 AS one") == [{"one": 1}]
    with pytest.raises(flight.FlightUnauthorizedError, match="another project"):
        shared_world.caller("member", marketplace_project="manchester_squad").listed(CATALOGS)


@pytest.mark.parametrize(
    "call",
    [
        lambda caller: caller.listed(CATALOGS),
        lambda caller: caller.rows("SELECT 1"),
        lambda caller: caller.prepare("SELECT 1"),
        lambda caller: list(caller.client.list_actions(caller.options)),
        lambda caller: list(caller.client.list_flights(b"", caller.options)),
        lambda caller: caller.act("CloseSession"),
    ],
)
def test_an_expired_token_opens_nothing(world, clock, call) -> None:
    caller = world.caller("member")
    call(caller)
    clock.advance(timedelta(days=31))
    with pytest.raises(flight.FlightUnauthenticatedError, match="expired"):
        call(caller)


def test_a_client_whose_token_has_ended_may_still_let_go_of_a_handle(world, clock, packed) -> None:
    caller = world.caller("member")
    handle = caller.prepare("SELECT 1").handle
    clock.advance(timedelta(days=31))
    close = sql.ActionClosePreparedStatementRequest(prepared_statement_handle=handle)
    assert caller.act("ClosePreparedStatement", packed(close)) == []


def test_no_other_action_is_done_for_nobody(shared_world, bare) -> None:
    member = shared_world.caller("member")
    actions = {action.type for action in member.client.list_actions(member.options)}
    for name in {*actions, "BeginTransaction", "Nothing"} - {"ClosePreparedStatement"}:
        with pytest.raises(flight.FlightUnauthenticatedError):
            bare("Bearer nobody").act(name)
