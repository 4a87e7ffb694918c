"""A token opens nothing once it, the membership or the secondment behind it has ended; it says which."""

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from marketplace.client import MarketplaceProblem, connect
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.errors import Unauthenticated
from marketplace.identity import secondments
from marketplace.identity.tokens import TokenRecord, authenticate

BY = "the operator"
SQL = "SELECT * FROM mhclg.homes"
EMAIL = "technologist@acme.example"


@pytest.fixture
def technologist(world, clock) -> tuple[str, TokenRecord]:
    """The token of somebody whom a company seconded to the Sheffield squad until 10 December."""
    administration = world.marketplace.administration
    administration.register_person(name="technologist", email=EMAIL, organisation="acme", by=BY)
    days = {"first_day": date(2026, 11, 1), "last_day": date(2026, 12, 10)}
    administration.second(
        email=EMAIL, host_organisation=None, host_project="sheffield_squad", by=BY, **days
    )
    administration.add_member(
        project="sheffield_squad", email=EMAIL, **(days | {"last_day": date(2026, 12, 20)}), by=BY
    )
    world.publish()
    world.share()
    issued: tuple[str, TokenRecord] = administration.issue_token(
        email=EMAIL,
        project="sheffield_squad",
        expires_at=clock() + timedelta(days=10),
        by=BY,
    )
    return issued


def expire(world, clock, token: TokenRecord) -> None:
    clock.now = token.expires_at


def revoke(world, clock, token: TokenRecord) -> None:
    world.marketplace.administration.revoke_token(token.id, by=BY)


def end_membership(world, clock, token: TokenRecord) -> None:
    world.marketplace.administration.end_membership(
        project="sheffield_squad", email=EMAIL, last_day=date(2026, 11, 21), by=BY
    )


def end_secondment(world, clock, token: TokenRecord) -> None:
    database = world.marketplace.database
    with database.reading() as connection:
        (held,) = secondments.of_person(connection, token.person)
    world.marketplace.administration.end_secondment(held.id, last_day=date(2026, 11, 21), by=BY)


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (expire, "This token has expired."),
        (revoke, "This token was revoked."),
        (
            end_membership,
            "Your membership of sheffield_squad ended at the end of 21 November 2026.",
        ),
        (
            end_secondment,
            "Your secondment to sheffield_squad ended at the end of 21 November 2026.",
        ),
    ],
)
def test_what_has_ended_opens_nothing_and_says_what_it_was(
    world,
    url: str,
    clock,
    technologist: tuple[str, TokenRecord],
    end: Callable[..., None],
    sentence: str,
) -> None:
    secret, token = technologist
    marketplace = world.marketplace
    with marketplace.database.reading() as connection:
        principal = authenticate(connection, secret, now=clock())
    with connect(url, token=secret) as client:
        assert client.query(SQL).to_arrow().num_rows == 3
        end(world, clock, token)
        calls: tuple[Callable[[], object], ...] = (
            client.me,
            client.search,
            client.requests,
            client.agreements,
            lambda: client.query(SQL),
            lambda: client.why("mhclg.homes"),
        )
        for call in calls:
            with pytest.raises(MarketplaceProblem) as refused:
                call()
            assert (refused.value.status, refused.value.detail) == (401, sentence)
    # Who was signed in a moment before is asked again by each use case.
    uses: tuple[Callable[[], object], ...] = (
        lambda: marketplace.querying.run(principal, SQL, Encoding(OutputFormat.ARROW)),
        lambda: marketplace.discovery.search(principal),
        lambda: marketplace.sharing.agreements(principal),
    )
    for use in uses:
        with pytest.raises(Unauthenticated) as ended:
            use()
        assert ended.value.detail == sentence
