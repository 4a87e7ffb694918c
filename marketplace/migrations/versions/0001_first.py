"""The first schema."""

from alembic import op

from marketplace.migrations.tables import ALL_METADATA

revision = "0001"
down_revision = None


def upgrade() -> None:
    for metadata in ALL_METADATA:
        metadata.create_all(op.get_bind())
