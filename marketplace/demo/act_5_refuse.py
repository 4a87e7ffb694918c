"""Act 5: who is refused, when, and what they are told."""

from datetime import timedelta

from marketplace.client import MarketplaceProblem, StreamCut
from marketplace.clock import LONDON, end_of_last_day
from marketplace.demo.act_3_share import TEMPORARY_ACCOMMODATION, approve, ask
from marketplace.demo.act_4_use import SQL
from marketplace.demo.cast import MEMBER, OUTSIDER, PAYMENTS_OWNER, Character
from marketplace.demo.telling import Telling
from marketplace.demo.world import World
from marketplace.errors import MarketplaceError
from marketplace.wire import ApprovalForm

_PAYMENTS = "manchester.payments"

# Far more rows than fit between the worker and the reader, so that the end has not been sent when
# the agreement is revoked.
_LONG = (
    "SELECT p.* FROM manchester.payments p "
    "CROSS JOIN (SELECT DISTINCT organisational_unit FROM manchester.payments)"
)


def refuse(world: World, telling: Telling) -> None:
    """Refuse an outsider, then the member after the last day, then in the middle of a stream."""
    _refuse_the_outsider(world, telling)
    _pass_the_last_day(world, telling)
    _revoke_while_reading(world, telling)
    _come_back_to_today(world, telling)


def _refuse_the_outsider(world: World, telling: Telling) -> None:
    telling.person(OUTSIDER.name, "sends the same query")
    told = refused(world, telling, OUTSIDER)
    telling.outcome("Query from outside the squad", f"refused: {told.title}")
    _ask_why(world, telling, OUTSIDER)
    telling.outcome("Ask why", "told the reason and what to ask for")


def _pass_the_last_day(world: World, telling: Telling) -> None:
    ends = end_of_last_day(world.calendar.first_last_day)
    world.clock.move_to(ends - timedelta(seconds=1))
    with world.acting(MEMBER.key) as client:
        rows = client.query(SQL).to_arrow().num_rows
    shown = world.clock().astimezone(LONDON)
    telling.outcome(f"Query at {shown:%H:%M:%S on %d %b} in London", f"{rows} row")
    world.clock.move_to(ends)
    told = refused(world, telling, MEMBER)
    shown = world.clock().astimezone(LONDON)
    telling.outcome(f"Query at {shown:%H:%M:%S on %d %b}", f"refused: {told.title}")
    _ask_why(world, telling, MEMBER)


def _revoke_while_reading(world: World, telling: Telling) -> None:
    last_day = world.calendar.secondment_last_day
    request = ask(world, last_day, _PAYMENTS)
    with world.acting(PAYMENTS_OWNER.key) as owner:
        agreement = owner.approve(request, ApprovalForm(reason="Agreed for the squad's work."))
        telling.person(MEMBER.name, f"reads {_PAYMENTS}, and its owner revokes the agreement")
        received = 0
        try:
            with world.acting(MEMBER.key) as client, client.query(_LONG) as result:
                for batch in result.batches():
                    if received == 0:
                        owner.revoke(agreement.id, "The purpose has ended.")
                    received += batch.num_rows
        except StreamCut as cut:
            telling.shown(f"{received:,} rows had come.", cut.detail)
        else:
            raise MarketplaceError("The demo's stream went on after its agreement was revoked.")
    telling.outcome("Revoke in the middle of a stream", "cut at once, and told as cut")
    told = refused(world, telling, MEMBER, "SELECT count(*) FROM manchester.payments")
    telling.outcome("Query after the revocation", f"refused: {told.title}")


def _come_back_to_today(world: World, telling: Telling) -> None:
    world.clock.move_to(max(world.clock(), world.present()))
    last_day = world.calendar.secondment_last_day
    approve(world, ask(world, last_day), last_day)
    with world.acting(MEMBER.key) as client:
        rows = client.query(SQL).to_arrow().num_rows
    telling.outcome(
        f"Ask again today, approved until {last_day:%d %b %Y}", f"the query works again: {rows} row"
    )


def _ask_why(world: World, telling: Telling, character: Character) -> None:
    with world.acting(character.key) as client:
        told = client.why(TEMPORARY_ACCOMMODATION)
    telling.person(character.name, "asks why")
    telling.shown(told.sentence, told.ask)


def refused(
    world: World, telling: Telling, character: Character, sql: str = SQL
) -> MarketplaceProblem:
    """Send a query that must be refused, and tell what the person was told."""
    with world.acting(character.key) as client:
        try:
            client.query(sql).close()
        except MarketplaceProblem as problem:
            telling.shown(problem.detail, problem.next_step)
            return problem
    raise MarketplaceError(f"The demo expected {character.name} to be refused, and they were not.")
