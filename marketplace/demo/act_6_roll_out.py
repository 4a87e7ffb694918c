"""Act 6: two operators open the marketplace to researchers, and one of them closes it again."""

import csv
from collections.abc import Iterable

from marketplace.client import MarketplaceProblem
from marketplace.demo.act_1_register import enter
from marketplace.demo.act_5_refuse import refused
from marketplace.demo.cast import (
    FIRST_OPERATOR,
    OWNERS_NAMED_LATER,
    RESEARCHER,
    SECOND_OPERATOR,
    TRAFFORD_OWNER,
)
from marketplace.demo.telling import Telling
from marketplace.demo.world import World
from marketplace.errors import MarketplaceError
from marketplace.wire import (
    CriterionDescription,
    MoveTarget,
    OfferForm,
    ProposalForm,
    RolloutDescription,
    UndoForm,
)

_SPENDING = "trafford.spending"
_SQL = "SELECT count(*) AS payments FROM trafford.spending.september_2014"
_RESEARCHERS = MoveTarget(stage="researcher")
_PROPOSAL = ProposalForm(target=_RESEARCHERS, reason="Researchers are accredited and waiting.")


def roll_out(world: World, telling: Telling) -> None:
    """Meet the exit criteria, foresee the move, make it by two people, and undo it by one."""
    _see_what_is_missing(world, telling)
    _name_the_missing_owners(world, telling)
    _offer_in_vain(world, telling)
    _foresee(world, telling)
    _open_by_two(world, telling)
    _close_by_one(world, telling)


def _see_what_is_missing(world: World, telling: Telling) -> None:
    telling.person(FIRST_OPERATOR.name, "looks at the rollout, and proposes to open to researchers")
    with world.acting(FIRST_OPERATOR.key) as client:
        found = client.rollout.situation()
        telling.shown(found.standings[0].what, *_criteria(found.criteria))
        try:
            client.rollout.propose(_PROPOSAL)
        except MarketplaceProblem as problem:
            telling.shown(problem.detail)
            telling.outcome("Propose to open to researchers", f"refused: {_met(found)}")
            return
    raise MarketplaceError("The demo's stage was left against an exit criterion.")


def _name_the_missing_owners(world: World, telling: Telling) -> None:
    for owner in OWNERS_NAMED_LATER:
        enter(world, owner)
    with world.acting(FIRST_OPERATOR.key) as client:
        found = client.rollout.situation()
    telling.outcome("Leeds and Trafford name a data owner each", _met(found))


def _offer_in_vain(world: World, telling: Telling) -> None:
    """An offer is no way past the stage; what is closed to the researcher is not there for them."""
    telling.person(TRAFFORD_OWNER.name, f"offers {_SPENDING} to researchers")
    with world.acting(TRAFFORD_OWNER.key) as owner:
        owner.stewardship.offer(OfferForm(dataset=_SPENDING, audience="researcher"))
        told = refused(world, telling, RESEARCHER, _SQL)
        telling.outcome("Query as an accredited researcher", f"refused: {told.title}")
        _ask_why(world, telling)


def _foresee(world: World, telling: Telling) -> None:
    telling.person(FIRST_OPERATOR.name, "looks at what opening would do")
    path = world.keepsakes.folder / "opens.csv"
    with world.acting(FIRST_OPERATOR.key) as client:
        counts = client.rollout.preview(_RESEARCHERS).counts
        client.rollout.pairs(_RESEARCHERS, path)
    with path.open(encoding="utf-8", newline="") as file:
        pairs = [
            [
                row["dataset"],
                f"{row['kind']} {row['party']}",
                row["access"],
                row["grant"].partition(":")[0],
            ]
            for row in csv.DictReader(file)
        ]
    telling.rows(["dataset", "party", "becomes", "by"], pairs)
    telling.outcome(
        "Preview the opening",
        f"{counts.readable} pairs of dataset and party become readable, {counts.askable} askable",
    )


def _open_by_two(world: World, telling: Telling) -> None:
    with world.acting(FIRST_OPERATOR.key) as first, world.acting(SECOND_OPERATOR.key) as second:
        telling.person(FIRST_OPERATOR.name, "proposes it, and tries to confirm it alone")
        proposal = first.rollout.propose(_PROPOSAL)
        try:
            first.rollout.confirm(proposal.id, "Done with it.")
        except MarketplaceProblem as problem:
            telling.shown(problem.detail, problem.next_step)
            telling.outcome("Confirm one's own proposal", f"refused: {problem.title}")
        else:
            raise MarketplaceError("The demo's rollout was moved by one person.")
        made = second.rollout.confirm(proposal.id, "It does what was foreseen.")
    telling.outcome("Another operator confirms it", made.what)
    with world.acting(RESEARCHER.key) as client:
        (counted,) = client.query(_SQL).to_arrow().to_pylist()
    telling.outcome("Query as the same researcher", f"{counted['payments']:,} payments counted")


def _close_by_one(world: World, telling: Telling) -> None:
    telling.person(FIRST_OPERATOR.name, "undoes the move; closing takes one person")
    with world.acting(FIRST_OPERATOR.key) as client:
        undone = client.rollout.undo(UndoForm(reason="A university asked for a pause."))
    if undone.state != "made":
        raise MarketplaceError("The demo's rollout was not closed at once.")
    told = refused(world, telling, RESEARCHER, _SQL)
    telling.outcome("Query after the move is undone", f"refused: {told.title}")
    _ask_why(world, telling)


def _ask_why(world: World, telling: Telling) -> None:
    telling.person(TRAFFORD_OWNER.name, "asks why the researcher may not")
    with world.acting(TRAFFORD_OWNER.key) as client:
        told = client.why(_SPENDING, person=RESEARCHER.email)
    telling.shown(*told.obstacles, told.ask)


def _criteria(found: Iterable[CriterionDescription]) -> list[str]:
    return [f"{'met' if one.met else 'NOT met'}: {one.sentence}" for one in found]


def _met(found: RolloutDescription) -> str:
    met = sum(one.met for one in found.criteria)
    return f"{met} of {len(found.criteria)} exit criteria are met"
