"""The migrations, run from nothing, make exactly the tables that the rooms declare."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from marketplace.database import Database
from marketplace.migrations.tables import ALL_METADATA


def test_the_migrated_schema_is_the_one_that_the_code_declares(database: Database) -> None:
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, list(ALL_METADATA)) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    database.migrate()
    database.migrate()
