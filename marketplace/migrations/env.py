"""Alembic's environment: one history for the tables of all rooms."""

from alembic import context
from sqlalchemy import Connection

from marketplace.migrations.tables import ALL_METADATA

connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=list(ALL_METADATA), render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
