"""The main job as a story in seven acts, on a real service over real data."""

from pathlib import Path

from rich.console import Console

from marketplace.clock import Clock, system_clock
from marketplace.demo.act_1_register import register
from marketplace.demo.act_2_publish import publish
from marketplace.demo.act_3_share import share
from marketplace.demo.act_4_use import use
from marketplace.demo.act_5_refuse import refuse
from marketplace.demo.act_6_roll_out import roll_out
from marketplace.demo.act_7_prove import prove
from marketplace.demo.telling import Outcome, Telling
from marketplace.demo.world import world

ACTS = (
    ("Councils and departments are registered", register),
    ("A department and three councils publish", publish),
    ("A squad asks, and the owner approves", share),
    ("The squad member queries", use),
    ("Others are refused, and so is the member when the agreement has ended", refuse),
    ("Two operators open to researchers, and one closes again", roll_out),
    ("The audit log is proven", prove),
)


def tell(
    keep: Path | None = None, console: Console | None = None, present: Clock = system_clock
) -> tuple[Outcome, ...]:
    """Tell the whole story and return what came of each thing tried. It ends at `present`.

    With `keep`, the world stays in that folder and `marketplace serve --data` goes on from it.
    Raises whatever did not come out as the story says.
    """
    telling = Telling(console or Console(highlight=False), steps=len(ACTS))
    telling.console.print("The Data Marketplace: publish, share, use, on real open data.")
    with world(keep, present) as built:
        for title, act in ACTS:
            with telling.step(title):
                act(built, telling)
    telling.summary()
    if keep is not None:
        telling.console.print(
            f"The world stays in {keep}. Go on with it: .venv/bin/marketplace serve --data {keep}",
            soft_wrap=True,
        )
    return tuple(telling.outcomes)
