"""Every act that can change what a read answers is seen by the next read, which was warm before."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from time import monotonic

import pytest
from sqlalchemy import text

from access_policies import revision
from access_policies.vocabulary import Audience, Role
from catalogue.address import DatasetAddress
from marketplace.database import Database
from marketplace.errors import Unauthenticated
from marketplace.identity import tokens
from marketplace.identity.callers import Callers
from marketplace.identity.principal import Principal
from marketplace.rollout.proposals import Target

from .conftest import BY, HOUSEHOLDS, World

HOMES = DatasetAddress("mhclg", "homes")
MEMBER = "member@sheffield.example"
PATIENCE = 30
COUNT = "SELECT count(*) AS homes FROM mhclg.homes"


def _token_id(world: World, name: str) -> str:
    return world.principal(name).token_id


def _approve(world: World) -> None:
    world.share(to="outsider")


def _revoke(world: World) -> None:
    agreements = world.marketplace.sharing.agreements(world.owner)
    world.marketplace.sharing.revoke(world.owner, agreements[0].id, "It has ended")


def _offer_and_withdraw(world: World) -> None:
    standing = world.marketplace.standing
    before = _revision(world)
    offer = standing.offer(world.owner, HOMES, Audience.LOCAL_GOVERNMENT)
    assert _revision(world) > before
    standing.withdraw(world.owner, offer.id, "No more")


def _stop_and_resume(world: World) -> None:
    marketplace = world.marketplace
    secret, _ = marketplace.administration.issue_token(
        email="owner@mhclg.example",
        role=Role.OPERATOR,
        expires_at=marketplace.clock().replace(year=2027),
        by=BY,
    )
    operator = marketplace.callers.authenticate(secret)
    before = _revision(world)
    stop = marketplace.standing.stop(operator, dataset=str(HOMES), reason="An error in it")
    stopped = _revision(world)
    assert stopped > before
    marketplace.standing.resume(operator, stop.id, "Put right")
    assert _revision(world) > stopped


def _move_and_undo(world: World) -> None:
    world.move(Target(scope="*", stage=Audience.RESEARCHER))
    before = _revision(world)
    world.marketplace.rollout.undo(world.principal("operator"), "*", reason="Too soon")
    assert _revision(world) > before


def _invite(world: World) -> None:
    world.move(Target(scope="*", stage=Audience.BUSINESS, by_invitation=True, places=1))
    before = _revision(world)
    world.marketplace.rollout.invite(
        world.principal("operator"), "*", "organisation:acme", reason="The first business"
    )
    invited = _revision(world)
    assert invited > before
    world.marketplace.rollout.uninvite(
        world.principal("operator"), "*", "organisation:acme", reason="The wrong business"
    )
    assert _revision(world) > invited


def _extend(world: World) -> None:
    agreements = world.marketplace.sharing.agreements(world.owner)
    world.marketplace.sharing.extend(world.owner, agreements[0].id, date(2027, 6, 30), "It goes on")


def _dismiss(world: World) -> None:
    administration = world.marketplace.administration
    held = administration.appointments()[0]
    administration.end_appointment(held.id, last_day=date(2026, 11, 21), by=BY)


def _publish_again(world: World) -> None:
    world.publish(HOUSEHOLDS + "E08000035,Leeds,900,800\n")


ACTS: dict[str, Callable[[World], object]] = {
    "approve": _approve,
    "revoke": _revoke,
    "offer and withdraw": _offer_and_withdraw,
    "stop and resume": _stop_and_resume,
    "publish again": _publish_again,
    "extend": _extend,
    "name to a role": lambda world: world.marketplace.administration.appoint(
        email=MEMBER,
        role=Role.OWNER,
        organisation="sheffield",
        first_day=date(2026, 11, 22),
        by=BY,
    ),
    "end an appointment": _dismiss,
    "accredit": lambda world: world.marketplace.administration.accredit(
        "sheffield_squad", until=date(2027, 1, 1), by=BY
    ),
    "publish another dataset": lambda world: world.publish(address="mhclg.streets"),
    "open the marketplace": lambda world: world.move(Target(scope="*", stage=Audience.PUBLIC)),
    "close a dataset": lambda world: world.move(
        Target(scope="mhclg.homes", stage=Audience.GOVERNMENT)
    ),
    "undo a move": _move_and_undo,
    "invite and take back": _invite,
    "revoke the token": lambda world: world.marketplace.administration.revoke_token(
        _token_id(world, "member"), by=BY
    ),
    "add a membership": lambda world: world.marketplace.administration.add_member(
        project="manchester_squad",
        email=MEMBER,
        first_day=date(2026, 1, 1),
        last_day=None,
        by=BY,
    ),
    "end the membership": lambda world: world.marketplace.administration.end_membership(
        project="sheffield_squad", email=MEMBER, last_day=date(2026, 11, 21), by=BY
    ),
    "second the member": lambda world: world.marketplace.administration.second(
        email=MEMBER,
        host_project="manchester_squad",
        first_day=date(2026, 11, 1),
        last_day=date(2026, 12, 1),
        by=BY,
    ),
    "issue the first token of a role": lambda world: world.marketplace.administration.issue_token(
        email=MEMBER,
        role=Role.PUBLISHER,
        organisation="sheffield",
        expires_at=world.marketplace.clock().replace(year=2027),
        by=BY,
    ),
}


def _revision(world: World) -> int:
    with world.marketplace.database.reading() as connection:
        return revision.read(connection)


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("act", ACTS)
def test_an_act_that_can_change_an_answer_moves_the_revision(world: World, act: str) -> None:
    before = _revision(world)
    ACTS[act](world)
    assert _revision(world) > before


@pytest.mark.usefixtures("shared")
def test_a_warm_read_gives_the_newest_release(world: World) -> None:
    for _ in range(3):
        assert world.query(COUNT) == [{"homes": 3}]
    _publish_again(world)
    assert world.query(COUNT) == [{"homes": 4}]


LOOKS: dict[str, Callable[[World, Principal], object]] = {
    "search": lambda world, caller: world.marketplace.discovery.search(caller),
    "look at one": lambda world, caller: world.marketplace.discovery.dataset(caller, HOMES),
    "publish": lambda world, caller: world.marketplace.publishing.expect(
        caller, HOMES.table("homes")
    ),
    "list agreements": lambda world, caller: world.marketplace.sharing.agreements(caller),
}


@pytest.mark.usefixtures("homes")
@pytest.mark.parametrize("look", LOOKS)
def test_who_looks_while_their_token_is_being_revoked_is_nobody_afterwards(
    world: World, look: str
) -> None:
    database = world.marketplace.database
    caller = world.publisher
    with ThreadPoolExecutor(1) as others:
        with database.writing() as connection:
            tokens.revoke_token(connection, caller.token_id, now=world.marketplace.clock())
            looking = others.submit(LOOKS[look], world, caller)
            _wait_until_it_waits(database)
        with pytest.raises(Unauthenticated):
            looking.result(PATIENCE)


def _wait_until_it_waits(database: Database) -> None:
    """On PostgreSQL, until somebody waits for a lock; on SQLite they wait before they see anything."""
    end = monotonic() + PATIENCE
    while monotonic() < end:
        with database.reading() as connection:
            if connection.dialect.name == "sqlite":
                return
            waiting = text("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            if connection.execute(waiting).first() is not None:
                return
    raise AssertionError("it never came to wait")


def test_a_known_caller_is_asked_for_again_within_a_minute_and_at_each_boundary(
    world: World, clock
) -> None:
    callers: Callers = world.marketplace.callers
    secret = world.secret("member")
    assert callers.known(secret) is None
    found = callers.authenticate(secret)
    assert callers.known(secret) == found
    world.marketplace.administration.revoke_token(found.token_id, by=BY)
    with pytest.raises(Unauthenticated):
        callers.authenticate(secret)
    assert callers.known(secret) is None
    other = world.secret("outsider")
    callers.authenticate(other)
    clock.now = clock.now.replace(minute=1)
    assert callers.known(other) is None
