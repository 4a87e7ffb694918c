"""Every act that can change what a read answers is seen by the next read, which was warm before."""

from collections.abc import Callable
from datetime import date

import pytest

from access_policies import revision
from access_policies.vocabulary import Audience, Role
from catalogue.address import DatasetAddress
from marketplace.errors import Unauthenticated
from marketplace.identity.callers import Callers
from marketplace.rollout.proposals import Target

from .conftest import BY, HOUSEHOLDS, World

HOMES = DatasetAddress("mhclg", "homes")
MEMBER = "member@sheffield.example"
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


def _deny_and_lift(world: World) -> None:
    marketplace = world.marketplace
    secret, _ = marketplace.administration.issue_token(
        email="owner@mhclg.example",
        role=Role.OPERATOR,
        expires_at=marketplace.clock().replace(year=2027),
        by=BY,
    )
    operator = marketplace.callers.authenticate(secret)
    before = _revision(world)
    denial = marketplace.standing.deny(operator, dataset=HOMES, reason="An error in it")
    denied = _revision(world)
    assert denied > before
    marketplace.standing.lift(operator, denial, "Put right")
    assert _revision(world) > denied


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
    assert _revision(world) > before


def _publish_again(world: World) -> None:
    world.publish(HOUSEHOLDS + "E08000035,Leeds,900,800\n")


ACTS: dict[str, Callable[[World], object]] = {
    "approve": _approve,
    "revoke": _revoke,
    "offer and withdraw": _offer_and_withdraw,
    "deny and lift": _deny_and_lift,
    "publish again": _publish_again,
    "publish another dataset": lambda world: world.publish(address="mhclg.streets"),
    "open the marketplace": lambda world: world.move(Target(scope="*", stage=Audience.PUBLIC)),
    "close a dataset": lambda world: world.move(
        Target(scope="mhclg.homes", stage=Audience.GOVERNMENT)
    ),
    "undo a move": _move_and_undo,
    "invite": _invite,
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


@pytest.mark.parametrize("act", ACTS)
def test_an_act_that_can_change_an_answer_moves_the_revision(world: World, act: str) -> None:
    world.publish()
    world.share()
    before = _revision(world)
    ACTS[act](world)
    assert _revision(world) > before


def test_a_warm_read_gives_the_newest_release(world: World) -> None:
    world.publish()
    world.share()
    for _ in range(3):
        assert world.query(COUNT) == [{"homes": 3}]
    _publish_again(world)
    assert world.query(COUNT) == [{"homes": 4}]


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
