"""What it costs to foresee a move of the rollout, in a world of many grants on SQLite.

Everything is measured that an operator waits for after the call is authenticated: the parties, the
datasets, the rules, every answer, the counts. What it comes to is compared with the decision point
asked for single pairs.
"""

import random
import sqlite3
import statistics
from contextlib import closing
from pathlib import Path
from time import perf_counter, process_time

from figure import Figure
from policy_world import NOW, PolicyWorld, build
from sqlalchemy import Connection
from world import World

from access_policies.decision_point import DecisionPoint
from access_policies.stages import MARKETPLACE, Opening
from access_policies.vocabulary import Action, Audience, Environment, Resource, Subject
from catalogue import datasets
from marketplace.database import Database, open_database
from marketplace.rollout import parties
from marketplace.rollout.effect import Effect, foresee
from marketplace.rollout.parties import Party

_ONE_STAGE = (Audience.LOCAL_GOVERNMENT, Audience.RESEARCHER)
_ALL_STAGES = (Audience.GOVERNMENT, Audience.PUBLIC)
_CHECKED = 400


def measure(world: World) -> list[Figure]:
    """Seconds for a move by one stage and by all, and how many pairs they come to."""
    policy = PolicyWorld(world.plan.policy)
    world.say(f"A rollout over {policy.size.datasets:,} datasets")
    file = world.folder / "rollout.db"
    build(policy, f"sqlite:///{file}")
    _enter_parties(policy, file)
    database = open_database(f"sqlite:///{file}")
    try:
        figures = [
            *_measured(
                database, "one stage on", _ONE_STAGE, world.plan.rounds, reach=2, towards=0.7
            ),
            *_measured(database, "all stages", _ALL_STAGES, world.plan.rounds),
        ]
    finally:
        database.close()
    file.unlink()
    return figures


def _measured(
    database: Database,
    name: str,
    move: tuple[Audience, Audience],
    rounds: int,
    *,
    reach: float | None = None,
    towards: float | None = None,
) -> list[Figure]:
    walls, processors = [], []
    effect = Effect(())
    # The first one brings pages into memory.
    for _ in range(rounds + 1):
        began, used = perf_counter(), process_time()
        with database.reading() as connection:
            everybody = parties.list_all(connection, now=NOW)
            effect = _foreseen(connection, everybody, move)
        walls.append(perf_counter() - began)
        processors.append(process_time() - used)
    with database.reading() as connection:
        _check(connection, effect, everybody, move)
    counts = effect.counts
    return [
        Figure(
            what=f"rollout preview, {name}",
            measured=statistics.median(walls[1:]),
            unit="s",
            reach=reach,
            towards=towards,
        ),
        Figure(
            what=f"rollout preview, {name}, processor",
            measured=statistics.median(processors[1:]),
            unit="s",
        ),
        Figure(
            what=f"rollout preview, {name}, pairs",
            measured=counts.readable + counts.askable,
            unit="pairs",
        ),
    ]


def _foreseen(
    connection: Connection, everybody: tuple[Party, ...], move: tuple[Audience, Audience]
) -> Effect:
    before, after = ({MARKETPLACE: Opening(stage=stage)} for stage in move)
    return foresee(
        connection,
        DecisionPoint(),
        everybody,
        before,
        after,
        scope=MARKETPLACE,
        datasets=datasets.names(connection),
        now=NOW,
    )


def _check(
    connection: Connection,
    effect: Effect,
    everybody: tuple[Party, ...],
    move: tuple[Audience, Audience],
) -> None:
    """Raise AssertionError where the decision point says otherwise of a pair chosen at random."""
    chosen, every = random.Random(7), sorted(datasets.names(connection))
    foreseen = {
        (one.party.kind, one.party.name): {pair.dataset: pair.readable for pair in one.pairs()}
        for one in chosen.sample(effect.parties, min(10, len(effect.parties)))
    }
    point = DecisionPoint()
    by_name = {(party.kind, party.name): party for party in everybody}
    for key, told in foreseen.items():
        party = by_name[key]
        subject = Subject(person="", principals=party.names, audience=party.audience)
        environment = Environment(now=NOW, stage=move[1], purpose=party.purpose)
        near = chosen.sample(sorted(told), min(_CHECKED // 20, len(told)))
        for dataset in (*near, *chosen.sample(every, min(_CHECKED // 20, len(every)))):
            allowed = [
                point.decide(
                    connection, subject, action, Resource(dataset=dataset), environment
                ).allowed
                for action in (Action.QUERY, Action.DOWNLOAD, Action.DISCOVER)
            ]
            answer = any(allowed[:2]) if any(allowed) else None
            assert told.get(dataset) is answer, (key, dataset)


_DATASETS = (
    "datasets (organisation, dataset, title, description, licence, access_rights, "
    "official_sensitive, created_at)"
)


def _enter_parties(policy: PolicyWorld, file: Path) -> None:
    """Organisations, datasets, squads and their members, spread over the audiences."""
    size = policy.size
    organisations = [
        (f"organisation_{number:04}", "An organisation", number % len(Audience), "")
        for number in range(size.organisations)
    ]
    catalogued = [
        (*policy.dataset(number).split("."), "A dataset", "", "", "OPEN", 0, NOW.isoformat())
        for number in range(size.datasets)
    ]
    squads = {policy.squad(person): None for person in range(size.people)}
    projects = [
        (squad, "A squad", "service_delivery", organisations[place % size.organisations][0],
         place % len(Audience), "2099-12-31")
        for place, squad in enumerate(squads)
    ]  # fmt: skip
    people = [
        (f"person_{person:05}", "Somebody", f"{person}@example.org", organisations[0][0])
        for person in range(size.people)
    ]
    members = [
        (
            f"membership_{person}",
            policy.squad(person),
            f"person_{person:05}",
            "2026-01-01",
            None,
            None,
        )
        for person in range(size.people)
    ]
    with closing(sqlite3.connect(file)) as connection, connection:
        for table, rows in (
            ("organisations", organisations),
            (_DATASETS, catalogued),
            ("projects", projects),
            ("people", people),
            ("memberships", members),
        ):
            marks = ", ".join("?" for _ in rows[0])
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
