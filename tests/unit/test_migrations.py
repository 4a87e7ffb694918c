"""The migrations, run from nothing, make exactly the tables that the rooms declare."""

from datetime import timedelta
from importlib import import_module

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import delete, select

from access_policies.records import rules
from access_policies.vocabulary import Action, Audience, Role
from marketplace.database import Database
from marketplace.identity import organisations, people, tokens
from marketplace.identity.organisations import Organisation
from marketplace.identity.records import appointments
from marketplace.migrations.tables import ALL_METADATA


def test_the_migrated_schema_is_the_one_that_the_code_declares(database: Database) -> None:
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, list(ALL_METADATA)) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    database.migrate()
    database.migrate()


def test_who_could_act_and_read_before_an_upgrade_can_after_it(database: Database, clock) -> None:
    parties = import_module("marketplace.migrations.versions.0003_parties")
    with database.writing() as connection:
        organisations.register(
            connection, Organisation(name="mhclg", title="M", audience=Audience.GOVERNMENT)
        )
        owner = people.register(connection, name="O", email="o@m.example", organisation="mhclg")
        secret, _ = tokens.issue_token(
            connection,
            person=owner.id,
            role=Role.OWNER,
            organisation="mhclg",
            expires_at=clock() + timedelta(days=9),
            now=clock(),
        )
        before = tokens.authenticate(connection, secret, now=clock())
        told_apart = {Action.READ_SCHEMA, Action.PREVIEW}
        connection.execute(delete(appointments))
        connection.execute(delete(rules).where(rules.c.action.in_(told_apart)))
        kept = set(connection.execute(select(rules.c.id)).scalars())
        # Called here since the schema of before is not made any more.
        parties._name_holders_of_tokens(connection)
        parties._allow_what_was_one_action(connection)
        assert tokens.authenticate(connection, secret, now=clock()) == before
        added = set(connection.execute(select(rules.c.id)).scalars()) - kept
        assert added == {f"role:owner@mhclg/{action}" for action in told_apart}
